package rule

import (
	"fmt"
	"strings"
	"testing"
)

func joined(n int, format string) string {
	var b strings.Builder
	for k := range n {
		fmt.Fprintf(&b, format, k)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// TestMessagesThatWouldHoldALoop: each rule has no answer, and no rule after it
// is led astray.
func TestMessagesThatWouldHoldALoop(t *testing.T) {
	numbers := `{"items": [` + joined(100_000, "%d,") + `], "kind": "a"}`
	few := `{"items": [` + joined(10_000, "%d,") + `], "kind": "a"}`
	objects := `{"items": [` + joined(50_000, `{"k": %d},`) + `]}`
	members := "{" + joined(100_000, `"n%d":1,`) + "}"
	long := `{"t": "` + strings.Repeat("a", 1<<20) + `"}`
	for _, c := range []struct{ text, payload, want string }{
		{`msg.items.all(i, i >= 0)`, numbers, "too much to look at"},
		{`msg.items.exists(i, i.k == -1)`, objects, "too much to look at"},
		{`99999 in msg.items`, numbers, "too much to look at"},
		{`msg.items[99999] == 99999`, numbers, "too much to look at"},
		{`msg.items.size() == 100000`, numbers, "too much to look at"},
		{`msg.items == msg.items`, numbers, "too much to look at"},
		{`msg.n99999 == 1`, members, "too much to look at"},
		{`msg.all(k, msg[k] == 1)`, members, "too much to look at"},
		{`msg.items.all(i, i >= 0 && i < 1000000)`, few, "cost limit exceeded"},
		{`msg.items.exists(i, msg.items.exists(j, i + j < 0))`, few, "cost limit exceeded"},
		{`msg.items.map(i, i + 1).exists(j, j < 0)`, few, "cost limit exceeded"},
		{`msg.items.exists(i, -1 in msg.items)`, few, "too much to look at"},
		{`msg.items.exists(i, msg.items == msg.items + [1])`, few, "too much to look at"},
		{`msg.t.matches("(a*)*b")`, long, "too long for a pattern"},
		{`[1, 2, 3, 4, 5, 6, 7, 8, 9].all(i, size(text + text) > i)`, long, "cost limit exceeded"},
	} {
		in := &Input{Payload: []byte(c.payload)}
		ok, err := compiledRule(t, c.text).Match(in)
		if ok || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %s", c.text, ok, err, c.want)
		}
		if ok, err := compiledRule(t, "msg.items.size() < 10000 || msg.items[0] != 0").Match(in); ok {
			t.Errorf("behind %s a list has lost members: %v", c.text, err)
		}
	}
}

// TestMessagesThatNobodyMeans gives no panic and no endless reading.
func TestMessagesThatNobodyMeans(t *testing.T) {
	rules := []*Rule{
		compiledRule(t, `msg.a == 1`),
		compiledRule(t, `has(msg.a.b)`),
		compiledRule(t, `msg.exists(x, x == 1)`),
		compiledRule(t, `text.matches("a.*b") || text.contains("é") || size(text) == 3`),
	}
	for what, payload := range map[string]string{
		"nothing":             "",
		"blanks":              " \n\t ",
		"deep lists":          strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"deep objects":        strings.Repeat(`{"a":`, 100_000),
		"as deep as may be":   strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000),
		"a long name":         `{"` + strings.Repeat("a", 1<<20) + `": 1, "a": 2}`,
		"a name of escapes":   `{"` + strings.Repeat(`\u0061`, 1<<17) + `": 1, "a": 2}`,
		"a long number":       `{"a": ` + strings.Repeat("9", 1<<20) + `}`,
		"a far number":        `{"a": 1e` + strings.Repeat("9", 1<<20) + `}`,
		"text that is none":   "{\"a\": \"\xff\xfe\"}",
		"half a surrogate":    `{"a": "\ud800"}`,
		"an end too early":    `{"a": [1, 2`,
		"something behind it": `{"a": 1} x`,
		"a value by itself":   `"a"`,
		"a NUL":               "\x00",
		"brackets as a text":  `{"a": "}]{["}`,
		"quotes in texts":     `{"a\"b": "\\\"", "a": {"b\\": 1, "b": 2}}`,
	} {
		in := &Input{Payload: []byte(payload)}
		for _, r := range rules {
			if _, err := r.Match(in); err != nil && strings.Contains(err.Error(), "internal error") {
				t.Errorf("%s: %s: %v", what, r.Text(), err)
			}
		}
	}
}
