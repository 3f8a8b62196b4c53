package faults_test

import (
	"bytes"
	"net"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// ear hears whole messages, whatever frames and pieces they come in.
type ear struct {
	conn    net.Conn
	in      ws.Parser
	buf     []byte // read and not yet understood
	op      ws.Opcode
	message []byte // what has come of the one under way
	room    [16 << 10]byte
}

// head reads up to the end of a head.
func (e *ear) head() (string, error) {
	for {
		if head, rest, whole := bytes.Cut(e.buf, []byte("\r\n\r\n")); whole {
			e.buf = rest
			return string(head) + "\r\n", nil
		}
		if err := e.fill(); err != nil {
			return string(e.buf), err
		}
	}
}

func (e *ear) fill() error {
	n, err := e.conn.Read(e.room[:])
	if n > 0 {
		e.buf = append(e.buf, e.room[:n]...)
		return nil
	}
	return err
}

// next gives the next message or control frame, which is good until the call
// after it.
func (e *ear) next() (op ws.Opcode, payload []byte, err error) {
	for {
		piece, err := e.in.Next(e.buf)
		switch {
		case err != nil:
			return 0, nil, err
		case piece.N == 0:
			if err := e.fill(); err != nil {
				return 0, nil, err
			}
			continue
		}
		part, h := e.buf[piece.Head:piece.N], &e.in.Header
		e.buf = e.buf[piece.N:]
		if piece.Kind == ws.Control {
			if h.Masked {
				ws.Mask(part, h.Key, 0)
			}
			return h.Opcode, part, nil
		}
		if piece.Start && h.Opcode != ws.Continuation {
			e.op, e.message = h.Opcode, e.message[:0]
		}
		e.in.Unmask(part)
		e.message = append(e.message, part...)
		if piece.End && e.in.MessageEnd() {
			return e.op, e.message, nil
		}
	}
}
