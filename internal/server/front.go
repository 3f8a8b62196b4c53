package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

// front meets clients before net/http does. A plain upgrade to a balanced route,
// which is nearly all that comes, goes to its loop from here: it costs less
// than to have net/http serve a request that it is then taken away from (ADR 9).
// Everything else goes on to net/http with the bytes that were read: what
// is not plain, what is refused, ordinary HTTP, fan-out.
type front struct {
	*gated
	onward chan met // for net/http's Accept
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup // run, and those who meet

	mu      sync.Mutex // guards meeting
	meeting map[*conn]struct{}
}

// met is a connection that goes on to net/http, or why there is none.
type met struct {
	conn net.Conn
	err  error
}

// firstRead is the most that is read of a client here. A head that does not come
// whole in one read is net/http's.
const firstRead = 4 << 10

// room is what meeting a client takes; it is lent.
type room struct {
	buf    [firstRead]byte
	bytes  bytes.Reader
	parser *bufio.Reader
}

var rooms = sync.Pool{New: func() any { return &room{parser: bufio.NewReaderSize(nil, firstRead)} }}

func newFront(g *gated) *front {
	f := &front{gated: g, onward: make(chan met), closed: make(chan struct{}), meeting: map[*conn]struct{}{}}
	f.wg.Add(1)
	go f.run()
	return f
}

// Accept gives net/http what is for it.
func (f *front) Accept() (net.Conn, error) {
	select {
	case m := <-f.onward:
		return m.conn, m.err
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener, and what is being met.
func (f *front) Close() error {
	f.once.Do(func() { close(f.closed) })
	err := f.gated.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.meeting {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
	return err
}

// run accepts. An error is net/http's, which knows when to try again.
func (f *front) run() {
	defer f.wg.Done()
	for {
		c, err := f.gated.Accept()
		if err != nil {
			if !f.pass(nil, err) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		f.wg.Add(1)
		go f.meet(c.(*conn))
	}
}

// pass hands something to net/http, unless that has ended.
func (f *front) pass(c net.Conn, err error) bool {
	select {
	case f.onward <- met{c, err}:
		return true
	case <-f.closed:
		return false
	}
}

// meet reads what a client says first, and finds out whose it is.
func (f *front) meet(c *conn) {
	defer f.wg.Done()
	defer f.recovered(c)
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	n := f.hear(c, r.buf[:])
	if n > 0 && f.server.enter(c, r, r.buf[:n]) {
		return
	}
	c.head = append([]byte(nil), r.buf[:n]...)
	if n == 0 || !f.pass(c, nil) {
		c.Close()
		c.left()
	}
}

// recovered ends what met a defect of ours, alone.
func (f *front) recovered(c *conn) {
	if v := recover(); v != nil {
		f.server.cfg.Log.Error("panic in a handshake; the connection is closed", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		c.Close()
		c.left()
	}
}

// hear reads once. It gives 0 for a client that says nothing in time, or that
// came too late.
func (f *front) hear(c *conn, b []byte) (n int) {
	_ = c.SetReadDeadline(deadline(headTimeout))
	f.mu.Lock()
	select {
	case <-f.closed:
		f.mu.Unlock()
		return 0
	default:
	}
	f.meeting[c] = struct{}{}
	f.mu.Unlock()
	n, _ = c.Read(b)
	f.mu.Lock()
	delete(f.meeting, c)
	f.mu.Unlock()
	_ = c.SetReadDeadline(noDeadline)
	return n
}

// enter takes a client that begins with p to its loop, if p is a plain upgrade
// that nothing speaks against. Else it does nothing: the request is judged again
// where it can be answered.
func (s *Server) enter(c *conn, room *room, p []byte) bool {
	i := bytes.Index(p, []byte("\r\n\r\n"))
	if i < 0 || !handshake.Plain(p[:i+4]) || s.closing.Load() {
		return false
	}
	r, err := room.request(p[:i+4])
	if err != nil {
		return false
	}
	r.RemoteAddr = c.RemoteAddr().String()
	rt := s.table.Load().match(r)
	if rt == nil || rt.fanout != nil {
		return false
	}
	offer, refusal := judge(r)
	if refusal != nil || rt.forbidden(r) != nil {
		return false
	}
	from := s.peerOf(r)
	if s.admission.admit(from.client, rt.files()) != nil {
		return false
	}
	q := s.request(r, rt, from, offer)
	taken, err := s.cfg.Group.Take(c, append([]byte(nil), p[i+4:]...))
	c.left()
	if err != nil {
		s.cfg.Log.Warn("connection not taken over", "client", from.name(), "err", err)
		s.Ended(from.client)
		return true
	}
	q.Client = taken
	s.cfg.Relay.Start(q)
	return true
}

// request parses a plain head.
func (r *room) request(head []byte) (*http.Request, error) {
	r.bytes.Reset(head)
	r.parser.Reset(&r.bytes)
	return http.ReadRequest(r.parser)
}
