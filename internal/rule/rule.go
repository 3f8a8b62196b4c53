// Package rule judges messages by rules in CEL, the Common Expression Language.
//
// Compile a rule when a configuration is read, then Match it against an Input
// for each message. A Rule may be used by any number of goroutines; an Input
// belongs to one. What a rule reads of a JSON message is found in its bytes
// when it is read; nothing is unmarshalled. A rule can't wait, can't see a
// clock and can't run for long: what it may cost is bounded. The package does
// not say what becomes of a message.
package rule

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unicode"
	"weak"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Rule is a condition on a message.
type Rule struct {
	text    string
	program cel.Program
	reads   bool
}

// Text gives the rule as it was written.
func (r *Rule) Text() string { return r.text }

var errSpent = errors.New("the rules before it have cost as much as a message may")

// Reads tells whether the rule looks at what a message says as JSON.
func (r *Rule) Reads() bool { return r.reads }

// Match tells whether the rule holds for a message. Where it has no answer, as
// for a key that is missing, it does not hold, and the error says why.
func (r *Rule) Match(in *Input) (bool, error) {
	if in.spent >= maxCost {
		return false, errSpent
	}
	out, details, err := r.program.Eval((*variables)(in))
	if cost := details.ActualCost(); cost != nil {
		in.spent += *cost
	}
	if err != nil {
		return false, errors.New(plain(err.Error())) // it may look into the payload, which the caller will use again
	}
	return out == types.True, nil
}

// Error is what is wrong with a rule, and where in its text.
type Error struct {
	Line, Col int // from 1; the column in characters
	What      string
}

// Error names the place within the text.
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.What) }

// compiled holds the rules that are in use. A text has one Rule while anybody
// holds it, so configurations that say the same compare as equal.
var compiled = struct {
	sync.Mutex
	rules map[string]weak.Pointer[Rule]
}{rules: map[string]weak.Pointer[Rule]{}}

// Compile makes a rule of its text, which must give a bool. An error is an
// *Error. It takes as long as many matches, so it is for when a configuration
// is read.
func Compile(text string) (*Rule, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if r := compiled.rules[text].Value(); r != nil {
		return r, nil
	}
	program, reads, err := compile(text)
	if err != nil {
		return nil, err
	}
	r := &Rule{text, program, reads}
	compiled.rules[text] = weak.Make(r)
	runtime.AddCleanup(r, forget, text)
	return r, nil
}

// forget takes out a rule that nobody holds any more, unless its text has been
// compiled again.
func forget(text string) {
	compiled.Lock()
	defer compiled.Unlock()
	if compiled.rules[text].Value() == nil {
		delete(compiled.rules, text)
	}
}

// plain is a message of the library on one line, without what says nothing to a
// user.
func plain(msg string) string {
	msg = strings.ReplaceAll(msg, " (in container '')", "")
	msg, _, _ = strings.Cut(msg, " expecting {")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, msg)
}
