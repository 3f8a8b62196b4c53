package ws

import "encoding/binary"

// Opcode is a frame's type (RFC 6455, section 11.8).
type Opcode uint8

// The opcodes in use; all others are reserved.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	CloseFrame   Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// Control tells whether o is a control frame: never fragmented, at most
// MaxControl bytes, allowed between the fragments of a message.
func (o Opcode) Control() bool { return o&0x8 != 0 }

func (o Opcode) known() bool { return o <= Binary || o >= CloseFrame && o <= Pong }

// RSV1 is the bit that permessage-deflate sets on a message's first frame
// (RFC 7692, section 6).
const RSV1 = 0x40

const (
	finBit  = 0x80
	rsvBits = 0x70
	maskBit = 0x80
)

// Limits of the wire, in bytes.
const (
	MaxHeader  = 14  // two bytes, an eight-byte length, a four-byte key
	MaxControl = 125 // a control frame's payload (RFC 6455, section 5.5)
)

// Header is a frame's header (RFC 6455, section 5.2).
type Header struct {
	Length uint64 // of the payload, bytes
	Key    [4]byte
	Opcode Opcode
	RSV    byte // the reserved bits, in place: RSV1 and its neighbours
	Fin    bool
	Masked bool
}

// AppendHeader appends h in the fewest bytes that hold its length.
func AppendHeader(b []byte, h Header) []byte {
	b0 := byte(h.Opcode) | h.RSV
	if h.Fin {
		b0 |= finBit
	}
	var mask byte
	if h.Masked {
		mask = maskBit
	}
	switch {
	case h.Length < 126:
		b = append(b, b0, mask|byte(h.Length))
	case h.Length <= 0xFFFF:
		b = append(b, b0, mask|126)
		b = binary.BigEndian.AppendUint16(b, uint16(h.Length))
	default:
		b = append(b, b0, mask|127)
		b = binary.BigEndian.AppendUint64(b, h.Length)
	}
	if h.Masked {
		b = append(b, h.Key[:]...)
	}
	return b
}

// AppendFrame appends a whole frame that holds payload. With h.Masked the
// payload goes out masked with h.Key; h.Length is taken from payload.
func AppendFrame(b []byte, h Header, payload []byte) []byte {
	h.Length = uint64(len(payload))
	b = AppendHeader(b, h)
	at := len(b)
	b = append(b, payload...)
	if h.Masked {
		Mask(b[at:], h.Key, 0)
	}
	return b
}

// readHeader reads the header at the start of p and how many bytes it takes;
// 0 bytes when p ends inside it. It judges nothing.
func readHeader(p []byte) (Header, int) {
	if len(p) < 2 {
		return Header{}, 0
	}
	h := Header{
		Fin:    p[0]&finBit != 0,
		RSV:    p[0] & rsvBits,
		Opcode: Opcode(p[0] & 0x0F),
		Masked: p[1]&maskBit != 0,
		Length: uint64(p[1] &^ maskBit),
	}
	n := 2
	switch h.Length {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	size := n
	if h.Masked {
		size += 4
	}
	if len(p) < size {
		return Header{}, 0
	}
	switch n {
	case 4:
		h.Length = uint64(binary.BigEndian.Uint16(p[2:]))
	case 10:
		h.Length = binary.BigEndian.Uint64(p[2:])
	}
	if h.Masked {
		h.Key = [4]byte(p[n:])
	}
	return h, size
}
