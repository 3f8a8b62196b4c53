package config

import (
	"slices"
	"strings"
	"testing"
)

const diffBase = `
listen: [{address: "127.0.0.1:1", tls: {cert: a, key: b}}, "127.0.0.1:2"]
pools: {p: {upstreams: ["ws://a:1", "ws://b:1"]}}
routes:
  - {name: chat, match: {path: /chat}, balance: {pool: p}}
  - {name: own, match: {path: /own}, balance: {upstreams: "ws://c:1"}}
  - {name: feed, match: {path: /feed}, fanout: {source: "ws://d:1"}}
  - {name: work, match: {path: /work}, scatter: {pool: p, send: {rules: [{when: "size > 9", to: p}]}}}
`

func TestDiff(t *testing.T) {
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse("test", []byte(text), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return c
	}
	for _, c := range []struct {
		sentence, was, is string
		changed, restart  []string
	}{
		{"nothing", "", "", nil, nil},
		{"an upstream of a named pool", `, "ws://b:1"]`, `]`, []string{"pool p: upstreams"}, nil},
		{"an upstream of a route's own", "ws://c:1", "ws://c:2", []string{"route own: upstreams"}, nil},
		{"what a mode has", "{pool: p}", "{pool: p, policy: random, failover: {spread: 1s}}", []string{"route chat: policy, failover"}, nil},
		{"what every route has", "name: feed,", "name: feed, limits: {message_size: 1}, timeouts: {ping: 1s}, origins: [\"*\"],", []string{"route feed: origins, timeouts, limits"}, nil},
		{"a source", "ws://d:1", "ws://d:2", []string{"route feed: source"}, nil},
		{"a rule", "size > 9", "size > 8", []string{"route work: send"}, nil},
		{"a rule in other quotes", `"size > 9"`, `'size > 9'`, nil, nil},
		{"what a scatter has", "{pool: p, send", "{pool: p, gather: {id: id}, max_legs: 3, send", []string{"route work: gather, on_lost, max_legs, leg_idle"}, nil},
		{"another mode", `fanout: {source: "ws://d:1"}`, `balance: {pool: p}`, []string{"route feed: mode fanout became balance"}, nil},
		{"another name", "name: own", "name: mine", []string{"route own removed", "route mine added"}, nil},
		{"another pool, the old one gone", "{pool: p}", `{upstreams: "ws://a:1"}`, []string{"route chat: pool"}, nil},
		{"the process", "pools:", "drain: 1s\ntrusted_proxies: [10.0.0.0/8]\nlog: {level: debug, sessions: none}\nlimits: {sessions: 9}\npools:",
			[]string{"log: level, sessions", "limits: sessions", "drain", "trusted_proxies"}, nil},
		{"what must wait", "pools:", "log: {format: json}\nlimits: {sessions_per_ip: 9, handshakes_pending: 3}\nadmin: \"127.0.0.1:9\"\npools:", nil,
			[]string{"log.format", "limits.sessions_per_ip", "limits.handshakes_pending", "admin"}},
		{"a certificate", "cert: a", "cert: c", []string{"listen 127.0.0.1:1: certificate files"}, nil},
		{"a listener", `, "127.0.0.1:2"`, "", nil, []string{"listen"}},
		{"a listener without TLS", `{address: "127.0.0.1:1", tls: {cert: a, key: b}}`, `"127.0.0.1:1"`, nil, []string{"listen"}},
	} {
		if !strings.Contains(diffBase, c.was) {
			t.Fatalf("%s: the base has no %q", c.sentence, c.was)
		}
		base := diffBase
		if c.sentence == "another pool, the old one gone" {
			base = strings.Replace(base, `name: own, match: {path: /own}, balance: {upstreams: "ws://c:1"}`, `name: own, match: {path: /own}, balance: {pool: p}`, 1)
		}
		next := base
		if c.was != "" {
			next = strings.Replace(base, c.was, c.is, 1)
		}
		got := parse(base).Diff(parse(next))
		if !slices.Equal(got.Changed, c.changed) || !slices.Equal(got.Restart, c.restart) {
			t.Errorf("%s: %q, and a restart for %q; want %q and %q", c.sentence, got.Changed, got.Restart, c.changed, c.restart)
		}
	}
}

func TestDiffOfTheOrder(t *testing.T) {
	a, b := &Route{Name: "a", Balance: &Balance{}}, &Route{Name: "b", Balance: &Balance{}}
	got := (&Config{Routes: []*Route{a, b}}).Diff(&Config{Routes: []*Route{b, a}})
	if !slices.Equal(got.Changed, []string{"order of routes"}) {
		t.Errorf("%q", got.Changed)
	}
}
