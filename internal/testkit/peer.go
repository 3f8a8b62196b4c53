package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// Peer is one end of a connection with the proxy, played by the test.
type Peer struct {
	t    testing.TB
	conn net.Conn
	name string // client or instance
	in   ws.Parser
	buf  []byte // read and not yet asked for
	err  error  // what ended reading

}

// DialTo connects a client to addr.
func DialTo(t testing.TB, addr net.Addr) *Peer {
	t.Helper()
	c, err := net.DialTimeout(addr.Network(), addr.String(), patience)
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	return NewClient(t, c)
}

// NewClient makes a client of a connection.
func NewClient(t testing.TB, c net.Conn) *Peer {
	p := &Peer{t: t, conn: c, name: "client"}
	t.Cleanup(p.Close)
	return p
}

func newInstancePeer(t testing.TB, c net.Conn) *Peer {
	p := &Peer{t: t, conn: c, name: "instance"}
	p.in.Masked = true
	t.Cleanup(p.Close)
	return p
}

// Deflate lets RSV1 begin a message in what the peer reads.
func (p *Peer) Deflate() { p.in.Deflate = true }

// Conn is the connection itself.
func (p *Peer) Conn() net.Conn { return p.conn }

// SendBytes writes bytes as they are.
func (p *Peer) SendBytes(b []byte) {
	p.t.Helper()
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("%s writes %d bytes: %v", p.name, len(b), err)
	}
}

// TrySend writes what the other end may no longer take.
func (p *Peer) TrySend(b []byte) error {
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.conn.Write(b)
	return err
}

// SendString writes text as it is.
func (p *Peer) SendString(s string) { p.t.Helper(); p.SendBytes([]byte(s)) }

// SendSlowly writes a byte at a time.
func (p *Peer) SendSlowly(b []byte) {
	p.t.Helper()
	for i := range b {
		p.SendBytes(b[i : i+1])
	}
}

// Send writes frames in one write, masked if the peer is a client.
func (p *Peer) Send(frames ...Frame) {
	p.t.Helper()
	p.SendBytes(p.Bytes(frames...))
}

// Bytes gives frames as this peer writes them.
func (p *Peer) Bytes(frames ...Frame) []byte {
	var b []byte
	for _, f := range frames {
		if p.name == "client" {
			b = append(b, f.Masked()...)
		} else {
			b = append(b, f.Plain()...)
		}
	}
	return b
}

// CloseWrite sends FIN.
func (p *Peer) CloseWrite() {
	p.t.Helper()
	if err := p.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.t.Fatalf("%s half-closes: %v", p.name, err)
	}
}

// Reset ends the connection with RST.
func (p *Peer) Reset() {
	p.t.Helper()
	if err := p.conn.(*net.TCPConn).SetLinger(0); err != nil {
		p.t.Fatalf("%s resets: %v", p.name, err)
	}
	p.conn.Close()
}

// Close ends the connection.
func (p *Peer) Close() { p.conn.Close() }

// fill reads once more; false means that there is no more.
func (p *Peer) fill() bool {
	if p.err != nil {
		return false
	}
	var room [64 << 10]byte
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := p.conn.Read(room[:])
	p.buf = append(p.buf, room[:n]...)
	p.err = err
	return n > 0
}

// why tells how reading ended, for a failure's text.
func (p *Peer) why() string {
	s := ""
	if len(p.buf) > 0 {
		s = fmt.Sprintf("%d bytes are there (%.300q) and then ", len(p.buf), p.buf)
	}
	switch {
	case p.err == nil:
		return s + "no end"
	case p.err == io.EOF:
		return s + "FIN"
	case isReset(p.err):
		return s + "RST"
	case errors.Is(p.err, os.ErrDeadlineExceeded):
		return s + "nothing for " + patience.String()
	}
	return s + p.err.Error()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// WantBytes reads exactly want.
func (p *Peer) WantBytes(sentence, want string) {
	p.t.Helper()
	for len(p.buf) < len(want) && p.fill() {
	}
	if !bytes.HasPrefix(p.buf, []byte(want)) {
		p.t.Fatalf("%s: want %q, got: %s", sentence, want, p.why())
	}
	p.buf = p.buf[len(want):]
}

// Want reads the next frames and compares them.
func (p *Peer) Want(sentence string, want ...Frame) {
	p.t.Helper()
	for _, w := range want {
		got := p.Frame(sentence + ": want " + w.String())
		if got != w {
			p.t.Fatalf("%s: the %s wants %v, got %v", sentence, p.name, w, got)
		}
	}
}

// WantClose reads frames up to a close and compares its code. Reasons are the
// proxy's own words.
func (p *Peer) WantClose(sentence string, code uint16) {
	p.t.Helper()
	f := p.Frame(sentence + ": want a close")
	if f.Op != ws.CloseFrame || !strings.HasPrefix(f.Payload, Close(code, "").Payload) || code == 0 && f.Payload != "" {
		p.t.Fatalf("%s: the %s wants a close with %d, got %v", sentence, p.name, code, f)
	}
}

// Frame reads the next frame.
func (p *Peer) Frame(sentence string) Frame {
	p.t.Helper()
	f, err := p.Next()
	if err != nil {
		p.t.Fatalf("%s: the %s got no frame: %v; %s", sentence, p.name, err, p.why())
	}
	return f
}

var errNoFrame = errors.New("the connection ended")

// Next reads the next frame. Unlike Frame it may be called by a goroutine of the
// test's.
func (p *Peer) Next() (f Frame, err error) {
	for {
		piece, err := p.in.Next(p.buf)
		if err != nil {
			return f, err
		}
		part := p.buf[piece.Head:piece.N]
		if piece.Start {
			h := &p.in.Header
			f.Op, f.RSV, f.More = h.Opcode, h.RSV, !h.Fin
		}
		switch piece.Kind {
		case ws.Control:
			if p.in.Header.Masked {
				ws.Mask(part, p.in.Header.Key, 0)
			}
		case ws.Data:
			p.in.Unmask(part)
		}
		f.Payload += string(part)
		p.buf = p.buf[piece.N:]
		if piece.End {
			return f, nil
		}
		if !p.fill() {
			return f, errNoFrame
		}
	}
}

// Header is the header of the last frame read.
func (p *Peer) Header() ws.Header { return p.in.Header }

// WantEOF wants FIN and no byte before it.
func (p *Peer) WantEOF(sentence string) {
	p.t.Helper()
	for p.fill() {
	}
	if len(p.buf) > 0 || p.err != io.EOF {
		p.t.Fatalf("%s: the %s wants FIN, got: %s", sentence, p.name, p.why())
	}
}

// WantReset wants RST. Bytes before it don't matter.
func (p *Peer) WantReset(sentence string) {
	p.t.Helper()
	for p.fill() {
	}
	if !isReset(p.err) {
		p.t.Fatalf("%s: the %s wants RST, got: %s", sentence, p.name, p.why())
	}
}

// WantEnd wants the connection to end, by FIN or RST, and no byte before it.
func (p *Peer) WantEnd(sentence string) {
	p.t.Helper()
	for p.fill() {
	}
	if len(p.buf) > 0 || p.err != io.EOF && !isReset(p.err) {
		p.t.Fatalf("%s: the %s wants the end, got: %s", sentence, p.name, p.why())
	}
}

// WantGone wants the connection to end, whoever ends it; bytes before it don't
// matter.
func (p *Peer) WantGone(sentence string) {
	p.t.Helper()
	for p.fill() {
		p.buf = p.buf[:0]
	}
	if p.err != io.EOF && !isReset(p.err) && !errors.Is(p.err, net.ErrClosed) {
		p.t.Fatalf("%s: the %s wants the end, got: %s", sentence, p.name, p.why())
	}
}

// Last wants the connection to end, by FIN or RST, and gives what came before.
func (p *Peer) Last(sentence string) string {
	p.t.Helper()
	for p.fill() {
	}
	if p.err != io.EOF && !isReset(p.err) {
		p.t.Fatalf("%s: the %s wants the end, got: %s", sentence, p.name, p.why())
	}
	last := string(p.buf)
	p.buf = nil
	return last
}

// Rest reads until the connection ends, and gives what came.
func (p *Peer) Rest() []byte {
	for p.fill() {
	}
	return p.buf
}
