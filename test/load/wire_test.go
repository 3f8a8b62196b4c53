package load_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// late is how long an end waits for anything, in a soak.
const late = 30 * time.Second

// wire is one end of a connection, for tens of thousands of them: unlike a
// testkit.Peer it leaves nothing with the test, tells of what is wrong in errors,
// and what it needs is used for the next connection too.
type wire struct {
	conn   *net.TCPConn
	in     ws.Parser
	mute   bool   // pings are not answered
	room   []byte // what is read lands here
	unread []byte // the part of it that nobody has asked for
	out    []byte
	whole  []byte // the payload of the last frame
}

// begin makes c the wire's connection. masked tells whether its peer masks.
func (w *wire) begin(c net.Conn, masked bool) {
	if w.room == nil {
		w.room = make([]byte, 4<<10)
	}
	w.conn, w.in, w.mute, w.unread = c.(*net.TCPConn), ws.Parser{Masked: masked}, false, nil
	_ = c.SetDeadline(time.Now().Add(late))
}

// reset ends the connection with RST.
func (w *wire) reset() {
	_ = w.conn.SetLinger(0)
	w.conn.Close()
}

// fill reads once more.
func (w *wire) fill() error {
	if len(w.unread) == len(w.room) {
		w.room = append(w.room, make([]byte, len(w.room))...)
	}
	have := copy(w.room, w.unread)
	n, err := w.conn.Read(w.room[have:])
	w.unread = w.room[:have+n]
	if n > 0 {
		return nil
	}
	return err
}

// upTo reads up to and with end. What it gives is valid until the next read.
func (w *wire) upTo(end string) (string, error) {
	for {
		if i := bytes.Index(w.unread, []byte(end)); i >= 0 {
			text := string(w.unread[:i+len(end)])
			w.unread = w.unread[i+len(end):]
			return text, nil
		}
		if err := w.fill(); err != nil {
			return "", fmt.Errorf("before %q: %w", end, err)
		}
	}
}

// wantHead reads an answer's head with this status.
func (w *wire) wantHead(status string) error {
	head, err := w.upTo("\r\n\r\n")
	if err == nil && !strings.HasPrefix(head, "HTTP/1.1 "+status+" ") {
		err = fmt.Errorf("want status %s, got %q", status, head)
	}
	return err
}

// send writes a frame.
func (w *wire) send(op ws.Opcode, payload string) error {
	h := ws.Header{Fin: true, Opcode: op, Masked: !w.in.Masked, Key: [4]byte{1, 2, 3, 4}}
	w.out = ws.AppendFrame(w.out[:0], h, []byte(payload))
	_, err := w.conn.Write(w.out)
	return err
}

// next reads a frame, and answers pings before it unless the wire is mute. The
// payload is valid until the next read.
func (w *wire) next() (op ws.Opcode, payload []byte, err error) {
	for {
		if op, payload, err = w.frame(); err != nil || op != ws.Ping {
			return op, payload, err
		}
		if w.mute {
			continue
		}
		if err := w.send(ws.Pong, string(payload)); err != nil {
			return 0, nil, err
		}
	}
}

func (w *wire) frame() (ws.Opcode, []byte, error) {
	for w.whole = w.whole[:0]; ; {
		piece, err := w.in.Next(w.unread)
		if err != nil {
			return 0, nil, err
		}
		part := w.unread[piece.Head:piece.N]
		switch {
		case piece.Kind == ws.Data:
			w.in.Unmask(part)
		case piece.Kind == ws.Control && w.in.Header.Masked:
			ws.Mask(part, w.in.Header.Key, 0)
		}
		w.whole = append(w.whole, part...)
		w.unread = w.unread[piece.N:]
		if piece.End {
			return w.in.Header.Opcode, w.whole, nil
		}
		if err := w.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// want reads the next frame and compares it.
func (w *wire) want(op ws.Opcode, payload string) error {
	got, p, err := w.next()
	if err != nil {
		return fmt.Errorf("want opcode %d %.40q: %w", op, payload, err)
	}
	if got != op || string(p) != payload {
		return fmt.Errorf("want opcode %d %.40q, got %d %.40q", op, payload, got, p)
	}
	return nil
}

// wantClose reads up to a close with this code, past messages, answers it, and
// wants the end of the connection behind it.
func (w *wire) wantClose(code uint16, answer bool) error {
	for {
		op, p, err := w.next()
		if err != nil {
			return fmt.Errorf("want a close with %d: %w", code, err)
		}
		if op != ws.CloseFrame {
			continue
		}
		if got, reason, err := ws.ParseClose(p); err != nil || got != code {
			return fmt.Errorf("want a close with %d, got %d %q, %v", code, got, reason, err)
		}
		if answer {
			_ = w.send(ws.CloseFrame, string(p)) // the peer may have gone already
		}
		return w.wantEnd()
	}
}

// wantEnd wants the connection to end, whatever comes before.
func (w *wire) wantEnd() error {
	for {
		w.unread = nil
		err := w.fill()
		switch {
		case err == nil:
		case err == io.EOF, errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			return nil
		default:
			return fmt.Errorf("want the end: %w", err)
		}
	}
}

// answer gives an instance's 101 to the head of a request.
func answer(head string) string {
	_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	return testkit.AnswerTo(key)
}
