package faults_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// over is the code with which the feed says that there is no more.
const over = 4000

// ways in which a source's connection ends.
const (
	byReset = iota
	byFin
	byGoingAway
	byError
	bySilence
	deaths
)

// feed is a source that numbers its messages, connection by connection, breaks
// and comes back.
type feed struct {
	seed     uint64
	messages int  // of each connection, about
	silence  bool // how the first connection ends
	l        net.Listener
	link     *link    // on the proxy's way to it
	scripts  []script // of its connections, as far as a blow may fall on one

	witnessed atomic.Int64 // messages

	mu      sync.Mutex // guards what follows
	cond    sync.Cond
	sent    []stamp      // all that it wrote, whether it arrived or not
	seen    map[int]int  // bytes of each connection that the witness has got
	whole   map[int]bool // connections of which everything must arrive, unless a blow struck
	passes  []*pass      // connections, as the link has them
	stopped bool
	gone    int      // connections that the proxy has let go of
	done    bool     // all is written
	conn    net.Conn // the one that is open
}

// stamp is what is known of a message.
type stamp struct{ conn, n, size int }

// pass gives the link its script for the next connection. That the proxy dials
// again tells that it has given up the one before.
func (f *feed) pass(string) *pass {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := clear
	c := len(f.passes)
	if c > 0 {
		f.passes[c-1].release()
	}
	if c < len(f.scripts) {
		s = f.scripts[c]
	}
	f.passes = append(f.passes, newPass(s, nil))
	return f.passes[c]
}

// struck tells whether a blow has fallen on connection c.
func (f *feed) struck(c int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return c < len(f.passes) && f.passes[c].struck()
}

// serve takes the proxy's connections, one after the other. The last is one
// that no blow can fall on.
func (f *feed) serve(connections int) error {
	defer f.l.Close()
	for c, last := 0, false; !last; c++ {
		last = c >= connections-1 && (c >= len(f.scripts) || f.scripts[c].blow == noBlow)
		conn, err := f.l.Accept()
		if err == nil {
			err = f.connection(c, conn, last)
		}
		if err != nil && !f.struck(c) {
			return fmt.Errorf("the source's connection %d: %w", c, err)
		}
	}
	return nil
}

// connection is the life of one.
func (f *feed) connection(c int, conn net.Conn, last bool) error {
	defer conn.Close()
	f.mu.Lock()
	f.conn = conn
	f.mu.Unlock()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	defer func() { <-gone }()
	go func() { // pongs and closes are of no use to it
		defer close(gone)
		_, _ = in.WriteTo(io.Discard)
		f.mu.Lock()
		f.gone = c + 1
		f.cond.Broadcast()
		f.mu.Unlock()
	}()
	w := &writer{conn: conn, r: rand.New(rand.NewPCG(f.seed, uint64(c)))}
	w.write([]byte(testkit.AnswerTo(r.Header.Get("Sec-Websocket-Key"))))
	written := 0
	for n := range f.messages/2 + w.r.IntN(f.messages) {
		p := numbered(c, n, w.r)
		written += len(p)
		f.note(stamp{c, n, len(p)})
		w.message(p)
		if !f.keepUp(c, written, w) {
			return errors.New("the proxy has let go of it")
		}
	}
	f.die(c, w, last)
	return nil
}

func (f *feed) note(s stamp) {
	f.mu.Lock()
	f.sent = append(f.sent, s)
	f.mu.Unlock()
}

// keepUp waits for the witness, so that what is under way is bounded. It is
// false when nobody listens any more.
func (f *feed) keepUp(c, written int, w *writer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if written-f.seen[c] > 64<<10 {
		w.write(nil)
	}
	for !f.stopped && f.gone <= c && written-f.seen[c] > 64<<10 {
		f.cond.Wait()
	}
	return !f.stopped && f.gone <= c
}

// arrived tells what the witness has got.
func (f *feed) arrived(c, size int) {
	f.mu.Lock()
	f.seen[c] += size
	f.cond.Broadcast()
	f.mu.Unlock()
	f.witnessed.Add(1)
}

// ended tells that there is no more to come.
func (f *feed) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped || f.done
}

// stop ends it before its time.
func (f *feed) stop() {
	f.mu.Lock()
	f.stopped = true
	for _, p := range f.passes {
		p.release()
	}
	if f.conn != nil {
		f.conn.Close()
	}
	f.cond.Broadcast()
	f.mu.Unlock()
	f.l.Close()
}

// since tells how many messages and bytes were written behind one.
func (f *feed) since(conn, n int) (messages, size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := len(f.sent) - 1; k >= 0 && (f.sent[k].conn != conn || f.sent[k].n != n); k-- {
		messages++
		size += f.sent[k].size + ws.MaxHeader
	}
	return messages, size
}

// die ends a connection; only one that is reset may take messages with it.
func (f *feed) die(c int, w *writer, last bool) {
	how := w.r.IntN(deaths)
	switch {
	case f.silence && c == 0:
		how = bySilence // takes as long as a pong may
	case how == bySilence:
		how = byFin
	}
	f.mu.Lock()
	f.whole[c] = last || how != byReset
	f.done = last
	f.cond.Broadcast()
	f.mu.Unlock()
	w.write(nil)
	if !last && how <= byFin && w.r.IntN(2) == 0 { // in the middle of a frame
		w.write(testkit.Text("half of it").Plain()[:1+w.r.IntN(8)])
	}
	tc := w.conn.(*net.TCPConn)
	switch {
	case last:
		w.write(testkit.Close(over, "that was all").Plain())
	case how == byReset:
		_ = tc.SetLinger(0)
		w.conn.Close()
	case how == byFin:
		_ = tc.CloseWrite()
	case how == byGoingAway:
		w.write(testkit.Close(1001, "").Plain())
	case how == byError:
		w.write(testkit.Close(1011, "").Plain())
	}
}

// writer writes frames as a source might, or a client.
type writer struct {
	conn   net.Conn
	r      *rand.Rand
	masked bool   // as a client's are
	held   []byte // not yet written
}

// message writes one, maybe in fragments, maybe with pings between, maybe cut
// anywhere.
func (w *writer) message(p []byte) {
	f := testkit.Frame{Op: ws.Text}
	for w.r.IntN(4) == 0 && len(p) > 1 {
		k := w.r.IntN(len(p))
		f.More, f.Payload = true, string(p[:k])
		w.hold(f)
		if w.r.IntN(2) == 0 {
			w.hold(testkit.Ping("still there?"))
		}
		p, f.Op = p[k:], ws.Continuation
	}
	f.More, f.Payload = false, string(p)
	w.hold(f)
	switch w.r.IntN(6) {
	case 0: // with the next one
	case 1: // but for a piece
		k := w.r.IntN(len(w.held))
		w.conn.Write(w.held[:k])
		w.held = append(w.held[:0], w.held[k:]...)
	default:
		w.write(nil)
	}
	if len(w.held) > 20<<10 {
		w.write(nil)
	}
}

func (w *writer) hold(f testkit.Frame) {
	if w.masked {
		w.held = append(w.held, f.Masked()...)
		return
	}
	w.held = append(w.held, f.Plain()...)
}

func (w *writer) write(b []byte) {
	w.conn.Write(append(w.held, b...))
	w.held = w.held[:0]
}

// numbered is message n of connection c: of a few bytes or of 100 KiB.
func numbered(c, n int, r *rand.Rand) []byte {
	b := fmt.Appendf(nil, `{"c":%d,"n":%d,"k":"K%d"`, c, n, r.IntN(6))
	size := r.IntN(200)
	switch r.IntN(40) {
	case 0:
		size = r.IntN(100 << 10)
	case 1, 2, 3, 4:
		size = r.IntN(4 << 10)
	case 5:
		return append(b, '}')
	}
	b = append(b, `,"x":"`...)
	b = append(b, bytes.Repeat([]byte{'a' + byte(n%26)}, size)...)
	return append(b, `"}`...)
}
