package config

import (
	"reflect"
	"slices"
	"testing"

	"github.com/sluice-proxy/sluice/internal/rule"
)

// scattered parses a scatter over the pool p, beside a and b, with more beside
// it.
func scattered(t *testing.T, more string) *Route {
	t.Helper()
	return parse(t, `
pools: {a: {upstreams: "ws://a"}, b: {upstreams: "ws://b"}, p: {upstreams: "ws://p"}}
routes: {scatter: {pool: p`+more+"}}").Routes[0]
}

func TestARouteNamesItsPools(t *testing.T) {
	for more, want := range map[string][]string{
		"":                              {"p"},
		", send: all":                   {"p"},
		", send: {hash: x}":             {"p"},
		", send: {hash: x, default: b}": {"p", "b"},
		", send: {by: x, to: {1: b, 2: a, 3: b, 4: p}, default: a}":                      {"p", "b", "a"},
		`, send: {rules: [{when: binary, to: b}, {when: "!binary", to: b}], default: a}`: {"p", "b", "a"},
	} {
		if got := scattered(t, more).Pools(); !slices.Equal(got, want) {
			t.Errorf("with %q it names %q, want %q", more, got, want)
		}
	}
	for file, want := range map[string][]string{
		`routes: {balance: {upstreams: "ws://a"}}`: {"default"},
		`routes: {scatter: {upstreams: "ws://a"}}`: {"default"},
		`routes: {fanout: {source: "ws://a"}}`:     nil,
	} {
		if got := parse(t, file).Routes[0].Pools(); !slices.Equal(got, want) {
			t.Errorf("%s: it names %q, want %q", file, got, want)
		}
	}
}

func TestWhatIsLostFollowsTheID(t *testing.T) {
	for more, want := range map[string]OnLost{
		"":                                   {"close", defaultLost},
		", gather: {id: id}":                 {"error", defaultLost},
		", gather: {id: id}, on_lost: close": {"close", defaultLost},
		", on_lost: {error: sorry}, gather: {id: id}": {"error", "sorry"},
	} {
		if got := scattered(t, more).Scatter.OnLost; got != want {
			t.Errorf("with %q it is %q, want %q", more, got, want)
		}
	}
}

func TestMessagesOfInstancesAreBounded(t *testing.T) {
	for limits, want := range map[string]int64{
		"{}":                                16 << 20,
		"{message_size: 1MiB}":              16 << 20,
		"{message_size: {client: 1MiB}}":    16 << 20,
		"{message_size: {upstream: 1MiB}}":  1 << 20,
		"{message_size: {upstream: 32MiB}}": 32 << 20,
	} {
		r := parse(t, "routes: {limits: "+limits+`, scatter: {upstreams: "ws://a"}}`).Routes[0]
		if got := r.Limits.MessageSizeUpstream; got != want {
			t.Errorf("%s gives %d, want %d", limits, got, want)
		}
	}
}

func TestKeysOfToAreTexts(t *testing.T) {
	got := scattered(t, `, send: {by: x, to: {5: a, true: a, null: a, 1.50: a, "${WORD}": b, "a b": b}}`).Scatter.Send.To
	want := map[string]string{"5": "a", "true": "a", "null": "a", "1.50": "a", "never": "b", "a b": "b"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("they are %q, want %q", got, want)
	}
}

func TestRulesAreCompiled(t *testing.T) {
	r := scattered(t, `, send: {rules: [{when: 'msg.type == "trade"', to: a}]}`).Scatter.Send.Rules[0]
	ok, err := r.When.Match(&rule.Input{Payload: []byte(`{"type": "trade"}`)})
	if !ok || err != nil || r.To != "a" {
		t.Errorf("a trade goes to %s: %v, %v", r.To, ok, err)
	}
}
