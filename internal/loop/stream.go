package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

const (
	streamMin  = 2 << 10  // a reader's buffer at rest
	streamMax  = 32 << 10 // and under load
	streamFull = 32 << 10 // output behind what is being written that makes a Conn Full
	calm       = 16       // small reads until a reader's buffer shrinks
)

// stream carries a Conn on a net.Conn: a goroutine that reads when the loop
// lets it, and one that writes what the loop hands it. Everything else is the
// loop's.
type stream struct {
	c    *Conn
	loop *Loop
	conn net.Conn // set before the goroutines start

	// The reader has these between a turn and its post, else the loop.
	buf  []byte
	n    int
	rerr error

	turn   chan struct{} // lets the reader read once; closed to end it
	orders chan order    // for the writer; closed to end it

	// Owned by the loop.
	cancel  context.CancelFunc // of the dial under way
	writing []byte             // with the writer
	busy    bool               // the writer has an order
	arrived bool               // buf[:n] and rerr are to be shown
	resting bool               // the reader waits for a turn
	ended   bool
	small   int // reads in a row that a smaller buffer would have held
}

// order is one thing for the writer to do.
type order struct {
	p     []byte
	fin   bool
	close bool
}

func newStream(c *Conn, conn net.Conn) {
	s := &stream{c: c, loop: c.loop}
	c.stream = s
	s.loop.streams[s] = struct{}{}
	s.start(conn)
}

// start gives the stream its connection and lets it read.
func (s *stream) start(conn net.Conn) {
	s.conn = conn
	s.buf = make([]byte, streamMin)
	s.turn = make(chan struct{}, 1)
	s.orders = make(chan order, 2) // one under way, one close behind it
	s.resting = true
	s.loop.group.wg.Add(2)
	go s.readLoop()
	go s.writeLoop()
	s.rest()
}

// readLoop reads once a turn.
func (s *stream) readLoop() {
	defer s.loop.group.wg.Done()
	for range s.turn {
		s.n, s.rerr = s.conn.Read(s.buf)
		s.loop.Post((*streamRead)(s))
	}
}

type streamRead stream

func (r *streamRead) Run(l *Loop) {
	s := (*stream)(r)
	s.arrived = true
	if s.c.stream == s {
		l.serve(s.c, evRead)
	}
}

// writeLoop carries out the loop's orders.
func (s *stream) writeLoop() {
	defer s.loop.group.wg.Done()
	var err error
	for o := range s.orders {
		switch {
		case o.close && err != nil:
			s.reset()
			continue
		case o.close:
			s.conn.Close()
			continue
		case o.fin:
			err = closeWrite(s.conn)
		default:
			_, err = s.conn.Write(o.p)
		}
		s.loop.Post(&streamWritten{s, err})
	}
}

func closeWrite(conn net.Conn) error {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if tc, ok := conn.(*tls.Conn); ok { // behind close_notify, the connection's own end
			return closeWrite(tc.NetConn())
		}
	}
	return nil
}

type streamWritten struct {
	s   *stream
	err error
}

func (w *streamWritten) Run(l *Loop) {
	s, c := w.s, w.s.c
	if s.writing != nil {
		l.lent.put(s.writing)
		s.writing = nil
	}
	s.busy = false
	if c.stream != s || !c.Live() {
		return
	}
	if w.err != nil {
		c.refused()
		return
	}
	full := c.flags&flagWasFull != 0
	if s.hand(); len(c.out) > 0 {
		return
	}
	c.flags &^= flagWasFull
	if full || !s.busy {
		c.flags |= flagDrained
		l.later(c)
	}
}

// write queues p behind what the writer has.
func (s *stream) write(p []byte) {
	c := s.c
	if c.out == nil {
		c.out = s.loop.lent.get(len(p))
	}
	c.out = s.loop.lent.extend(c.out, p)
	s.hand()
	if len(c.out) >= streamFull {
		c.flags |= flagWasFull
	}
}

// hand gives the writer what waits, if it is idle.
func (s *stream) hand() {
	c := s.c
	if s.busy || s.conn == nil {
		return
	}
	switch {
	case len(c.out) > 0:
		s.writing, c.out = c.out, nil
		s.busy = true
		c.outSince = s.loop.now
		s.orders <- order{p: s.writing}
	case c.flags&(flagFin|flagFinSent) == flagFin:
		c.flags |= flagFinSent
		s.busy = true
		c.outSince = s.loop.now
		s.orders <- order{fin: true}
	}
}

func (s *stream) closeWrite() { s.hand() }

// served shows what has arrived and lets the reader go on.
func (s *stream) served() {
	c := s.c
	if c.flags&flagReplay != 0 && c.Live() {
		c.replay()
	}
	if s.arrived && c.Live() && c.flags&flagPaused == 0 {
		s.show()
	}
	if c.Live() {
		s.rest()
	}
}

// show gives the handler what the reader brought, behind what was kept.
func (s *stream) show() {
	c, l := s.c, s.loop
	p := s.buf[:s.n]
	if len(c.kept) > 0 && s.n > 0 {
		have := copy(l.in, c.kept)
		if have+s.n > len(l.in) {
			c.fail(ErrStuck)
			return
		}
		p = l.in[:have+copy(l.in[have:], p)]
		c.dropKept()
	}
	err := s.rerr
	s.arrived, s.resting = false, true
	if s.n > 0 {
		c.deliver(p)
	}
	if !c.Live() || err == nil {
		return
	}
	s.resting = false // it will not read again
	if errors.Is(err, io.EOF) {
		c.flags |= flagEOF
		c.handler.EOF(c)
		return
	}
	c.fail(err)
}

// rest gives the reader a turn if it waits for one and input is wanted.
func (s *stream) rest() {
	if !s.resting || s.c.flags&flagPaused != 0 {
		return
	}
	s.fit()
	s.resting = false
	s.turn <- struct{}{}
}

// fit makes the reader's buffer suit what came last.
func (s *stream) fit() {
	switch {
	case s.n == len(s.buf) && s.n < streamMax:
		s.buf = make([]byte, min(4*len(s.buf), streamMax))
		s.small = 0
	case len(s.buf) > streamMin && s.n <= len(s.buf)/8:
		if s.small++; s.small >= calm {
			s.buf = make([]byte, streamMin)
			s.small = 0
		}
	default:
		s.small = 0
	}
}

// close ends the connection in good order, behind what the writer has. The writer
// has lastWords for that: what is stuck then is reset.
func (s *stream) close() {
	if s.conn == nil || s.ended {
		s.abort()
		return
	}
	if s.busy {
		_ = s.conn.SetWriteDeadline(time.Now().Add(lastWords))
	}
	s.orders <- order{close: true}
	s.finish()
}

// abort ends the connection at once, with a reset where there can be one.
func (s *stream) abort() {
	if s.ended {
		return
	}
	if s.conn != nil {
		s.reset()
	}
	s.finish()
}

// reset ends the connection below TLS, with a reset where there can be one.
func (s *stream) reset() {
	inner := s.inner()
	if lc, ok := inner.(interface{ SetLinger(int) error }); ok {
		_ = lc.SetLinger(0)
	}
	inner.Close()
}

// hangUp ends the connection without waiting for anything. What the writer has
// handed to the kernel goes out, unless there is more that it could not.
func (s *stream) hangUp() {
	if s.busy {
		s.abort()
		return
	}
	if s.conn != nil {
		s.inner().Close()
	}
	s.finish()
}

// inner is the connection below TLS.
func (s *stream) inner() net.Conn {
	if tc, ok := s.conn.(*tls.Conn); ok {
		return tc.NetConn()
	}
	return s.conn
}

// finish lets the goroutines end.
func (s *stream) finish() {
	s.ended = true
	delete(s.loop.streams, s)
	if s.cancel != nil {
		s.cancel()
	}
	if s.conn != nil {
		close(s.turn)
		close(s.orders)
	}
}

// dialStream connects c in a goroutine.
func dialStream(c *Conn, d *Dial) {
	s := &stream{c: c, loop: c.loop}
	c.stream = s
	s.loop.streams[s] = struct{}{}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.loop.group.wg.Add(1)
	go s.dial(ctx, d)
}

func (s *stream) dial(ctx context.Context, d *Dial) {
	defer s.loop.group.wg.Done()
	conn, err := d.connect(ctx)
	s.loop.Post(&streamDialled{s, conn, err})
	if ctx.Err() != nil && conn != nil {
		conn.Close() // nobody wants it, and the loop may be gone
	}
}

type streamDialled struct {
	s    *stream
	conn net.Conn
	err  error
}

func (t *streamDialled) Run(*Loop) {
	s, c := t.s, t.s.c
	if s.ended || c.stream != s {
		if t.conn != nil {
			t.conn.Close()
		}
		return
	}
	if t.err != nil {
		c.failLater(t.err)
		return
	}
	s.cancel = nil // not called: to its goroutine that means that nobody wants the connection
	c.flags &^= flagConnecting
	if c.dialledSecure(t.conn) {
		return
	}
	s.start(t.conn)
	s.hand()
}

// dialledSecure carries a TLS connection on the raw transport, where there is
// one.
func (c *Conn) dialledSecure(conn net.Conn) bool {
	tc, ok := conn.(*tls.Conn)
	if !ok || c.loop.group.stream {
		return false
	}
	t, ok, err := takeSecure(tc)
	if err != nil {
		c.failLater(err)
		return true
	}
	if !ok {
		return false
	}
	delete(c.loop.streams, c.stream)
	c.stream, c.secure = nil, t.secure
	out := c.out
	c.out = nil
	if err := c.attachRaw(t.fd); err != nil {
		c.failLater(err)
		return true
	}
	c.Write(out)
	c.loop.lent.put(out)
	return true
}
