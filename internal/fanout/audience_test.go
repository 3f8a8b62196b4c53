package fanout

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// hall is a stream without a source, on one real loop.
type hall struct {
	t      testing.TB
	group  *loop.Group
	loop   *loop.Loop
	stream *Stream
	once   sync.Once

	mu   sync.Mutex // guards lost
	lost map[string]uint64
}

// newHall opens one. Timeouts are off.
func newHall(t testing.TB, slow config.Slow, history config.History) *hall {
	t.Helper()
	g, err := loop.Start(loop.Options{Loops: 1, Panicked: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) }})
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{t: t, group: g, loop: g.Loops()[0], lost: map[string]uint64{}}
	log := slog.New(slog.DiscardHandler)
	r, err := New(g).NewRoute(Config{
		Name: "r", Fanout: &config.Fanout{Slow: slow, History: history, Streams: 1, Compress: true}, Timeouts: config.Timeouts{Close: time.Second},
		Log: log, Complain: &upstream.Complaints{Log: log}, Observe: (*quiet)(h), Counters: loop.NewCounters(g), Ended: func(netip.Addr) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.stream = newStream(r.home, target{})
	h.stream.refs.Store(1)
	t.Cleanup(h.close)
	return h
}

// close ends it; it may be called again.
func (h *hall) close() {
	h.once.Do(func() {
		f := h.stream.route().fanout
		h.on(func() { f.crews[0].each((*subscriber).cut) })
		h.stream.refs.Store(dead)
		h.stream.wakeEncoder()
		f.wg.Wait()
		h.group.Stop()
	})
}

// quiet keeps what is told of losses.
type quiet hall

func (*quiet) Handshake(string, string, time.Duration) {}
func (*quiet) Closed(string, string, uint16)           {}
func (q *quiet) Lost(_, why string, n uint64)          { q.mu.Lock(); q.lost[why] += n; q.mu.Unlock() }
func (*quiet) SourceLost(string, string)               {}
func (*quiet) Delivered(time.Duration)                 {}
func (*quiet) DialError(string)                        {}

func (h *hall) lostTo(why string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost[why]
}

// doing is a task of the test's.
type doing struct {
	do    func()
	whole bool
	done  chan struct{}
}

func (d *doing) Run(*loop.Loop) {
	defer func() { d.done <- struct{}{} }()
	d.do()
	d.whole = true
}

// task gives one that may be run again and again.
func task(do func()) *doing { return &doing{do: do, done: make(chan struct{}, 1)} }

// run has the loop do it. It may not call FailNow, which would end the loop's
// goroutine: everything after would wait for ever.
func (h *hall) run(d *doing) {
	d.whole = false
	h.loop.Post(d)
	if <-d.done; !d.whole {
		h.once.Do(func() {}) // there is no loop to close anything on
		h.t.Fatal("a task on the loop did not come to its end")
	}
}

// on runs do on the loop, once.
func (h *hall) on(do func()) { h.run(task(do)) }

// await waits for what comes by itself: a pass may have to rest.
func (h *hall) await(what string, is func() bool) {
	h.t.Helper()
	for began, done := time.Now(), false; !done; runtime.Gosched() {
		if h.on(func() { done = is() }); !done && time.Since(began) > time.Minute {
			h.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// say appends messages as the source does.
func (h *hall) say(payloads ...[]byte) {
	h.on(func() {
		for _, p := range payloads {
			h.stream.append(ws.AppendHeader(nil, ws.Header{Fin: true, Opcode: ws.Text, Length: uint64(len(p))}), p)
		}
		h.stream.publish()
	})
}

// connected gives both ends of a connection that holds little, and says at once
// when it holds less.
func connected(t testing.TB) (client, served net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // shorter than the test's own
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("unix", l.Addr().String()); err == nil {
		served, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	_ = served.(*net.UnixConn).SetWriteBuffer(8 << 10)
	return client, served
}

// seat gives a client a place in the log of a form.
func (h *hall) seat(f form, at func(g *log) cursor) (net.Conn, *subscriber) {
	h.t.Helper()
	client, served := connected(h.t)
	taken, err := h.group.Take(served, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	g, err := h.stream.read(h.t.Context(), f)
	if err != nil {
		h.t.Fatal(err)
	}
	h.stream.acquire()
	s := &subscriber{aud: h.stream.audience(h.loop, f), at: at(g)}
	s.frame.Masked = true
	s.first = s.at.number()
	h.loop.Post(&starting{sub: s, taken: taken, log: g})
	h.on(func() {})
	return client, s
}

// The last one of an audience may leave while its turn is still to come.
func TestAnAudienceMayEndBeforeItsTurn(t *testing.T) {
	h := newHall(t, config.Slow{Policy: "close", After: config.Lag{Bytes: 1 << 20}}, config.History{})
	_, s := h.seat(plain, (*log).live)
	h.on(func() {
		h.stream.append([]byte{0x81, 1}, []byte("x"))
		s.aud.begin()
		s.cut()
	})
	h.on(func() {}) // the crew's turn
	client, _ := h.seat(plain, (*log).live)
	h.say([]byte("y"))
	got := make([]byte, 3)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "\x81\x01y" {
		t.Errorf("who comes next gets %q, %v", got, err)
	}
}

// A client that can't be told that it is too slow, because the message under
// way is too long, is cut off: in the middle of a pass, maybe as the last one.
func TestAnAudienceMayEndWhenItIsJudged(t *testing.T) {
	h := newHall(t, config.Slow{Policy: "close", After: config.Lag{Bytes: 64 << 10}}, config.History{})
	client, s := h.seat(plain, (*log).live)
	h.say(make([]byte, 4<<20))
	h.await("the client is behind, inside a message", func() bool { return s.has(flagInside) && s.aud.blocked.first == s })
	h.say(make([]byte, 100<<10))
	h.await("the client is cut off", func() bool { return s.has(flagEnded) })
	if n, _ := io.Copy(io.Discard, client); n >= 4<<20 {
		t.Errorf("the client got %d bytes", n)
	}
	if n := h.lostTo(lostClosed); n != 2 {
		t.Errorf("%d messages are lost, want 2", n)
	}
}

func TestAListIsLinkedBothWays(t *testing.T) {
	var l list
	s := make([]subscriber, 4)
	for i := range s {
		l.add(&s[i])
	}
	for _, k := range []int{1, 0, 3, 2} {
		l.remove(&s[k])
		var fro []*subscriber
		for p := l.last; p != nil; p = p.prev {
			fro = append(fro, p)
		}
		n := 0
		for p := l.first; p != nil; p = p.next {
			if n++; n > len(fro) || fro[len(fro)-n] != p {
				t.Fatal("forwards is not backwards")
			}
		}
		if n != len(fro) || s[k].next != nil || s[k].prev != nil {
			t.Fatal("what was removed is still linked")
		}
	}
	if l != (list{}) {
		t.Error("the list is not empty")
	}
}
