package rule

import (
	"encoding/json"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/sluice-proxy/sluice/internal/content"
)

var fuzzed = []string{
	`msg.a == 1`,
	`msg.type == "trade" && size < 1000`,
	`has(msg.a.b) && msg.a.b[1] > 0.5`,
	`msg.exists(x, x == msg[x])`,
	`msg.a == msg.b || msg.a in msg.list`,
	`size(msg) == 3`,
	`msg.list.exists(x, x == {"a": [1, null, true]})`,
	`text.matches("^[a-z]+$") || text.contains("é")`,
}

// FuzzMatch holds that no payload makes a rule panic, and that what a rule reads
// in the bytes is what it reads of the message as the standard library has it.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{
		order, ``, `{}`, `[]`, `"a"`, `{"a": 1, "b": 1.0}`, `{"a": {"b": [0, 0.75]}}`, `{"x": "x", "\u0061": 1}`,
		`{"type": "trade"}`, `{"list": [{"a": [1, null, true]}]}`, `{"a": [], "list": [1, []]}`, "\xff", `[[[[`,
		`{"a": 1e400, "b": -1e400}`, "{\"a\" :\r\n1\t, \"b\":{ } }", `{"a": "\\", "b": "\""}`,
	} {
		f.Add([]byte(seed))
	}
	rules := make([]*Rule, len(fuzzed))
	for k, text := range fuzzed {
		rules[k] = compiledRule(f, text)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 10_000 {
			return // what is bounded, the standard library's reading would not be
		}
		in, naive := Input{Payload: payload}, Input{Payload: payload}
		if content.Check(payload) == nil {
			naive.msg = unmarshalled(t, payload)
		}
		for _, r := range rules {
			got, err := r.Match(&in)
			if err != nil && strings.Contains(err.Error(), "internal error") {
				t.Errorf("%s: %v", r.Text(), err)
			}
			if want, naively := r.Match(&naive); got != want || (err == nil) != (naively == nil) {
				t.Errorf("%s: %v, %v; unmarshalled %v, %v", r.Text(), got, err, want, naively)
			}
		}
	})
}

// unmarshalled gives the message as values of the standard library.
func unmarshalled(t *testing.T, payload []byte) ref.Val {
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q passes as JSON: %v", payload, err)
	}
	return native(v)
}

func native(v any) ref.Val {
	switch v := v.(type) {
	case json.Number:
		return number(v.String())
	case map[string]any:
		m := map[ref.Val]ref.Val{}
		for name, val := range v {
			m[types.String(name)] = native(val)
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, m)
	case []any:
		vals := make([]ref.Val, len(v))
		for k := range v {
			vals[k] = native(v[k])
		}
		return types.NewRefValList(types.DefaultTypeAdapter, vals)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}
