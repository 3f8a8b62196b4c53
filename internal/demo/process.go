package demo

import (
	"net"
	"sync"
	"time"
)

// process is a WebSocket server. It can be killed, as by SIGKILL, and started
// again at the same address.
type process struct {
	// Set once, then read-only.
	name, addr string
	converse   func(*talk) // with one client, to the end

	turn sync.Mutex // held while it starts and ends
	over bool       // it stays stopped; guarded by turn

	mu      sync.Mutex   // guards what follows
	l       net.Listener // nil while it is stopped
	leaving bool         // it takes leave of its clients
	kills   int
	conns   map[net.Conn]struct{}

	users sync.WaitGroup // its goroutines
}

// newProcess makes a stopped one with an address of its own.
func newProcess(name string, converse func(*talk)) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &process{name: name, addr: l.Addr().String(), converse: converse}, nil
}

func (p *process) url() string { return "ws://" + p.addr }

// start starts it if it is stopped.
func (p *process) start() error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.running() || p.over {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l, p.leaving, p.conns = l, false, map[net.Conn]struct{}{}
	p.users.Add(1)
	go p.accept(l)
	return nil
}

func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.l != nil
}

// kill ends it as SIGKILL does: nobody listens, and every connection is reset.
func (p *process) kill() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.killLocked()
}

// end kills it for good.
func (p *process) end() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.over = true
	p.killLocked()
}

func (p *process) killLocked() {
	if !p.running() {
		return
	}
	p.mu.Lock()
	p.l.Close()
	p.l = nil
	p.kills++
	for c := range p.conns {
		reset(c)
	}
	p.mu.Unlock()
	p.users.Wait()
}

// reset ends a connection without a word, and without what was on its way.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it is gone already
	}
	c.Close()
}

func (p *process) accept(l net.Listener) {
	defer p.users.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if !p.join(c, l) {
			reset(c)
			return
		}
		go p.serve(c)
	}
}

// join counts a connection in, unless the listener that it came by is closed.
func (p *process) join(c net.Conn, l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != l {
		return false
	}
	p.conns[c] = struct{}{}
	p.users.Add(1)
	return true
}

// serve is a connection's goroutine.
func (p *process) serve(c net.Conn) {
	defer p.users.Done()
	defer p.part(c)
	t, err := answer(c)
	if err != nil {
		return // a probe, mostly
	}
	p.settle(c)
	p.converse(t)
}

// settle ends the deadline of a handshake, unless leave is being taken.
func (p *process) settle(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = c.SetDeadline(time.Time{})
	if p.leaving {
		_ = c.SetReadDeadline(time.Now())
	}
}

func (p *process) part(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
