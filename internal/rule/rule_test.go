package rule

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func compiledRule(t testing.TB, text string) *Rule {
	t.Helper()
	r, err := Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

const order = `{"type": "trade", "n": 5, "f": 5.0, "e": 5e0, "big": 9007199254740993, "huge": 18446744073709551615, "far": 1e999,
	"neg": -0.5, "on": true, "off": false, "none": null, "a": {"b": {"c": [1, "two", {"three": 3}]}}, "empty": {}, "list": [],
	"\u006eame": "caf\u00e9 \"x\"", "a.b": "dotted", "é": 1}`

var asked = &Request{
	Path:    "/orders/eu",
	Query:   map[string][]string{"room": {"blue", "red"}, "none": {}},
	Headers: map[string][]string{"X-Desk": {"fx", "eq"}},
	Client:  "192.0.2.7",
}

func TestWhatHolds(t *testing.T) {
	for text, want := range map[string]bool{
		`msg.type == "trade"`:                             true,
		`msg.type == "quote"`:                             false,
		`msg.type in ["quote", "trade"]`:                  true,
		`msg["type"] == "trade"`:                          true,
		`msg.n == 5 && msg.f == 5 && msg.e == 5`:          true,
		`msg.n == 5.0 && msg.f == 5.0`:                    true,
		`msg.n > 4 && msg.n < 5.5`:                        true,
		`msg.n == "5"`:                                    false,
		`msg.big == 9007199254740993`:                     true,
		`msg.big == 9007199254740992`:                     false,
		`msg.huge == 18446744073709551615u`:               true,
		`msg.far > 1e308`:                                 true,
		`msg.neg == -0.5`:                                 true,
		`msg.on == true && msg.off == false`:              true,
		`msg.none == null`:                                true,
		`has(msg.none) && !has(msg.other)`:                true,
		`has(msg.a.b.c) && !has(msg.a.x)`:                 true,
		`msg.a.b.c[0] == 1`:                               true,
		`msg.a.b.c[1].startsWith("tw")`:                   true,
		`msg.a.b.c[2].three == 3`:                         true,
		`size(msg.a.b.c) == 3 && size(msg.a) == 1`:        true,
		`msg.a.b.c.size() == 3`:                           true,
		`"two" in msg.a.b.c`:                              true,
		`"b" in msg.a && !("c" in msg.a)`:                 true,
		`msg.a.b.c == [1, "two", {"three": 3}]`:           true,
		`[1.0, "two", {"three": 3}] == msg.a.b.c`:         true,
		`msg.a == {"b": {"c": [1]}}`:                      false,
		`{"b": {"c": [1, "two", {"three": 3}]}} == msg.a`: true,
		`msg.a.b == msg.a.b && msg.a != msg.empty`:        true,
		`msg.a.b.c + [4] == [1, "two", {"three": 3}, 4]`:  true,
		`msg.empty == {} && msg.list == []`:               true,
		`msg.a.b.c.exists(x, x == "two")`:                 true,
		`msg.a.b.c.all(x, x != null)`:                     true,
		`msg.a.all(k, k == "b")`:                          true,
		`msg.a.b.c.filter(x, x == 1).size() == 1`:         true,
		`type(msg.a) == map && type(msg.list) == list`:    true,
		`msg.name == "café \"x\""`:                        true,
		`msg["a.b"] == "dotted" && msg["é"] == 1`:         true,
		`text.contains("\"type\"") && !binary`:            true,
		`text.matches("trade|quote")`:                     true,
		`matches(text, "^[^{]")`:                          false,
		`msg.type.matches("^tr")`:                         true,
		`size > 100 && size < 1000`:                       true,
		`request.path.startsWith("/orders/")`:             true,
		`request.query.room == "blue"`:                    true,
		`request.query["room"] == "red"`:                  false,
		`"none" in request.query`:                         false,
		`request.headers["x-desk"] == "fx"`:               true,
		`has(request.headers.cookie)`:                     false,
		`request.client == "192.0.2.7"`:                   true,
		`msg.missing == 1 || msg.type == "trade"`:         true,
		`msg.missing == 1 ? false : true`:                 false,
		`true`:                                            true,
	} {
		got, err := compiledRule(t, text).Match(&Input{Payload: []byte(order), Request: asked})
		if got != want || err != nil && !strings.Contains(text, "missing") {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

// TestWhatHasNoAnswer: such a rule does not hold, and says why.
func TestWhatHasNoAnswer(t *testing.T) {
	for _, c := range []struct {
		text string
		in   Input
		want string
	}{
		{`msg.missing == 1`, Input{Payload: []byte(`{"a": 1}`)}, "no such key: missing"},
		{`msg.a.b == 1`, Input{Payload: []byte(`{"a": 1}`)}, "no such key: b"},
		{`msg[3] == 1`, Input{Payload: []byte(`[1]`)}, "index out of bounds: 3"},
		{`msg.a + 1 == 2`, Input{Payload: []byte(`{"a": "1"}`)}, "no such overload"},
		{`msg.a.matches("1")`, Input{Payload: []byte(`{"a": 1}`)}, "no such overload"},
		{`msg.a == 1`, Input{Payload: []byte(`{"a": `)}, "the message is not JSON"},
		{`msg.a == 1`, Input{Payload: []byte(`{"a": 1, "a": 2}`)}, "the message is not JSON"},
		{`msg.a == 1`, Input{Payload: nil}, "the message is not JSON"},
		{`has(msg.a)`, Input{Payload: []byte("\xff")}, "the message is not JSON"},
		{`msg.a == 1`, Input{Payload: []byte(`{"a": 1}`), Binary: true}, "the message is binary, not JSON"},
		{`request.headers["x"] == "1"`, Input{}, "no such key: x"},
	} {
		got, err := compiledRule(t, c.text).Match(&c.in)
		if got || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: %v, %v; want %s", c.text, c.in.Payload, got, err, c.want)
		}
	}
}

func TestBinaryMessages(t *testing.T) {
	in := Input{Payload: []byte{0, 0xff, '{'}, Binary: true}
	for text, want := range map[string]bool{
		`binary`:                        true,
		`binary && size == 3`:           true,
		`text == ""`:                    true,
		`binary || msg.type == "a"`:     true,
		`msg.type == "a"`:               false,
		`request.path == ""`:            true,
		`request.query == {}`:           true,
		`text.contains("{") || !binary`: false,
	} {
		if got, _ := compiledRule(t, text).Match(&in); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestARuleIsItsText(t *testing.T) {
	a, b := compiledRule(t, `size == 101`), compiledRule(t, `size == 101`)
	if a != b || a.Text() != `size == 101` {
		t.Errorf("the same text gives two rules, or another text: %q", a.Text())
	}
	runtime.KeepAlive(a)
	if c := compiledRule(t, `size == 102`); c == a {
		t.Error("two texts give one rule")
	}
}

func TestManyMatchAtOnce(t *testing.T) {
	r := compiledRule(t, `msg.a.exists(x, x == 3) && text.matches("[0-9]") && request.query.q == "1"`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			in := Input{Payload: []byte(`{"a": [1, 2, 3]}`), Request: &Request{Query: map[string][]string{"q": {"1"}}}}
			for range 100 {
				if ok, err := r.Match(&in); !ok || err != nil {
					t.Errorf("%v, %v", ok, err)
				}
			}
		})
	}
	wg.Wait()
}

// What rules read says whether a message must be read for them.
func TestReads(t *testing.T) {
	for text, want := range map[string]bool{
		`msg.type == "a"`:                           true,
		`size > 1 && has(msg.a)`:                    true,
		`text == "msg.type"`:                        false,
		`request.headers["x-msg"] == "msg"`:         false,
		`[1].exists(n, n == 1) && !binary`:          false,
		`[1].exists(n, n == msg.n) && size == size`: true,
	} {
		if got := compiledRule(t, text).Reads(); got != want {
			t.Errorf("%s reads the message: want %v, got %v", text, want, got)
		}
	}
}

// Headers are in lower case, so another name would never be there.
func TestHeadersAreSmall(t *testing.T) {
	for _, text := range []string{`"X-Canary" in request.headers`, `request.headers["X-Desk"] == "fx"`} {
		var e *Error
		if _, err := Compile(text); !errors.As(err, &e) || !strings.Contains(e.What, "lower case") {
			t.Errorf("%s: want the error to name lower case, got %v", text, err)
		}
	}
	compiledRule(t, `"x-canary" in request.headers && msg["X"] == "Y"`)
}

// All rules of a list together may cost what one may.
func TestAListHasOneBudget(t *testing.T) {
	dear := compiledRule(t, `text.matches("(a|aa|aaa)*b")`)
	in := Input{Payload: []byte(strings.Repeat("a", maxPattern))}
	held := 0
	for range 50 {
		if _, err := dear.Match(&in); err == nil {
			held++
		}
	}
	if held == 0 || held > 2 {
		t.Errorf("a rule that costs most of the budget is matched once or twice, got %d times", held)
	}
}
