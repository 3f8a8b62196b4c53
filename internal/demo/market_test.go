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

// show runs a demo until the test ends, beside other tests, and gives where it
// is and what it has logged.
func show(t *testing.T, most int) (at string, logged *said) {
	t.Helper()
	t.Parallel()
	out := &said{more: make(chan struct{}, 1)}
	logged = &said{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Out: out, Log: logged, Version: "test", most: most})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
	at = out.await(t, `feed +ws://(\S+)/feed `)
	out.await(t, `Ctrl-C (ends)`)
	return at, logged
}

// listener is a client of the demo's feed that counts, as the page does.
type listener struct {
	t      *testing.T
	at     string
	conn   *websocket.Conn
	epoch  string
	next   uint64 // the offset of the message to come
	gap    *uint64
	trades uint64 // the latest trade's own number
}

func listen(t *testing.T, at, from string) *listener {
	t.Helper()
	l := &listener{t: t, at: at}
	l.connect(from)
	t.Cleanup(func() { l.conn.CloseNow() })
	return l
}

func (l *listener) connect(from string) {
	l.t.Helper()
	var err error
	l.conn, _, err = websocket.Dial(l.t.Context(), "ws://"+l.at+"/feed?sluice_announce=1&sluice_from="+from, nil)
	if err != nil {
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

func (l *listener) offset() string { return l.epoch + "-" + strconv.FormatUint(l.next, 10) }

func (l *listener) read(into any) {
	l.t.Helper()
	_, text, err := l.conn.Read(l.t.Context())
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
	if m.Symbol == "" || m.Price <= 0 || m.Time == 0 {
		l.t.Fatalf("a trade is %+v", m)
	}
	l.next++
	ahead = m.N - l.trades
	l.trades = m.N
	return ahead
}

// whole reads trades up to number n; none may be missing or come twice.
func (l *listener) whole(n uint64) {
	l.t.Helper()
	for l.trades < n {
		if ahead := l.trade(); ahead != 1 {
			l.t.Fatalf("trade %d comes after %d", l.trades, l.trades-ahead)
		}
	}
}

func TestTheFeedGoesOnWhereItWasCut(t *testing.T) {
	at, _ := show(t, 0)
	l := listen(t, at, "")
	l.trade()
	l.whole(l.trades + 20)
	from := l.offset()
	l.conn.CloseNow()
	for other := listen(t, at, ""); other.trades < l.trades+50; { // it goes on without l
		other.trade()
	}
	l.connect(from)
	if l.gap == nil || *l.gap != 0 || l.offset() != from {
		t.Fatalf("back at %s, it is told %s with a gap", from, l.offset())
	}
	l.whole(l.trades + 100)
}

func TestACrowdComesUpToItsBoundAndLeaves(t *testing.T) {
	const most = 1200
	at, _ := show(t, most)
	l := listen(t, at, "")
	if s := pressFeed(t, at, "add"); s.Connections != 1 || s.Simulated != crowdStep || s.Clients != crowdStep+1 {
		t.Fatalf("a crowd has come: %+v", s)
	}
	for range 2 {
		if s := pressFeed(t, at, "add"); s.Connections != 1 || s.Simulated != most || s.Clients != most+1 || s.Closed != 0 || s.Bound == "" {
			t.Fatalf("there is room for %d: %+v", most, s)
		}
	}
	before := pressFeed(t, at, "add")
	l.trade()
	l.whole(before.Trades + 50)
	s := pressFeed(t, at, "add")
	if n := (s.Delivered - before.Delivered) / most; n < 20 {
		t.Errorf("50 trades were made, each of %d clients was given %d", most, n)
	}
	if s := pressFeed(t, at, "leave"); s.Simulated != 0 || s.Connections != 1 {
		t.Fatalf("they have left: %+v", s)
	}
	if s := pressFeed(t, at, "add"); s.Simulated != crowdStep {
		t.Fatalf("others can come: %+v", s)
	}
}

func TestTheFeedOutlivesItsSource(t *testing.T) {
	at, logged := show(t, 0)
	l := listen(t, at, "")
	l.trade()
	before := pressFeed(t, at, "add")
	if s := pressFeed(t, at, "kill"); s.Running {
		t.Fatalf("the source is killed: %+v", s)
	}
	pressFeed(t, at, "kill")
	for l.trade() == 1 { // until those that nobody was told are missing
	}
	l.whole(l.trades + 20)
	s := pressFeed(t, at, "state")
	if !s.Running || !s.Up || s.Connections != 1 || s.Clients != before.Clients || s.Closed != 0 {
		t.Fatalf("the source is back: %+v; before: %+v", s, before)
	}
	if then, now := epoch(before.Offset), epoch(s.Offset); then == now || now == "" {
		t.Errorf("it was in epoch %s, now in %s", then, now)
	}
	if n := logged.lines(); n > 20 {
		t.Errorf("%d lines were logged of it", n)
	}

	from := l.offset() // as it counts on in the epoch that it knows
	l.conn.CloseNow()
	l.connect(from)
	if l.gap == nil || *l.gap != 0 {
		t.Fatalf("back at %s there is a gap", from)
	}
	l.whole(l.trades + 20)
}

func epoch(offset string) string {
	e, _, _ := strings.Cut(offset, "-")
	return e
}

func TestACrowdHasRoomForFiles(t *testing.T) {
	for _, c := range []struct{ files, want int }{{1 << 20, crowdMost}, {4096, 798}, {1024, 0}, {256, 0}} {
		if n, bound := crowdBound(crowdMost, c.files); n != c.want || strings.Contains(bound, "files") != (n < crowdMost) {
			t.Errorf("%d files are enough for %d, because %s; want %d", c.files, n, bound, c.want)
		}
	}
}

// pressFeed presses one of the feed's buttons; "state" is none.
func pressFeed(t *testing.T, at, verb string) (s feedState) {
	t.Helper()
	method, url := http.MethodPost, "http://"+at+"/demo/feed/"+verb
	if verb == "state" {
		method, url = http.MethodGet, "http://"+at+"/demo/feed"
	}
	r, _ := http.NewRequestWithContext(t.Context(), method, url, nil)
	r.Header.Set("X-Demo", "1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("%s: %s: %s", verb, resp.Status, text)
	}
	return s
}
