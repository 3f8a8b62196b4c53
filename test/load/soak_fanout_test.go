package load_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// rooms is how many streams the subscribers are spread over: few enough for most
// to be shared, and so many that they end and begin all the time.
const rooms = 100

// TestSoakFanout has tens of thousands of subscribers come and go, over
// WebSockets, as event streams and as lines, and streams with them.
func TestSoakFanout(t *testing.T) {
	for tr, part := range map[testkit.Transport]int{testkit.Raw: 4, testkit.Stream: 16} {
		t.Run(string(tr), func(t *testing.T) {
			level := testkit.Now()
			in := serve(t, sourceOf)
			s := startSoak(t, tr, "  - name: r\n    timeouts: {"+soakTimeouts+"}\n"+
				"    fanout: {source: "+in.urls()+", stream_by: {query: room}, streams: "+strconv.Itoa(rooms+1)+
				", linger: 0s, backlog: 3, history: {bytes: 64KiB}, on_source_close: {relay: 4000}}\n")
			soaked(t, s, *soakOf/part, subscribed)
			s.stop(t)
			in.close()
			level.WantBack(t, "and nothing is left of the Sluice")
		})
	}
}

// subscribedEnds are the ways in which a subscription ends, with their share of a
// thousand.
var subscribedEnds = []struct {
	name  string
	share int
	extra string // a line of the request
	play  play   // behind the answer's head
}{
	{"client", 249, "", subscriberCloses},
	{"compressed", 150, "Sec-WebSocket-Extensions: permessage-deflate", subscriberCloses},
	{"reset", 150, "", func(_ *soak, w *wire, _ int) error { _, err := message(w); return err }},
	{"half", 70, "", func(_ *soak, w *wire, _ int) error { _ = w.conn.CloseWrite(); return w.wantEnd() }},
	{"mute", 1, "", func(_ *soak, w *wire, _ int) error { return w.wantEnd() }},
	{"over", 30, "", func(_ *soak, w *wire, _ int) error { return w.wantClose(4000, true) }},
	{"refused", 50, "", nil},
	{"events", 200, "Accept: text/event-stream", func(_ *soak, w *wire, n int) error { return listened(w, n, "data: tick") }},
	{"lines", 100, "Accept: application/x-ndjson", func(_ *soak, w *wire, n int) error { return listened(w, n, `"data":"tick`) }},
}

// subscribed is a client of a fan-out route.
func subscribed(s *soak, w *wire, n int) error {
	k := n * 7919 % 1000
	for _, e := range subscribedEnds {
		if k -= e.share; k >= 0 {
			continue
		}
		err := subscribedAs(s, w, n, e.name, e.extra, e.play)
		if err != nil {
			err = fmt.Errorf("%s: %w", e.name, err)
		}
		return err
	}
	return fmt.Errorf("the shares are not a thousand")
}

func subscribedAs(s *soak, w *wire, n int, name, extra string, p play) error {
	target, status := "/?room="+strconv.Itoa(n%rooms), "101"
	switch name {
	case "over":
		target = "/?room=over"
	case "refused":
		target += "&sluice_nonsense=1"
	}
	var lines []string
	if extra != "" {
		lines = append(lines, extra)
	}
	request := testkit.Upgrade(target, lines...)
	if strings.HasPrefix(extra, "Accept") {
		request, status = "GET "+target+" HTTP/1.1\r\nHost: sluice.test\r\n"+extra+"\r\n\r\n", "200"
	}
	if _, err := w.conn.Write([]byte(request)); err != nil {
		return err
	}
	if name == "refused" {
		s.refused.Add(1)
		return refusedWith(w, "400")
	}
	if err := w.wantHead(status); err != nil {
		return err
	}
	s.opened.Add(1)
	w.in.Deflate, w.mute = name == "compressed", name == "mute"
	return p(s, w, n)
}

// message reads a message of the feed.
func message(w *wire) (string, error) {
	op, p, err := w.next()
	if err == nil && (op != ws.Text || !w.in.Deflate && !strings.HasPrefix(string(p), "tick")) {
		err = fmt.Errorf("want a message of the feed, got opcode %d %.40q", op, p)
	}
	return string(p), err
}

func subscriberCloses(s *soak, w *wire, n int) error {
	if _, err := message(w); err != nil {
		return err
	}
	return clientCloses(s, w, n)
}

// listened reads a message of an event stream or of lines, and hangs up in one
// way or another.
func listened(w *wire, n int, want string) error {
	if _, err := w.upTo(want); err != nil {
		return err
	}
	switch n % 3 {
	case 0:
		return w.conn.Close() // with FIN, unless there was more to read
	case 1:
		_ = w.conn.CloseWrite()
		return w.wantEnd()
	}
	return nil
}

// sourceOf is a source that talks until it is left. The room "over" ends soon, by
// the source's own word.
func sourceOf(w *wire) {
	head, err := w.upTo("\r\n\r\n")
	if err != nil {
		return
	}
	if _, err := w.conn.Write([]byte(answer(head))); err != nil {
		return
	}
	line, _, _ := strings.Cut(head, "\r\n")
	over := strings.Contains(line, "room=over")
	left := make(chan struct{})
	in := wire{}
	in.begin(w.conn, true)
	in.unread, in.mute = append(in.unread, w.unread...), true // one goroutine writes; messages are life enough
	go in.awaitClose(left)
	defer func() { w.conn.Close(); <-left }()
	tick := time.NewTicker(soakTick)
	defer tick.Stop()
	for n := 0; ; n++ {
		if over && n > 2 {
			_ = w.send(ws.CloseFrame, "\x0f\xa0over") // 4000
			<-left
			return
		}
		if w.send(ws.Text, "tick "+strconv.Itoa(n)+strings.Repeat(".", 100)) != nil {
			return
		}
		select {
		case <-left:
			_ = w.send(ws.CloseFrame, "\x03\xe8")
			return
		case <-tick.C:
		}
	}
}

// awaitClose reads until the peer closes, or is gone.
func (w *wire) awaitClose(left chan<- struct{}) {
	defer close(left)
	for {
		if op, _, err := w.next(); err != nil || op == ws.CloseFrame {
			return
		}
	}
}
