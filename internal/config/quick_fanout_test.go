package config

import (
	"reflect"
	"testing"
	"time"
)

func TestFannedIsTheFileItStandsFor(t *testing.T) {
	got, err := Fanned(QuickFanout{
		QuickServer:    QuickServer{Listen: []string{":80"}, Admin: "off", Origins: []string{"*"}, Drain: ptr(time.Minute)},
		Sources:        []string{"wss://Feed-a/ws?key=1", "unix:/run/feed.sock"},
		Arbitration:    "merge",
		Subscribe:      []string{`{"op": "subscribe"}`, "a\nb", "a\nb"},
		StreamBy:       []string{"query=symbol", "path", "query=room"},
		Backlog:        ptr(100),
		Greeting:       1,
		ClientMessages: "forward",
		Slow:           "latest:data.symbol",
		FlushInterval:  ptr(50 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, `
listen: ":80"
admin: "off"
drain: 1m
routes:
  origins: "*"
  fanout:
    source: ["wss://feed-a/ws?key=1", "unix:/run/feed.sock"]
    arbitration: merge
    subscribe: ['{"op": "subscribe"}', "a\nb", "a\nb"]
    stream_by: {path: true, query: [symbol, room]}
    backlog: 100
    greeting: 1
    client_messages: forward
    slow: {policy: latest, key: data.symbol, notice: none}
    flush_interval: 50ms
`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the command line gives\n%s\nthe file\n%s", got.YAML(), want.YAML())
	}
	wantRoundTrip(t, got)
}

func TestFannedTakesAKeyBehindTheArbitration(t *testing.T) {
	for flag, want := range map[string]string{
		"standby":   "arbitration: standby",
		"first":     "arbitration: first",
		"first:a.b": "arbitration: first, dedupe: {key: a.b}",
	} {
		got, err := Fanned(QuickFanout{Sources: []string{"ws://a", "ws://b"}, Arbitration: flag})
		if err != nil {
			t.Fatal(err)
		}
		if want := parse(t, "routes: {fanout: {source: [\"ws://a\", \"ws://b\"], "+want+"}}"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives\n%s\nthe file\n%s", flag, got.YAML(), want.YAML())
		}
	}
}

func TestFannedFillsInTheDefaults(t *testing.T) {
	want := parse(t, "routes: {fanout: {source: ws://a}}")
	for _, q := range []QuickFanout{
		{Sources: []string{"ws://a"}},
		{Sources: []string{"ws://a"}, Subscribe: []string{}, Backlog: ptr(0), FlushInterval: ptr(time.Duration(0)), Slow: "close", ClientMessages: "drop"},
	} {
		got, err := Fanned(q)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the command line gives\n%s\nthe file\n%s", got.YAML(), want.YAML())
		}
	}
}

func TestFannedNamesTheFlag(t *testing.T) {
	src := []string{"ws://a"}
	for _, c := range []struct {
		q    QuickFanout
		want string
	}{
		{QuickFanout{}, "needs at least one source; write wss://HOST/"},
		{QuickFanout{Sources: []string{"ws://a", "http://b:1?token=x"}}, `argument 2: "http://b:1" is not a WebSocket URL; write ws://b:1`},
		{QuickFanout{Sources: []string{"ws://a?x", "ws://A:80/?x"}}, "argument 2: ws://a:80/ is listed twice (first: argument 1). One is tried over and over, or connected all the time"},
		{QuickFanout{Sources: src, Arbitration: "all"}, `--arbitration: "all" is not standby, merge, first or first:KEY`},
		{QuickFanout{Sources: src, Arbitration: "merge:seq"}, `--arbitration: "merge:seq" is not standby, merge, first or first:KEY`},
		{QuickFanout{Sources: src, Arbitration: "first:"}, `--arbitration: "first:" is not complete; write first:KEY, the JSON path of what a message is known by, or first`},
		{QuickFanout{Sources: src, Arbitration: "first"}, "--arbitration: first is for two sources or more, and there is one; add another to source, or write standby"},
		{QuickFanout{Sources: src, Subscribe: []string{"a", ""}}, "--subscribe: is an empty text"},
		{QuickFanout{Sources: src, Subscribe: []string{"\xff"}}, "--subscribe: is not UTF-8, which a text message must be"},
		{QuickFanout{Sources: src, StreamBy: []string{"symbol"}}, `--stream-by: "symbol" is not path or query=NAME`},
		{QuickFanout{Sources: src, StreamBy: []string{"query="}}, "--stream-by: needs the name of a parameter; write symbol for ?symbol=BTC"},
		{QuickFanout{Sources: src, StreamBy: []string{"query=sluice_from"}}, "--stream-by: sluice_from is Sluice's own: sluice_* parameters don't go to the source"},
		{QuickFanout{Sources: src, StreamBy: []string{"query=a", "query=a"}}, `--stream-by: "query=a" is given twice`},
		{QuickFanout{Sources: []string{"ws://a?s=1"}, StreamBy: []string{"query=s"}}, "--stream-by: the parameter s is in the URL of ws://a already; take it out of one of them"},
		{QuickFanout{Sources: src, Backlog: ptr(-1)}, "--backlog: -1 is negative"},
		{QuickFanout{Sources: src, Backlog: ptr(10_001)}, "--backlog: 10001 is more than is kept; the most is history.messages, 10000"},
		{QuickFanout{Sources: src, Greeting: -1}, "--greeting: -1 is negative"},
		{QuickFanout{Sources: src, Greeting: 1001}, "--greeting: 1001 is too large; the most is 1000"},
		{QuickFanout{Sources: src, ClientMessages: "allow"}, `--client-messages: "allow" is not drop, forward or reject`},
		{QuickFanout{Sources: src, Slow: "drop"}, `--slow: "drop" is not close, skip or latest:KEY`},
		{QuickFanout{Sources: src, Slow: "skip:a"}, `--slow: "skip:a" is not close, skip or latest:KEY`},
		{QuickFanout{Sources: src, Slow: "latest"}, `--slow: "latest" is not complete; write latest:KEY, the JSON path of what a message is about`},
		{QuickFanout{Sources: src, FlushInterval: ptr(-time.Second)}, `--flush-interval: "-1s" is negative`},
		{QuickFanout{Sources: src, FlushInterval: ptr(time.Minute)}, `--flush-interval: "1m0s" is too long; the longest is 10s`},
		{QuickFanout{Sources: src, QuickServer: QuickServer{Admin: "localhost:8080"}}, "--admin: localhost:8080 is taken already by localhost:8080 (--listen)"},
	} {
		_, err := Fanned(c.q)
		if err == nil || err.Error() != c.want {
			t.Errorf("%+v\ngives %v\nwant  %s", c.q, err, c.want)
		}
	}
}
