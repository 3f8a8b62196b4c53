package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"unicode"
)

// NoticeFields are what the notice to a slow client can tell.
type NoticeFields struct {
	Lost   uint64 // messages that the client will not get
	Reason string // the name of the loss, as slow
	Offset string // EPOCH-N of the message that comes next
}

// MergeFields are what a message of one source among several can be wrapped
// with.
type MergeFields struct {
	Source  string // its name
	Message string // as it came
}

// ForwardFields are what a client's message can be wrapped with.
type ForwardFields struct {
	Message string // as it came
	Client  string // its address
	Session string // its id, as in Sluice-Session
}

// StaleFields are what the notice of a stale stream can tell.
type StaleFields struct {
	Seconds float64 // since the last message
}

// LostFields are what the answer to a message can tell whose instance gave none.
type LostFields struct {
	ID       string // of the message, as JSON
	Reason   string
	Instance string // its name; "" where none was found
}

// Samples are what templates are tried with: little and much, so that both
// sides of a condition are.
var (
	noticeSamples  = []NoticeFields{{1, "slow", "4f1c9a2e-2"}, {250, "slow", "4f1c9a2e-10251"}}
	mergeSamples   = []MergeFields{{"a", ""}, {"feed.example.com:8443/v2", `{"text": "<hello>"}`}}
	forwardSamples = []ForwardFields{{"", "192.0.2.1", "1"}, {`{"text": "<hello>"}`, "2001:db8::1", "0123456789abcdef"}}
	staleSamples   = []StaleFields{{0.25}, {3600}}
	lostSamples    = []LostFields{{"5", "timeout", ""}, {`"a1"`, "instance lost", "ws://10.0.0.1:9000"}}
)

// ParseTemplate parses the text of a notice or of what wraps a message. Beside
// the functions of text/template there is json, which gives its argument as
// JSON.
func ParseTemplate(text string) (*template.Template, error) {
	return template.New("").Option("missingkey=error").Funcs(template.FuncMap{"json": toJSON}).Parse(text)
}

// toJSON marshals v. What HTML would take for markup stays as it is.
func toJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// tryTemplate parses a template and executes it with each sample.
func tryTemplate[F any](text string, samples []F) error {
	t, err := ParseTemplate(text)
	out := &bounded{left: maxSample}
	for i := 0; i < len(samples) && err == nil; i++ {
		err = t.Execute(out, samples[i])
	}
	if err == nil && out.left == maxSample {
		err = errors.New("it gives no text")
	}
	if err != nil {
		err = fmt.Errorf("is not a template that can be used: %s; the fields are %s", templateError(text, err), fieldsOf[F]())
	}
	return err
}

// fieldsOf lists the fields of F as templates have them.
func fieldsOf[F any]() string {
	return join(reflect.VisibleFields(reflect.TypeFor[F]()), func(f reflect.StructField) string { return "{{." + f.Name + "}}" })
}

// templateError takes what is of no use to a user out of an error of
// text/template: the template's name and our type's. "template: :1:2: executing
// "" at <.Lots>: can't evaluate field Lots in type config.NoticeFields" becomes
// "<.Lots>: can't evaluate field Lots".
func templateError(text string, err error) string {
	msg := strings.TrimPrefix(err.Error(), "template: ")
	line := ""
	if pos, rest, ok := strings.Cut(strings.TrimPrefix(msg, ":"), ": "); ok && msg[0] == ':' {
		line, _, _ = strings.Cut(pos, ":")
		msg = strings.TrimPrefix(rest, `executing "" at `)
	}
	if i := strings.Index(msg, " in type config."); i >= 0 {
		msg = msg[:i]
	}
	if line != "" && strings.Contains(text, "\n") {
		msg = "line " + line + ": " + msg
	}
	plain := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	return strings.Map(plain, msg)
}

const maxSample = 64 << 10 // bytes; a notice is one small message

// bounded takes so many bytes and no more.
type bounded struct{ left int }

// Write counts p.
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("gives more than " + formatSize(maxSample))
	}
	return len(p), nil
}
