package testkit

import (
	"encoding/binary"
	"fmt"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// Frame is a frame as a test writes it down.
type Frame struct {
	Op      ws.Opcode
	More    bool // not the last of its message
	RSV     byte
	Payload string
}

// Text is a whole text message.
func Text(s string) Frame { return Frame{Op: ws.Text, Payload: s} }

// Binary is a whole binary message.
func Binary(s string) Frame { return Frame{Op: ws.Binary, Payload: s} }

// Ping is a ping.
func Ping(s string) Frame { return Frame{Op: ws.Ping, Payload: s} }

// Pong is a pong.
func Pong(s string) Frame { return Frame{Op: ws.Pong, Payload: s} }

// Begin is the first frame of a text message in several.
func Begin(s string) Frame { return Frame{Op: ws.Text, More: true, Payload: s} }

// Go is a frame in the middle of a message.
func Go(s string) Frame { return Frame{Op: ws.Continuation, More: true, Payload: s} }

// End is the last frame of a message in several.
func End(s string) Frame { return Frame{Op: ws.Continuation, Payload: s} }

// Close is a close frame; code 0 leaves it empty.
func Close(code uint16, reason string) Frame {
	f := Frame{Op: ws.CloseFrame}
	if code != 0 {
		f.Payload = string(binary.BigEndian.AppendUint16(nil, code)) + reason
	}
	return f
}

// String tells of a frame in a line.
func (f Frame) String() string {
	s := map[ws.Opcode]string{ws.Continuation: "continuation", ws.Text: "text", ws.Binary: "binary",
		ws.CloseFrame: "close", ws.Ping: "ping", ws.Pong: "pong"}[f.Op]
	if s == "" {
		s = fmt.Sprintf("opcode %#x", byte(f.Op))
	}
	if f.More {
		s += " (more follows)"
	}
	if f.RSV != 0 {
		s += fmt.Sprintf(" rsv %#x", f.RSV)
	}
	switch {
	case f.Op == ws.CloseFrame && len(f.Payload) >= 2:
		return fmt.Sprintf("%s %d %q", s, binary.BigEndian.Uint16([]byte(f.Payload)), f.Payload[2:])
	case len(f.Payload) > 80:
		return fmt.Sprintf("%s of %d bytes, %.80q…", s, len(f.Payload), f.Payload)
	}
	return fmt.Sprintf("%s %q", s, f.Payload)
}

// key is the mask of every client here: fixed, so that a failure can be read.
var key = [4]byte{0xA1, 0x5C, 0x00, 0xFE}

// Masked gives a frame as clients send it.
func (f Frame) Masked() []byte {
	h := f.header()
	h.Masked, h.Key = true, key
	return ws.AppendFrame(nil, h, []byte(f.Payload))
}

// Plain gives a frame as servers send it.
func (f Frame) Plain() []byte { return ws.AppendFrame(nil, f.header(), []byte(f.Payload)) }

func (f Frame) header() ws.Header { return ws.Header{Fin: !f.More, RSV: f.RSV, Opcode: f.Op} }
