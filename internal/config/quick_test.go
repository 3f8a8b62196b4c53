package config

import (
	"reflect"
	"testing"
	"time"
)

func TestBalancedIsTheFileItStandsFor(t *testing.T) {
	got, err := Balanced(Quick{
		QuickServer: QuickServer{
			Listen:  []string{":80", "unix:/run/sluice.sock"},
			Admin:   "off",
			Origins: []string{"self", "https://App.example.com"},
			TLSCert: "cert.pem", TLSKey: "key.pem",
			LogLevel: "debug", LogFormat: "json", LogSessions: "both",
			Drain: ptr(time.Minute),
		},
		Upstreams:    []string{"ws://a:9000", "unix:/run/app.sock"},
		Policy:       "hash:header=x-user",
		StickyCookie: "SID",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, `
listen:
  - {address: ":80", tls: {cert: cert.pem, key: key.pem}}
  - {address: "unix:/run/sluice.sock", tls: {cert: cert.pem, key: key.pem}}
admin: {address: "off"}
log: {level: debug, format: json, sessions: both}
drain: 1m
routes:
  origins: [self, "https://app.example.com"]
  balance:
    upstreams: ["ws://a:9000", "ws+unix:/run/app.sock"]
    policy: {hash: {header: X-User}}
    sticky: {cookie: SID}
`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the command line gives\n%s\nthe file\n%s", got.YAML(), want.YAML())
	}
	wantRoundTrip(t, got)
}

func TestBalancedFillsInTheDefaults(t *testing.T) {
	got, err := Balanced(Quick{Upstreams: []string{"ws://localhost:9000"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := parse(t, smallest); !reflect.DeepEqual(got, want) {
		t.Errorf("the command line gives\n%s\nthe file\n%s", got.YAML(), want.YAML())
	}
}

func TestPolicyFlag(t *testing.T) {
	for s, want := range map[string]Policy{
		"round_robin":      {Kind: "round_robin"},
		"random":           {Kind: "random"},
		"least_sessions":   {Kind: "least_sessions"},
		"least_load":       {Kind: "least_load"},
		"hash:ip":          {"hash", HashKey{From: "ip"}},
		"hash:header=x-id": {"hash", HashKey{"header", "X-Id"}},
		"hash:query=a=b":   {"hash", HashKey{"query", "a=b"}},
		"hash:cookie=SID":  {"hash", HashKey{"cookie", "SID"}},
	} {
		if got, err := parsePolicyFlag(s); got != want || err != nil {
			t.Errorf("%s is %v, %v", s, got, err)
		}
	}
}

func TestBalancedNamesTheFlag(t *testing.T) {
	up := []string{"ws://a"}
	for _, c := range []struct {
		q    Quick
		want string
	}{
		{Quick{}, "needs at least one upstream; write ws://localhost:9000"},
		{Quick{Upstreams: []string{"ws://a", "http://b:1"}}, `argument 2: "http://b:1" is not a WebSocket URL; write ws://b:1`},
		{Quick{Upstreams: []string{"ws://a", "ws://b", "ws://A:80"}}, "argument 3: ws://a:80 is listed twice (first: argument 1). An upstream with a greater share has a greater weight"},
		{Quick{Upstreams: up, QuickServer: QuickServer{Listen: []string{"here"}}}, `--listen: "here" is not an address; write localhost:8080, :8080 for all interfaces, or unix:PATH`},
		{Quick{Upstreams: up, QuickServer: QuickServer{Listen: []string{":1", ":1"}}}, "--listen: :1 is taken already by :1 (--listen)"},
		{Quick{Upstreams: up, QuickServer: QuickServer{Admin: "localhost:8080"}}, "--admin: localhost:8080 is taken already by localhost:8080 (--listen)"},
		{Quick{Upstreams: up, Policy: "foo"}, `--policy: "foo" is not round_robin, random, least_sessions, least_load, hash:ip, hash:header=NAME, hash:query=NAME or hash:cookie=NAME`},
		{Quick{Upstreams: up, Policy: "hash:cookie="}, "--policy: needs the name of a cookie"},
		{Quick{Upstreams: up, Keep: "replay"}, "--keep: replay needs to know what to replay: write a file with failover: {client: keep, state: replay, replay: {first: N, swallow: M}}"},
		{Quick{Upstreams: up, Keep: "none", Unproven: "lose"}, `--unproven: "lose" is not close, resend or drop`},
		{Quick{Upstreams: up, Unproven: "drop"}, "--unproven: needs --keep, too"},
		{Quick{Upstreams: up, StickyCookie: "a b"}, `--sticky-cookie: "a b" is not the name of a cookie`},
		{Quick{Upstreams: up, QuickServer: QuickServer{Origins: []string{"example.com"}}}, `--origin: "example.com" is not an origin; write https://app.example.com, self or *`},
		{Quick{Upstreams: up, QuickServer: QuickServer{TLSCert: "a"}}, "--tls-cert: needs --tls-key, too"},
		{Quick{Upstreams: up, QuickServer: QuickServer{TLSKey: "a"}}, "--tls-key: needs --tls-cert, too"},
		{Quick{Upstreams: up, QuickServer: QuickServer{LogLevel: "loud", LogFormat: "xml"}}, "--log-level: \"loud\" is not debug, info, warn or error\n--log-format: \"xml\" is not text or json"},
		{Quick{Upstreams: up, QuickServer: QuickServer{LogSessions: "all"}}, `--log-sessions: "all" is not both, close or none`},
		{Quick{Upstreams: up, QuickServer: QuickServer{Drain: ptr(-time.Second)}}, `--drain: "-1s" is negative`},
	} {
		_, err := Balanced(c.q)
		if err == nil || err.Error() != c.want {
			t.Errorf("%+v\ngives %v\nwant  %s", c.q, err, c.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }
