package demo

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// talk is one end of a WebSocket connection over which short texts go. One
// goroutine uses it; others may only touch its connection: end it, or have
// reading time out.
type talk struct {
	// Set once, then read-only.
	conn   net.Conn
	client bool // its frames go out masked

	// Owned by the user.
	in     ws.Parser
	got    []byte // was read and not judged yet
	text   []byte // of the message under way
	out    []byte
	closed bool // a close has gone out
}

// closed is a connection that is over, with what a browser would give as the
// code.
type closed struct{ code uint16 }

func (c closed) Error() string { return fmt.Sprintf("closed with %d", c.code) }

// patience is how long a peer may take for its part of a handshake, opening or
// closing.
const patience = 5 * time.Second

// dial opens a session at ws://addr and target.
func dial(ctx context.Context, addr, target string) (*talk, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	t := &talk{conn: conn, client: true}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := t.ask(addr, target); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// ask is the client's side of the opening handshake.
func (t *talk) ask(host, target string) error {
	var random [16]byte
	rand.Read(random[:])
	key, offer := handshake.NewKey(random), &handshake.Offer{}
	head := offer.AppendRequest(nil, &handshake.Forward{Target: target, Host: host, Key: key, Header: handshake.Header{}})
	if _, err := t.conn.Write(head); err != nil {
		return err
	}
	for {
		if err := t.read(); err != nil {
			return err
		}
		n, err := handshake.HeadEnd(t.got)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		_, err = offer.Accept(t.got[:n], key)
		t.got = t.got[n:]
		return err
	}
}

// answer is the server's side of it. The connection's deadline stays.
func answer(conn net.Conn) (*talk, error) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, err
	}
	offer, refusal := handshake.Judge(&handshake.Request{Method: req.Method, Major: req.ProtoMajor, Minor: req.ProtoMinor,
		Header: req.Header, ContentLength: req.ContentLength, TransferEncoding: req.TransferEncoding})
	if refusal != nil {
		_, _ = conn.Write(refusal.Append(nil))
		return nil, refusal
	}
	if _, err := conn.Write((&handshake.Answer{}).Append(nil, offer)); err != nil {
		return nil, err
	}
	t := &talk{conn: conn}
	t.in.Masked = true
	rest, _ := r.Peek(r.Buffered())
	t.got = append(t.got, rest...)
	return t, nil
}

// next gives the next text. The error is closed, or os.ErrDeadlineExceeded,
// after which the talk goes on.
func (t *talk) next() ([]byte, error) {
	for {
		text, err := t.judge()
		if text != nil || err != nil {
			return text, err
		}
		if err := t.read(); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		} else if err != nil {
			return nil, closed{ws.CodeAbnormal}
		}
	}
}

// read waits for more bytes.
func (t *talk) read() error {
	var piece [512]byte
	n, err := t.conn.Read(piece[:])
	t.got = append(t.got, piece[:n]...)
	return err
}

// judge goes through what was read, up to the end of a text.
func (t *talk) judge() ([]byte, error) {
	for {
		piece, err := t.in.Next(t.got)
		if err != nil {
			return nil, closed{ws.CodeAbnormal}
		}
		payload := t.got[piece.Head:piece.N]
		t.got = t.got[piece.N:]
		switch piece.Kind {
		case ws.More:
			return nil, nil
		case ws.Control:
			if err := t.control(payload); err != nil {
				return nil, err
			}
		case ws.Data:
			t.in.Unmask(payload)
			t.text = append(t.text, payload...)
			if piece.End && t.in.MessageEnd() {
				text := t.text
				t.text = nil
				return text, nil
			}
		}
	}
}

func (t *talk) control(payload []byte) error {
	h := t.in.Header
	if h.Masked {
		ws.Mask(payload, h.Key, 0)
	}
	switch h.Opcode {
	case ws.Ping:
		return t.send(ws.Pong, payload)
	case ws.CloseFrame:
		code, _, err := ws.ParseClose(payload)
		if err != nil {
			return closed{ws.CodeAbnormal}
		}
		t.close(code)
		return closed{code}
	}
	return nil
}

// close sends a close, once.
func (t *talk) close(code uint16) {
	if t.closed {
		return
	}
	t.closed = true
	var key *[4]byte
	if t.client {
		key = new([4]byte)
		rand.Read(key[:])
	}
	_, _ = t.conn.Write(ws.AppendClose(nil, code, "", key)) // or the peer is gone already
}

// send sends one frame.
func (t *talk) send(op ws.Opcode, payload []byte) error {
	h := ws.Header{Fin: true, Opcode: op, Masked: t.client}
	if t.client {
		rand.Read(h.Key[:])
	}
	t.out = ws.AppendFrame(t.out[:0], h, payload)
	if _, err := t.conn.Write(t.out); err != nil {
		return closed{ws.CodeAbnormal}
	}
	return nil
}
