package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests expect anew")

// environment is what the tests' files may name.
func environment(name string) (string, bool) {
	val, ok := map[string]string{
		"TOKEN":     "s3cret",
		"HOST":      "b.example.com",
		"PORT":      "9001",
		"WORD":      "never",
		"TWO_LINES": "a\nb",
	}[name]
	return val, ok
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("sluice.yaml", []byte(text), environment)
	if err != nil {
		t.Fatalf("it is refused:\n%v\n%s", err, text)
	}
	return c
}

// TestBad runs the transcript in testdata/bad.txt.
func TestBad(t *testing.T) {
	const path = "testdata/bad.txt"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, cases, _ := strings.Cut(string(data), "\n## ")
	var now strings.Builder
	now.WriteString(head)
	for _, c := range strings.Split(cases, "\n## ") {
		title, text, want := badCase(c)
		t.Run(title, func(t *testing.T) {
			_, err := Parse("sluice.yaml", []byte(text), environment)
			if err == nil {
				t.Fatal("it is accepted")
			}
			got := "! " + strings.ReplaceAll(err.Error(), "\n", "\n! ") + "\n"
			now.WriteString("\n## " + title + "\n" + text + got)
			if got != want && !*update {
				t.Errorf("the errors are\n%swant\n%s", got, want)
			}
		})
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(path, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// badCase splits a case into its sentence, its file and its errors.
func badCase(s string) (title, text, errs string) {
	title, rest, _ := strings.Cut(s, "\n")
	for line := range strings.Lines(strings.TrimRight(rest, "\n") + "\n") {
		switch {
		case line == "\n":
		case strings.HasPrefix(line, "! "):
			errs += line
		default:
			text += line
		}
	}
	return title, text, errs
}

// TestGood compares what each file in testdata/good says in full, and that this
// says the same again.
func TestGood(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c := parse(t, string(text))
			wantRoundTrip(t, c)
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, c.YAML(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(c.YAML()); got != string(want) {
				t.Errorf("in full it is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// wantRoundTrip checks that what c prints is c, save for the admin token.
func wantRoundTrip(t *testing.T, c *Config) {
	t.Helper()
	printed := c.YAML()
	again, err := Parse("printed.yaml", printed, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("what it prints is refused:\n%v\n%s", err, printed)
	}
	if c.Admin.Token != "" && again.Admin.Token != "***" {
		t.Errorf("the token is printed as %q", again.Admin.Token)
	}
	again.Admin.Token = c.Admin.Token
	if !reflect.DeepEqual(again, c) {
		t.Fatalf("what it prints is something else:\n%s\nwhich is\n%s", printed, again.YAML())
	}
}

// reference is the reference of the design, without what is not built yet.
const reference = `
version: 1
listen: [{address: "localhost:8080"}]
admin: {address: "localhost:9090"}
log: {level: info, format: text, sessions: close}
limits: {sessions: 0, sessions_per_ip: 0, handshakes_pending: 256, handshakes_per_second: 0}
drain: 10s
trusted_proxies: []
pools: {prices: {upstreams: ["ws://10.0.0.3:9000"], resolve: 5s, source_addresses: [], health: {}}}
routes:
  - name: feed
    match: {path: /feed}
    origins: [self]
    fanout:
      source: [{url: "wss://feed-a.example.com/", host: "", tls: {}}]
      subprotocols: []
      source_compress: true
      subscribe: []
      keepalive: {every: 0s, send: ""}
      on_source_close: {relay: []}
      stream_by: {path: false, query: []}
      streams: 100
      linger: 30s
      greeting: 0
      backlog: 0
      history: {messages: 10000, bytes: 8MiB, age: 10m}
      on_gone: live
      flush_interval: 0s
      slow: {policy: close, after: {bytes: 4MiB, messages: 0, age: 0s}, key: "", notice: none}
      compress: true
      client_messages: drop
      answers: []
      stale_after: 0s
  - name: work
    match: {path: /work}
    limits: {message_size: {client: 16MiB, upstream: 16MiB}}
    scatter:
      pool: prices
      send: least_load
      gather: {policy: interleave, id: "", timeout: 2s, hedge_after: 0s, unsolicited: pass, outstanding: {messages: 1024, bytes: 4MiB}}
      on_invalid: default
      on_lost: close
      max_legs: 16
      leg_idle: 0s
      buffer: 256KiB
      inspect: 1MiB
      compress: true
      failover: {spread: 2s, codes: [1001, 1011, 1012, 1013]}
  - name: chat
    match: {host: "", path: /, headers: {}}
    strip_prefix: ""
    headers: {set: {}, remove: []}
    origins: []
    timeouts: {handshake: 10s, dial: 5s, idle: 0s, ping: 20s, pong: 10s, write: 30s, frame: 10s, close: 5s, age: 0s}
    limits: {message_size: {client: 16MiB, upstream: 0}, messages: {rate: 0, burst: 0, over: wait}, pings_per_second: 20}
    balance:
      upstreams: [{url: "ws://10.0.0.1:9000", weight: 1, max_sessions: 0, max_handshakes: 64, host: "", tls: {}}]
      resolve: 5s
      source_addresses: []
      policy: least_load
      sticky: {cookie: ""}
      health: {probe: tcp, path: "", interval: 5s, timeout: 2s, rise: 2, fall: 3, outliers: true}
      failover: {client: close, spread: 2s, codes: [1001, 1012]}
`

func TestReferenceIsTheDefaults(t *testing.T) {
	said := parse(t, reference)
	left := parse(t, `
pools: {prices: {upstreams: "ws://10.0.0.3:9000"}}
routes:
  - {name: feed, match: {path: /feed}, fanout: {source: "wss://feed-a.example.com/"}}
  - {name: work, match: {path: /work}, scatter: {pool: prices}}
  - {name: chat, balance: {upstreams: "ws://10.0.0.1:9000"}}
`)
	if !reflect.DeepEqual(said, left) {
		t.Errorf("the reference says\n%s\nthe defaults are\n%s", said.YAML(), left.YAML())
	}
}

func TestListOfOneMayBeAScalar(t *testing.T) {
	lists := parse(t, `
listen: [{address: "localhost:80"}]
trusted_proxies: ["10.0.0.1/32"]
pools: {p: {upstreams: [{url: "ws://p"}]}}
routes:
  - name: feed
    match: {path: /feed}
    fanout:
      source: [{url: "ws://a"}]
      subprotocols: [chat]
      subscribe: ["hello"]
      on_source_close: {relay: [1000]}
      stream_by: {query: [room]}
      answers: [{match: ping, send: pong}]
  - {name: work, match: {path: /work}, scatter: {upstreams: [{url: "ws://a"}], send: {rules: [{when: binary, to: p}]}, failover: {codes: [1001]}}}
  - {name: default, origins: ["self"], headers: {remove: [A]}, balance: {upstreams: [{url: "ws://a"}], failover: {codes: [1001]}}}
`)
	scalars := parse(t, `
listen: localhost:80
trusted_proxies: 10.0.0.1
pools: {p: {upstreams: ws://p}}
routes:
  - name: feed
    match: {path: /feed}
    fanout:
      source: ws://a
      subprotocols: chat
      subscribe: hello
      on_source_close: {relay: 1000}
      stream_by: {query: room}
      answers: {match: ping, send: pong}
  - {name: work, match: {path: /work}, scatter: {upstreams: ws://a, send: {rules: {when: binary, to: p}}, failover: {codes: 1001}}}
  - {name: default, origins: self, headers: {remove: a}, balance: {upstreams: ws://a, failover: {codes: 1001}}}
`)
	if !reflect.DeepEqual(lists, scalars) {
		t.Errorf("as lists\n%s\nas scalars\n%s", lists.YAML(), scalars.YAML())
	}
}

func TestBurstFollowsRate(t *testing.T) {
	for _, c := range []struct {
		messages string
		burst    int
	}{
		{"{}", 0},
		{"{rate: 0}", 0},
		{"{rate: 0.001}", 1},
		{"{rate: 2}", 2},
		{"{rate: 2.5}", 3},
		{"{rate: 2.5, burst: 0}", 3},
		{"{rate: 2.5, burst: 1}", 1},
	} {
		got := parse(t, "routes: {limits: {messages: "+c.messages+`}, balance: {upstreams: "ws://a"}}`)
		if b := got.Routes[0].Limits.MessageBurst; b != c.burst {
			t.Errorf("%s gives a burst of %d, want %d", c.messages, b, c.burst)
		}
	}
}

func TestSecretsOfURLsAreNotRepeated(t *testing.T) {
	for _, u := range []string{"ws://user:secret@a", "http://user:secret@a", "ws://user:secret@a:x", "ws://user:secret@a b/", "user:secret@a"} {
		_, err := Parse("sluice.yaml", []byte(`routes: {balance: {upstreams: "`+u+`"}}`), environment)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", u, err)
		}
	}
}
