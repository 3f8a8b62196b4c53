package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// seeds are what fuzzing begins with.
var seeds = []string{
	`{"id":1,"user":{"name":"a"},"tags":["x",2,null,true,false]}`, `{"a":1,"\u0061":2}`, `{"\u0061\/":{"\\":"\ud83d\uDE00"}}`, `"\ud83d"`, `[1.50e-7,-0,01]`,
	` { } `, `[[[]],{"a":{"b":{"":0}}}]`, "\"\xff\"", `{"a":1,}`, `nul`, `{"a\\":[{"b.c":1},{"0":2}]}`, string(crowd(2 * few)), string(order),
}

// FuzzCheck: a message is passed if encoding/json can read it, and what that
// is silent about is right too: UTF-8, whole surrogate pairs, names once each,
// the depth.
func FuzzCheck(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		before := bytes.Clone(msg)
		err := Check(msg)
		if want := isStrict(msg); (err == nil) != want {
			t.Fatalf("%q: %v; strictly read it is right: %v", msg, err, want)
		}
		var bad *Invalid
		if err != nil && (!errors.As(err, &bad) || bad.At < 0 || bad.At > len(msg) || bad.What == "") {
			t.Fatalf("%q: %v is no place in it", msg, err)
		}
		if !bytes.Equal(msg, before) {
			t.Fatalf("%q has become %q", before, msg)
		}
	})
}

// isStrict judges as Check does, without haste.
func isStrict(msg []byte) bool {
	if !json.Valid(msg) || !utf8.Valid(msg) || !wholePairs(msg) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(msg))
	d.UseNumber()
	return namedOnce(d, 0)
}

// wholePairs tells whether each half of a surrogate pair has its other.
func wholePairs(msg []byte) bool {
	var units []rune // escapes in a row; 0: something else
	for i := 0; i < len(msg); i++ {
		switch {
		case msg[i] != '\\':
			units = append(units, 0)
		case msg[i+1] == 'u':
			u, _ := strconv.ParseUint(string(msg[i+2:i+6]), 16, 16)
			units = append(units, rune(u))
			i += 5
		default:
			units = append(units, 0)
			i++
		}
	}
	for i := 0; i < len(units); i++ {
		if !utf16.IsSurrogate(units[i]) {
			continue
		}
		if i+1 == len(units) || utf16.DecodeRune(units[i], units[i+1]) == utf8.RuneError {
			return false
		}
		i++
	}
	return true
}

// namedOnce reads a value and tells whether each name in it is there once, and
// whether it is not too deep.
func namedOnce(d *json.Decoder, depth int) bool {
	token, _ := d.Token()
	if token != json.Delim('{') && token != json.Delim('[') {
		return true
	}
	ok, names := depth < MaxDepth, map[any]bool{}
	for d.More() {
		if token == json.Delim('{') {
			name, _ := d.Token()
			ok = ok && !names[name]
			names[name] = true
		}
		ok = namedOnce(d, depth+1) && ok
	}
	d.Token()
	return ok
}

// FuzzFind: each value of a message is found at its path, and at any other path
// what encoding/json has there. What is no message does no harm.
func FuzzFind(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), "a.b")
		f.Add([]byte(s), `a\\.0.b\.c`)
	}
	f.Fuzz(func(t *testing.T, msg []byte, text string) {
		p, err := ParsePath(text)
		if err == nil {
			if again, err := ParsePath(p.String()); err != nil || again != p {
				t.Fatalf("%q is read as %q, written as %s and read as %q, %v", text, p.steps, p, again.steps, err)
			}
		}
		v, _ := p.Find(msg)
		v.Key(nil)
		v.ID(nil)
		if Check(msg) != nil {
			return
		}
		root := decode(t, string(msg))
		wantFound(t, msg, p, naive(root, p))
		left := 50
		everyPath(root, nil, func(steps []string, want any) {
			if left--; left > 0 {
				wantFound(t, msg, Path{strings.Join(steps, between)}, want)
			}
		})
	})
}

func decode(t *testing.T, s string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return v
}

// wantFound finds what is at a path, and wants it to be that; nil is nothing.
func wantFound(t *testing.T, msg []byte, p Path, want any) {
	t.Helper()
	got, ok := p.Find(msg)
	if ok != (want != nil) || ok && !reflect.DeepEqual(decode(t, got.Raw), want) {
		t.Fatalf("%q of %q is %q, %v; want %v", p.steps, msg, got.Raw, ok, want)
	}
	key, named := got.Key(nil)
	if text, is := want.(string); is && (!named || string(key) != text) {
		t.Fatalf("%s is named %q, %v; want %q", got.Raw, key, named, text)
	}
}

// naive gives what is at a path of a decoded message.
func naive(v any, p Path) any {
	if p.Zero() {
		return nil
	}
	for _, step := range strings.Split(p.steps, between) {
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			k, err := strconv.Atoi(step)
			if err != nil || k < 0 || k >= len(in) || strconv.Itoa(k) != step {
				return nil
			}
			v = in[k]
		default:
			return nil
		}
	}
	return v
}

// everyPath gives the values in a message. One whose path would be an empty
// name alone has none.
func everyPath(v any, steps []string, f func(steps []string, v any)) {
	if len(steps) > 0 && (len(steps) > 1 || steps[0] != "") {
		f(steps, v)
	}
	switch in := v.(type) {
	case map[string]any:
		for name, v := range in {
			everyPath(v, append(slices.Clip(steps), name), f)
		}
	case []any:
		for k, v := range in {
			everyPath(v, append(slices.Clip(steps), strconv.Itoa(k)), f)
		}
	}
}
