package rule

import (
	"errors"
	"strings"
	"testing"
)

func TestWhatIsNoRule(t *testing.T) {
	for text, want := range map[string]string{
		``:                             `1:1: Syntax error: mismatched input '<EOF>'`,
		`size >`:                       `1:7: Syntax error: mismatched input '<EOF>'`,
		"size > 1 &&\n  (binary":       `2:10: Syntax error: missing ')' at '<EOF>'`,
		`kind == "a"`:                  `1:1: undeclared reference to 'kind'` + known,
		`size == 1 && kind == "a"`:     `1:14: undeclared reference to 'kind'` + known,
		`request.pth == "/"`:           `1:8: undeclared reference to 'request.pth' (did you mean 'request.path'?)`,
		`size == "a"`:                  `1:6: == does not take (int, string)`,
		`"é" + 1 == "a"`:               `1:5: + does not take (string, int)`,
		`size.contains("a")`:           `1:14: contains does not take int.(string)`,
		`size`:                         `1:1: gives int, and must give true or false`,
		`msg.urgent`:                   `1:1: gives what the message holds, and must give true or false; write == true behind it if that is meant`,
		`msg.a.matches(msg.b)`:         `1:18: a pattern must be a text in quotes, not a value`,
		`matches(text, "a" + "b")`:     `1:19: a pattern must be a text in quotes, not a value`,
		`text.matches("(")`:            `1:14: invalid matches argument`,
		`size == 1; size == 2`:         `1:10: Syntax error: token recognition error at: ';'`,
		`now() > msg.t`:                `1:4: undeclared reference to 'now'` + known,
		strings.Repeat("(", 3000):      `1:1: `,
		strings.Repeat(" ", maxText+1): `1:1: is longer than 4096 bytes`,
		"\x00":                         `1:1: `,
		"\xff":                         `1:1: `,
	} {
		r, err := Compile(text)
		e, ok := errors.AsType[*Error](err)
		switch {
		case r != nil || !ok:
			t.Errorf("%q gives %v, %v", text, r, err)
		case !strings.HasPrefix(e.Error(), want) || strings.HasSuffix(want, ")") && e.Error() != want:
			t.Errorf("%q: %v, want %s", text, err, want)
		case strings.ContainsAny(e.What, "\n\r\x00") || e.Line < 1 || e.Col < 1:
			t.Errorf("%q: an error of more than a line, or without a place: %#v", text, e)
		}
	}
}

func TestWhatIsTooDearByItself(t *testing.T) {
	numbers := "[" + strings.TrimSuffix(strings.Repeat("1,", 200), ",") + "]"
	text := numbers + ".map(a, " + numbers + ".map(b, a + b)).size() > 0"
	if _, err := Compile(text); err == nil || !strings.Contains(err.Error(), "costs ") {
		t.Errorf("40,000 rounds for every message: %v", err)
	}
}
