package demo

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// listener is a client of the demo's feed that counts, as the page does.
type listener struct {
	t      *testing.T
	ctx    context.Context
	conn   *websocket.Conn
	epoch  string
	next   uint64 // the offset of the message to come
	gap    *uint64
	trades uint64 // the latest trade's own number
}

func (l *listener) connect(at, query string) {
	l.t.Helper()
	var err error
	if l.conn, _, err = websocket.Dial(l.ctx, "ws://"+at+"/feed?sluice_announce=1"+query, nil); err != nil {
		l.t.Fatal(err)
	}
	var m struct {
		Sluice struct {
			Offset string
			Gap    *uint64
		}
	}
	l.read(&m)
	i := strings.LastIndexByte(m.Sluice.Offset, '-')
	l.epoch, l.gap = m.Sluice.Offset[:i], m.Sluice.Gap
	l.next, _ = strconv.ParseUint(m.Sluice.Offset[i+1:], 10, 64)
}

func (l *listener) read(into any) {
	l.t.Helper()
	_, text, err := l.conn.Read(l.ctx)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// trade reads one, and tells by how much its own number is ahead.
func (l *listener) trade() (ahead uint64) {
	l.t.Helper()
	var m trade
	l.read(&m)
	l.next++
	ahead = m.N - l.trades
	l.trades = m.N
	return ahead
}

func TestTheDemosFeedHasOneClientAndKeepsAll(t *testing.T) {
	out := &said{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Out: out, Log: io.Discard, Version: "test"})
	}()
	at := out.await(t, `page +http://(\S+)/`)
	out.await(t, `Ctrl-C (ends)`)

	l := &listener{t: t, ctx: ctx}
	l.connect(at, "")
	l.trade()
	if s := pressFeed(t, at, "add"); s.Connections != 1 || s.Clients != crowdStep+1 || s.Simulated != crowdStep {
		t.Fatalf("a crowd has come: %+v, want one connection to the source and %d clients", s, crowdStep+1)
	}
	for range 20 {
		if n := l.trade(); n != 1 {
			t.Fatalf("trades jump by %d", n)
		}
	}

	from := l.epoch + "-" + strconv.FormatUint(l.next, 10)
	l.conn.CloseNow()
	l.connect(at, "&sluice_from="+from)
	if l.gap == nil || *l.gap != 0 || l.trade() != 1 {
		t.Fatalf("back at %s there is a gap", from)
	}

	pressFeed(t, at, "kill")
	for l.trade() == 1 { // until those that nobody was told are missing
	}
	if s := pressFeed(t, at, "leave"); s.Connections != 1 {
		t.Fatalf("the source is back: %+v", s)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("it ends with %v", err)
	}
}

func pressFeed(t *testing.T, at, verb string) (s feedState) {
	t.Helper()
	r, _ := http.NewRequest("POST", "http://"+at+"/demo/feed/"+verb, nil)
	r.Header.Set("X-Demo", "1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatalf("%s: %s: %v", verb, resp.Status, err)
	}
	return s
}
