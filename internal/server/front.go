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
	u, heard := f.recognize(c)
	switch {
	case u != nil:
		f.server.enter(c, u)
	case !heard || !f.pass(c, nil):
		c.Close()
		c.left()
	}
}

// recognize gives the upgrade that a client begins with, or leaves what it said
// to net/http. heard is false if it said nothing.
func (f *front) recognize(c *conn) (u *upgrade, heard bool) {
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	n := f.hear(c, r.buf[:])
	if n == 0 {
		return nil, false
	}
	if u = f.server.upgradeOf(c, r, r.buf[:n]); u == nil {
		c.head = append([]byte(nil), r.buf[:n]...)
	}
	return u, true
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

// upgrade is a plain upgrade that nothing speaks against. Its session is
// counted in.
type upgrade struct {
	r     *http.Request
	route *Route
	offer *handshake.Offer
	from  peer
	rest  []byte // read behind the head
}

// upgradeOf gives the upgrade that p begins with, or nil: then the request is
// judged again where it can be answered.
func (s *Server) upgradeOf(c *conn, room *room, p []byte) *upgrade {
	i := bytes.Index(p, []byte("\r\n\r\n"))
	if i < 0 || !handshake.Plain(p[:i+4]) || s.closing.Load() {
		return nil
	}
	r, err := room.request(p[:i+4])
	if err != nil {
		return nil
	}
	r.RemoteAddr = c.RemoteAddr().String()
	rt := s.table.Load().match(r)
	if rt == nil || rt.fanout != nil {
		return nil
	}
	offer, refusal := judge(r)
	if refusal != nil || rt.forbidden(r) != nil {
		return nil
	}
	from := s.peerOf(r)
	if s.admission.admit(from.client, rt.files) != nil {
		return nil
	}
	return &upgrade{r: r, route: rt, offer: offer, from: from, rest: append([]byte(nil), p[i+4:]...)}
}

// enter takes a client to its loop when it is its turn.
func (s *Server) enter(c *conn, u *upgrade) {
	began := time.Now()
	if refusal, result := s.storm.pace(c, nil); refusal != nil {
		s.admission.leave(u.from.client, u.route.files)
		s.sendAway(c, u, refusal, result, began)
		return
	}
	start := s.prepare(u.r, u.route, u.from, u.offer)
	taken, err := s.cfg.Group.Take(c, u.rest)
	c.left()
	if err != nil {
		s.cfg.Log.Warn("connection not taken over", "client", u.from.name(), "err", err)
		s.admission.leave(u.from.client, u.route.files)
		return
	}
	start(taken)
}

// sendAway answers a client that does not get its turn. There are many of them,
// and net/http would take as long over each as a session takes.
func (s *Server) sendAway(c *conn, u *upgrade, refusal *handshake.Refusal, result string, began time.Time) {
	s.cfg.Observe.Handshake(u.route.cfg.Name, result, time.Since(began))
	s.cfg.Log.Debug("handshake refused", "route", u.route.cfg.Name, "client", u.from.name(), "status", refusal.Status, "why", refusal.What)
	_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // the socket's buffer is empty: it takes all or the peer is gone
	_, _ = c.Write(refusal.Append(nil))
	c.Close()
	c.left()
}

// request parses a plain head.
func (r *room) request(head []byte) (*http.Request, error) {
	r.bytes.Reset(head)
	r.parser.Reset(&r.bytes)
	return http.ReadRequest(r.parser)
}
