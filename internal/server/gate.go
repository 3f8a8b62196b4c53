package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// slowHead is how long a connection without a whole request holds its place
// at the gate.
const slowHead = time.Second

// gate bounds the connections between Accept and take-over, which are the
// expensive ones. A storm waits in the kernel's queue.
type gate struct {
	slots chan struct{}
	held  atomic.Int64 // connections that net/http has, at the gate or past it
}

// newGate makes a gate for so many connections and the listeners that wait
// with a place in hand. With 0 there is no bound.
func newGate(pending, listeners int) *gate {
	g := &gate{}
	if pending > 0 {
		g.slots = make(chan struct{}, pending+listeners)
	}
	return g
}

func (g *gate) enter() {
	if g.slots != nil {
		g.slots <- struct{}{}
	}
}

func (g *gate) leave() {
	if g.slots != nil {
		<-g.slots
	}
}

// gated is a listener behind the gate.
type gated struct {
	net.Listener
	server *Server
	proxy  *proxyPeers // nil where no PROXY header is read
}

// Accept waits for a place, then for a connection.
func (l *gated) Accept() (net.Conn, error) {
	g := l.server.gate
	g.enter()
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			g.leave()
			return nil, err
		}
		if l.server.crowded() {
			l.server.turnAway(c)
			continue
		}
		g.held.Add(1)
		gc := &conn{Conn: c, gate: g}
		if l.proxy != nil && l.proxy.trusts(c.RemoteAddr()) {
			gc.proxy = newProxyHeader(c)
		}
		gc.slow = time.AfterFunc(slowHead, gc.overdue)
		return gc, nil
	}
}

// conn is an accepted connection. net/http reads requests from it until a
// session takes what is inside.
type conn struct {
	net.Conn
	gate   *gate
	proxy  *proxyHeader // nil where none is expected
	head   []byte       // read before net/http got it, to be read again
	slow   *time.Timer
	passed atomic.Bool // its place at the gate is free again
	gone   atomic.Bool // net/http has it no longer
}

// Read reads behind the PROXY header.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	if c.proxy != nil {
		return c.proxy.read(p)
	}
	return c.Conn.Read(p)
}

// RemoteAddr is the client's, as the PROXY header has it.
func (c *conn) RemoteAddr() net.Addr {
	if c.proxy != nil {
		return c.proxy.source()
	}
	return c.Conn.RemoteAddr()
}

// CloseWrite passes a half-close on.
func (c *conn) CloseWrite() error {
	if hc, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return hc.CloseWrite()
	}
	return nil
}

// SetLinger passes the setting on.
func (c *conn) SetLinger(sec int) error {
	if lc, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return lc.SetLinger(sec)
	}
	return nil
}

// Unwrap gives up the connection inside, for a loop.
func (c *conn) Unwrap() (inner net.Conn, unread []byte) {
	unread = c.head
	if c.proxy != nil {
		unread = append(unread, c.proxy.unread()...)
	}
	return c.Conn, unread
}

// overdue frees the place of a connection that takes its time.
func (c *conn) overdue() {
	if c.passed.CompareAndSwap(false, true) {
		c.gate.leave()
	}
}

func (c *conn) leaveGate() {
	if c.passed.CompareAndSwap(false, true) {
		c.slow.Stop()
		c.gate.leave()
	}
}

func (c *conn) left() {
	c.leaveGate()
	if c.gone.CompareAndSwap(false, true) {
		c.gate.held.Add(-1)
	}
}

// gatedConn gives the conn that nc is, or has inside; nil if there is none.
func gatedConn(nc net.Conn) *conn {
	if tc, ok := nc.(*tls.Conn); ok {
		if k, ok := tc.NetConn().(*loop.Link); ok {
			nc = k.Conn
		}
	}
	c, _ := nc.(*conn)
	return c
}

type connKey struct{}

// connContext lets a request find the connection that it came on.
func connContext(ctx context.Context, nc net.Conn) context.Context {
	if c := gatedConn(nc); c != nil {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// connState frees places at the gate as net/http moves connections along.
func connState(nc net.Conn, state http.ConnState) {
	c := gatedConn(nc)
	if c == nil {
		return
	}
	switch state {
	case http.StateIdle:
		c.leaveGate()
	case http.StateHijacked, http.StateClosed:
		c.left()
	}
}
