package faults_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// lasting is how long a session may take, whatever befalls it.
const lasting = 40 * time.Second

// actor plays one side of a session, and compares all that it hears with what
// the other side has to say. One goroutine reads, another writes.
type actor struct {
	// Set once, then read-only.
	side int
	talk *talk
	conn *net.TCPConn
	r    *rand.Rand // for masks; the writer's

	// Owned by the reader until it has ended.
	in       ws.Parser
	buf      []byte // read and not yet understood
	at       int    // whole frames heard
	pos      int    // bytes of the one under way
	pongs    int    // of says, up to the latest ping that was answered
	bytes    int    // heard in all
	gotClose string // payload
	closed   bool   // a close was heard
	within   bool   // and a message was under way
	inFrame  bool   // it was cut inside a frame
	how      error  // reading ended
	wrong    []string

	heard   atomic.Int64  // at, for the writer
	more    chan struct{} // has a token when there is news of it
	replies chan reply    // from reader to writer, closed at the end

	// Owned by the writer until it has ended.
	said      int // whole frames
	sentClose string
	closing   bool // a close was sent
	acted     bool // the end that is its own to make has been made
}

// reply is a pong, or the answer to a close.
type reply struct {
	op      ws.Opcode
	payload []byte
}

func newActor(side int, t *talk, c net.Conn, seed uint64) *actor {
	a := &actor{side: side, talk: t, conn: c.(*net.TCPConn), r: rand.New(rand.NewPCG(seed, uint64(t.id))),
		more: make(chan struct{}, 1), replies: make(chan reply, 4096)}
	a.in.Masked = side == instance
	_ = c.SetDeadline(time.Now().Add(lasting))
	return a
}

// play lives the session on a connection that is upgraded.
func (a *actor) play() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		a.write()
	}()
	a.read()
	a.conn.Close()
	<-written
}

// head reads up to the end of a head.
func (a *actor) head() (string, error) {
	for {
		if head, rest, whole := bytes.Cut(a.buf, []byte("\r\n\r\n")); whole {
			text := string(head) + "\r\n\r\n"
			a.buf = append([]byte{}, rest...)
			return text, nil
		}
		if err := a.fill(); err != nil {
			return string(a.buf), err
		}
	}
}

func (a *actor) fill() error {
	var room [32 << 10]byte
	n, err := a.conn.Read(room[:])
	a.buf = append(a.buf, room[:n]...)
	a.bytes += n
	if n > 0 {
		return nil
	}
	return err
}

// read hears all there is.
func (a *actor) read() {
	defer close(a.replies)
	for a.wrong == nil && a.how == nil {
		piece, err := a.in.Next(a.buf)
		if err != nil {
			a.complain("%v: %.60x", err, a.buf)
			return
		}
		if piece.N == 0 {
			a.how = a.fill()
			continue
		}
		part := a.buf[piece.Head:piece.N]
		if piece.Kind == ws.Control {
			if a.in.Header.Masked {
				ws.Mask(part, a.in.Header.Key, 0)
			}
			a.control(part)
		} else {
			a.in.Unmask(part)
			a.data(piece, part)
		}
		a.buf = a.buf[piece.N:]
	}
	a.inFrame = a.in.InFrame() || len(a.buf) > 0
	if errors.Is(a.how, os.ErrDeadlineExceeded) {
		a.complain("the session has not ended after %v", lasting)
	}
}

func (a *actor) complain(format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf("to the %s, byte %d, frame %d: ", sides[a.side], a.bytes-len(a.buf), a.at)+fmt.Sprintf(format, args...))
}

// half is the frame inside which an end comes.
var half = frame{op: ws.Binary, fin: true, payload: make([]byte, 300)}

// next is the frame that comes next, if there is one.
func (a *actor) next() *frame {
	if all := a.talk.says[1-a.side]; a.at < len(all) {
		return &all[a.at]
	}
	if end := a.talk.end; end.by != a.side && end.inFrame() {
		return &half
	}
	return nil
}

// data hears a piece of a message's frame.
func (a *actor) data(piece ws.Piece, part []byte) {
	f, h := a.next(), &a.in.Header
	switch {
	case a.closed:
		a.complain("a frame %v follows the close", *h)
		return
	case f == nil:
		a.complain("a frame %v when all has been heard", *h)
		return
	case piece.Start && (h.Opcode != f.op || h.Fin != f.fin || h.RSV != f.rsv || h.Length != uint64(len(f.payload))):
		a.complain("a frame %v, want opcode %x, fin %v, rsv %x, %d bytes", *h, f.op, f.fin, f.rsv, len(f.payload))
		return
	case piece.Start:
		a.pos = 0
	}
	if !bytes.Equal(part, f.payload[a.pos:a.pos+len(part)]) {
		a.complain("%d bytes from %d of a frame differ", len(part), a.pos)
	}
	if a.pos += len(part); piece.End {
		a.count()
	}
}

// count tells the writer of a whole frame.
func (a *actor) count() {
	a.at++
	a.heard.Store(int64(a.at))
	select {
	case a.more <- struct{}{}:
	default:
	}
}

func (a *actor) control(payload []byte) {
	op := a.in.Header.Opcode
	if a.closed {
		a.complain("a control frame %x %q follows the close", op, payload)
		return
	}
	switch op {
	case ws.Ping:
		if len(payload) != 8 { // else the proxy's own
			if f := a.next(); f == nil || f.op != ws.Ping || !bytes.Equal(f.payload, payload) {
				a.complain("a ping %q that is not the next frame", payload)
				return
			}
			a.count()
		}
		a.replies <- reply{ws.Pong, bytes.Clone(payload)}
	case ws.Pong:
		for all := a.talk.says[a.side]; ; a.pongs++ {
			if a.pongs == len(all) {
				a.complain("a pong %q that answers no ping, or an older one", payload)
				return
			}
			if all[a.pongs].op == ws.Ping && bytes.Equal(all[a.pongs].payload, payload) {
				a.pongs++
				return
			}
		}
	case ws.CloseFrame:
		a.closed, a.gotClose, a.within = true, string(payload), a.in.InMessage()
		if _, _, err := ws.ParseClose(payload); err != nil {
			a.complain("a close %q: %v", payload, err)
		}
		a.replies <- reply{ws.CloseFrame, bytes.Clone(payload)}
	}
}

// ended tells how reading did.
func (a *actor) ended() string {
	switch {
	case a.how == io.EOF:
		return "FIN"
	case errors.Is(a.how, net.ErrClosed):
		return "its own end"
	}
	return fmt.Sprint(a.how)
}
