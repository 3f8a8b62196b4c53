package demo

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// answerer is a WebSocket server that answers each number with its own name. It
// can be killed, as by SIGKILL, and retired, as by SIGTERM, and started again
// at the same address.
type answerer struct {
	// Set once, then read-only.
	name, addr string

	turn sync.Mutex // held while it starts and ends
	over bool       // it stays stopped; guarded by turn

	mu      sync.Mutex // guards what follows
	version int
	l       net.Listener // nil while it is stopped
	leaving bool         // it takes leave of its clients
	conns   map[net.Conn]struct{}

	users sync.WaitGroup // its goroutines
}

// reply is what it says to a request.
type reply struct {
	N        uint64 `json:"n"` // the request's
	Instance string `json:"instance"`
	Version  int    `json:"version"`
}

// newAnswerer makes a stopped one with an address of its own.
func newAnswerer(name string) (*answerer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &answerer{name: name, addr: l.Addr().String(), version: 1}, nil
}

// start starts it if it is stopped.
func (a *answerer) start() error {
	a.turn.Lock()
	defer a.turn.Unlock()
	if a.running() || a.over {
		return nil
	}
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.l, a.leaving, a.conns = l, false, map[net.Conn]struct{}{}
	a.users.Add(1)
	go a.accept(l)
	return nil
}

func (a *answerer) running() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.l != nil
}

// kill ends it as SIGKILL does: nobody listens, and every connection is reset.
func (a *answerer) kill() {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.killLocked()
}

// end kills it for good.
func (a *answerer) end() {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.over = true
	a.killLocked()
}

func (a *answerer) killLocked() {
	if !a.running() {
		return
	}
	a.mu.Lock()
	a.l.Close()
	a.l = nil
	for c := range a.conns {
		reset(c)
	}
	a.mu.Unlock()
	a.users.Wait()
}

// reset ends a connection without a word, and without what was on its way.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it is gone already
	}
	c.Close()
}

// retire ends it as a server does on SIGTERM: it takes nobody more and closes
// its sessions with 1001.
func (a *answerer) retire() {
	a.turn.Lock()
	defer a.turn.Unlock()
	if !a.running() {
		return
	}
	a.mu.Lock()
	a.l.Close()
	a.l = nil
	a.leaving = true
	for c := range a.conns {
		_ = c.SetReadDeadline(time.Now()) // wakes its goroutine
	}
	a.mu.Unlock()
	a.users.Wait()
}

// upgrade has it be the next version from now on.
func (a *answerer) upgrade() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
}

func (a *answerer) accept(l net.Listener) {
	defer a.users.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if !a.join(c, l) {
			reset(c)
			return
		}
		go a.serve(c)
	}
}

// join counts a connection in, unless the listener that it came by is closed.
func (a *answerer) join(c net.Conn, l net.Listener) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.l != l {
		return false
	}
	a.conns[c] = struct{}{}
	a.users.Add(1)
	return true
}

// serve answers one client.
func (a *answerer) serve(c net.Conn) {
	defer a.users.Done()
	defer a.part(c)
	t, err := answer(c)
	if err != nil {
		return // a probe, mostly
	}
	a.settle(c)
	for {
		text, err := t.next()
		if errors.Is(err, os.ErrDeadlineExceeded) && !t.closed {
			t.close(ws.CodeGoingAway)
			_ = c.SetDeadline(time.Now().Add(patience))
			continue
		}
		if err != nil {
			return
		}
		var r reply
		if json.Unmarshal(text, &r) != nil || t.closed {
			continue
		}
		r.Instance, r.Version = a.name, a.current()
		text, _ = json.Marshal(r)
		if t.send(ws.Text, text) != nil {
			return
		}
	}
}

// settle ends the deadline of a handshake, unless leave is being taken.
func (a *answerer) settle(c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = c.SetDeadline(time.Time{})
	if a.leaving {
		_ = c.SetReadDeadline(time.Now())
	}
}

func (a *answerer) part(c net.Conn) {
	c.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
}

func (a *answerer) current() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version
}
