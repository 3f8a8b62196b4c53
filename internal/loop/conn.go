package loop

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"
)

// Handler is told what happens to a connection. All of it happens on the
// connection's loop.
type Handler interface {
	// Data shows what has arrived and tells how many bytes of p were
	// taken. The rest is shown again in front of the next bytes; while the
	// connection is paused that is when it is resumed. p is valid during
	// the call only.
	Data(c *Conn, p []byte) (taken int)
	// EOF tells that the peer has sent its last byte. What Data did not
	// take is in Kept.
	EOF(c *Conn)
	// Drained tells that a connection that was Full is no longer, or that
	// the last byte that waited has gone.
	Drained(c *Conn)
	// Failed tells that the connection is gone: reset, or never made. It is
	// not told of a connection that its handler closed.
	Failed(c *Conn, err error)
}

// What ends a connection from inside.
var (
	ErrStuck = errors.New("input that nobody takes")
	errPanic = errors.New("internal error")
)

const (
	flagOpen       uint16 = 1 << iota // attached or dialled, and not gone
	flagGone                          // closed: no callback any more
	flagPaused                        // input is not wanted
	flagConnecting                    // dialled, not yet connected
	flagReady                         // in Loop.ready
	flagEOF                           // the peer's FIN was read
	flagInput                         // raw: the socket may have input
	flagLast                          // raw: and its end is near
	flagFin                           // FIN is to follow the output that waits
	flagFinSent
	flagWasFull // Drained is owed
	flagFailing // the loop has an error to tell of it
	flagReplay  // kept bytes are to be shown without new ones
	flagDrained // Drained is to be told
	flagBlocked // TryWrite was refused some of its bytes
)

// Events for Conn.served.
const (
	evRead uint8 = 1 << iota
	evWrite
	evHup
	evReady
)

// Conn is one connection of a loop. It may be part of a larger struct; it must
// not be copied once it is in use. All methods belong to the loop.
type Conn struct {
	loop     *Loop
	handler  Handler
	stream   *stream // nil on the raw transport
	secure   *secure // TLS on the raw transport; nil for none
	kept     []byte  // read and not taken; lent by the loop
	out      []byte  // written and refused by the socket; lent by the loop
	outSince time.Duration
	outAt    int32 // what of out has gone
	fd       int32
	slot     uint32
	flags    uint16
}

// Loop gives the connection's loop.
func (c *Conn) Loop() *Loop { return c.loop }

// Live tells whether the connection is there: attached or dialled and neither
// closed nor failed.
func (c *Conn) Live() bool { return c.flags&(flagOpen|flagGone) == flagOpen }

// Connecting tells whether a dial has yet to be answered.
func (c *Conn) Connecting() bool { return c.flags&flagConnecting != 0 }

// Full tells whether the other side should not be read, because output waits.
func (c *Conn) Full() bool {
	if c.stream != nil {
		return c.flags&flagWasFull != 0 && c.Live()
	}
	return len(c.out) > 0
}

// Stalled tells since when output has waited without progress, and whether any
// waits.
func (c *Conn) Stalled() (since time.Duration, waits bool) {
	if len(c.out) > 0 || c.flags&flagBlocked != 0 || c.stream != nil && c.stream.busy {
		return c.outSince, true
	}
	return 0, false
}

// Attach gives a taken-over connection to the loop. Its rest is shown to h
// first, next round.
func (l *Loop) Attach(c *Conn, h Handler, t Taken) error {
	l.begin(c, h)
	if len(t.Rest) > 0 {
		c.kept = append(l.lent.get(len(t.Rest)), t.Rest...)
		c.flags |= flagReplay
		l.later(c)
	}
	if t.Conn != nil {
		newStream(c, t.Conn)
		return nil
	}
	if c.secure = t.secure; c.secure != nil {
		c.flags |= flagReplay // some of it may be decrypted, or read, already
		l.later(c)
	}
	return c.attachRaw(t.fd)
}

// begin makes c a connection of the loop.
func (l *Loop) begin(c *Conn, h Handler) {
	*c = Conn{loop: l, handler: h, fd: -1, flags: flagOpen | c.flags&flagReady}
	l.conns.Add(1)
}

// Pause stops input. What is taken already is not shown again.
func (c *Conn) Pause() {
	c.flags |= flagPaused
}

// Resume lets input come again, kept bytes first.
func (c *Conn) Resume() {
	if c.flags&(flagPaused|flagGone) != flagPaused {
		return
	}
	c.flags &^= flagPaused
	if len(c.kept) > 0 {
		c.flags |= flagReplay
	}
	if c.flags&(flagReplay|flagInput) != 0 || c.stream != nil {
		c.loop.later(c)
	}
}

// Kept gives what Data was shown and did not take. It is valid during a
// callback.
func (c *Conn) Kept() []byte { return c.kept }

// Paused tells whether input is stopped.
func (c *Conn) Paused() bool { return c.flags&flagPaused != 0 }

// Write sends p, or copies what the socket refuses. Check Full afterwards.
//
// Fast path: one system call, no copy.
func (c *Conn) Write(p []byte) {
	if c.flags&(flagGone|flagFin|flagFailing) != 0 || len(p) == 0 {
		return
	}
	if c.stream != nil {
		c.stream.write(p)
		return
	}
	if c.secure != nil {
		var err error
		if p, err = c.secure.write(c.loop, p); err != nil {
			c.failLater(err)
			return
		}
	}
	c.writeRaw(p)
}

// writeRaw sends bytes as they go over the wire.
func (c *Conn) writeRaw(p []byte) {
	if len(p) == 0 {
		return
	}
	if len(c.out) == 0 && c.flags&flagConnecting == 0 {
		n, err := rawSend(c.fd, p)
		if err != nil {
			c.refused()
			return
		}
		if p = p[n:]; len(p) == 0 {
			return
		}
	}
	if len(c.out) == 0 {
		c.outSince = c.loop.now
		c.out = c.loop.lent.get(len(p))
	}
	c.out = c.loop.lent.extend(c.out, p)
}

// mostTaken is how much TryWrite takes at once where bytes are not the
// socket's as they are: a TLS record, or what a stream's writer gets.
const mostTaken = 16 << 10

// TryWrite sends what the peer takes of p now, and tells how much that was. The
// rest is the caller's to keep: Drained is told when more can be tried.
//
// Fast path: one system call, no copy.
func (c *Conn) TryWrite(p []byte) (taken int) {
	if c.flags&(flagGone|flagFin|flagFailing|flagConnecting) != 0 {
		return 0
	}
	switch {
	case len(c.out) > 0:
	case c.stream == nil && c.secure == nil:
		n, err := rawSend(c.fd, p)
		if err != nil {
			c.refused()
			return 0
		}
		taken = n
	default:
		for taken < len(p) && len(c.out) == 0 && (c.stream == nil || !c.stream.busy) && c.flags&flagFailing == 0 {
			n := min(len(p)-taken, mostTaken)
			c.Write(p[taken : taken+n])
			taken += n
		}
	}
	if taken < len(p) && (taken > 0 || c.flags&flagBlocked == 0) {
		c.outSince = c.loop.now
	}
	if taken < len(p) {
		c.flags |= flagBlocked
	}
	return taken
}

// CloseWrite sends FIN once all output has gone. Nothing can be written any
// more.
func (c *Conn) CloseWrite() {
	if c.flags&(flagGone|flagFin) != 0 {
		return
	}
	c.flags |= flagFin
	if c.stream != nil {
		c.stream.closeWrite()
		return
	}
	if c.secure != nil && c.flags&flagFailing == 0 {
		c.writeRaw(c.secure.closeWrite(c.loop))
	}
	if len(c.out) == 0 {
		c.sendFin()
	}
}

func (c *Conn) sendFin() {
	if c.flags&flagFinSent == 0 {
		c.flags |= flagFinSent
		rawShutdown(c.fd)
	}
}

// Close ends the connection at once. Output that waits is lost; input that
// waits makes the system send a reset.
func (c *Conn) Close() { c.end(false) }

// Abort ends the connection with a reset.
func (c *Conn) Abort() { c.end(true) }

func (c *Conn) end(reset bool) {
	if !c.Live() {
		return
	}
	if c.secure != nil && !reset && c.flags&(flagFin|flagFailing) == 0 && len(c.out) == 0 {
		c.writeRaw(c.secure.closeWrite(c.loop))
	}
	c.flags |= flagGone
	c.loop.conns.Add(-1)
	if c.flags&flagFailing != 0 {
		delete(c.loop.failing, c)
	}
	c.secure = nil
	c.release()
	switch {
	case c.stream == nil:
		c.closeRaw(reset)
	case reset:
		c.stream.abort()
	default:
		c.stream.close()
	}
}

// release gives lent buffers back.
func (c *Conn) release() {
	c.dropKept()
	if c.out != nil {
		c.loop.lent.put(c.out)
		c.out, c.outAt = nil, 0
	}
}

func (c *Conn) dropKept() {
	if c.kept != nil {
		c.loop.lent.put(c.kept)
		c.kept = nil
	}
}

// refused is a peer that takes no more: what was written is lost, what it has
// sent is still read, up to the end that is sure to come.
func (c *Conn) refused() {
	if c.out != nil {
		c.loop.lent.put(c.out)
		c.out, c.outAt = nil, 0
	}
	c.flags |= flagFin | flagFinSent | flagDrained
	c.flags &^= flagWasFull | flagBlocked
	c.loop.later(c)
}

// failLater has the handler told of err next round.
func (c *Conn) failLater(err error) {
	if c.flags&flagFailing == 0 {
		c.flags |= flagFailing
		c.loop.failing[c] = err
		c.loop.later(c)
	}
}

// fail ends the connection and tells its handler why.
func (c *Conn) fail(err error) {
	if c.Live() {
		c.end(false)
		c.handler.Failed(c, err)
	}
}

// served is the one place where a connection's events become callbacks.
func (c *Conn) served(ev uint8) {
	if !c.Live() {
		return
	}
	if c.flags&flagFailing != 0 {
		c.fail(c.loop.failing[c])
		return
	}
	if c.flags&flagDrained != 0 {
		c.flags &^= flagDrained | flagBlocked
		if c.handler.Drained(c); !c.Live() {
			return
		}
	}
	if c.stream != nil {
		c.stream.served()
		return
	}
	c.servedRaw(ev)
}

// deliver shows p and keeps what is not taken. p may be in the loop's buffer.
func (c *Conn) deliver(p []byte) {
	n := c.handler.Data(c, p)
	if c.Live() {
		c.keep(p[n:])
	}
}

// keep puts bytes that were not taken aside.
func (c *Conn) keep(p []byte) {
	if len(p) > 0 {
		c.kept = append(c.loop.lent.get(len(p)), p...)
	}
}

// replay shows kept bytes again, without new ones.
func (c *Conn) replay() {
	c.flags &^= flagReplay
	if kept := c.kept; len(kept) > 0 && c.flags&flagPaused == 0 {
		c.kept = nil
		c.deliver(kept)
		c.loop.lent.put(kept)
	}
}

// Taken is a connection taken over from another owner. Rest was read past what
// that owner took: it is shown to the handler before anything else.
type Taken struct {
	Conn net.Conn // nil where the raw transport has the descriptor
	Rest []byte

	fd     int
	secure *secure
}

// Wrapper is a net.Conn of ours around another. Unwrap gives the inner one and
// what was read from it and not handed out; the wrapper is not used afterwards.
type Wrapper interface {
	Unwrap() (inner net.Conn, unread []byte)
}

// Take takes conn over for a loop of g. rest is what was read from it and not
// used. On error conn is closed. Any goroutine may call it.
func (g *Group) Take(conn net.Conn, rest []byte) (Taken, error) {
	if tc, ok := conn.(*tls.Conn); ok && !g.stream {
		t, ok, err := takeSecure(tc)
		if err != nil {
			conn.Close()
			return Taken{}, err
		}
		if ok {
			t.Rest = rest
			return t, nil
		}
	}
	if w, ok := conn.(Wrapper); ok {
		inner, unread := w.Unwrap()
		conn, rest = inner, append(rest, unread...)
	}
	t := Taken{Conn: conn, Rest: rest, fd: -1}
	if g.stream {
		return t, nil
	}
	fd, ok, err := takeRaw(conn)
	if err != nil {
		conn.Close()
		return Taken{}, err
	}
	if ok {
		conn.Close()
		t.Conn, t.fd = nil, fd
	}
	return t, nil
}

// Drop closes a taken connection that no loop got.
func (t *Taken) Drop() {
	switch {
	case t.Conn != nil:
		t.Conn.Close()
	case t.fd >= 0:
		rawClose(t.fd)
	}
}

// IsReset tells whether a connection failed because the peer reset it.
func IsReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
