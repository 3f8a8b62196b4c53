package ws

// Kind is what a Parser found.
type Kind uint8

// The kinds of piece.
const (
	More    Kind = iota // p ends inside a header or a control frame: show it again with more behind it
	Data                // a data frame's header and what is there of its payload, or more of that payload
	Control             // one whole control frame
)

// Piece is what stands at the start of the bytes that Next was given.
type Piece struct {
	Kind  Kind
	Start bool // Head bytes of header stand in front
	End   bool // the frame ends with this piece
	Head  int  // header bytes
	N     int  // bytes of the piece, header included; 0 for More
}

// A Parser walks the frames of one direction. The zero Parser, with Masked set
// as the peer's role asks, is ready. Next and Header must be called by one
// goroutine at a time.
type Parser struct {
	Header Header // of the latest frame seen to start, data or control

	remaining uint64 // payload still to come of the data frame under way
	pos       uint64 // payload bytes of it already seen
	Masked    bool   // frames must be masked: the peer is a client
	Deflate   bool   // permessage-deflate was negotiated: RSV1 may begin a message
	key       [4]byte
	inMessage bool
	fin       bool // the data frame under way ends its message
}

// InFrame tells whether a data frame has begun and not ended.
func (ps *Parser) InFrame() bool { return ps.remaining > 0 }

// InMessage tells whether a message has begun and not ended. Frames of it may
// be whole so far.
func (ps *Parser) InMessage() bool { return ps.inMessage || ps.remaining > 0 }

// Next says what stands at the start of p. Any cut of the stream into calls
// gives the same frames; only where a payload is split differs. A header or a
// control frame that p holds in part is More and is to be shown again whole.
// The error is a *Violation and final.
//
// Fast path: no allocation, one call a frame.
func (ps *Parser) Next(p []byte) (Piece, error) {
	if ps.remaining > 0 {
		return ps.payload(p, 0), nil
	}
	h, n := readHeader(p)
	if n == 0 {
		// What is visible of a header is judged at once, so that a
		// peer cannot hide a violation behind a stall.
		return Piece{}, ps.judgeStart(p)
	}
	if err := ps.judge(&h, n); err != nil {
		return Piece{}, err
	}
	if h.Opcode.Control() {
		if size := n + int(h.Length); len(p) >= size {
			ps.Header = h
			return Piece{Kind: Control, Start: true, End: true, Head: n, N: size}, nil
		}
		return Piece{}, nil
	}
	ps.Header = h
	ps.key, ps.pos, ps.remaining = h.Key, 0, h.Length
	ps.fin, ps.inMessage = h.Fin, !h.Fin
	return ps.payload(p, n), nil
}

// payload takes what p holds of the data frame under way behind head bytes.
func (ps *Parser) payload(p []byte, head int) Piece {
	n := len(p) - head
	if uint64(n) >= ps.remaining {
		n = int(ps.remaining)
	}
	if n == 0 && head == 0 {
		return Piece{}
	}
	ps.remaining -= uint64(n)
	ps.pos += uint64(n)
	return Piece{Kind: Data, Start: head > 0, End: ps.remaining == 0, Head: head, N: head + n}
}

// Seen tells how many payload bytes of the data frame under way have come.
func (ps *Parser) Seen() uint64 { return ps.pos }

// MessageEnd tells whether the latest data piece with End ended its message.
func (ps *Parser) MessageEnd() bool { return ps.fin && ps.remaining == 0 }

// Unmask gives the plain payload of the data piece that Next has just
// returned, in place. Frames that came unmasked are left as they are.
func (ps *Parser) Unmask(payload []byte) {
	if ps.Header.Masked {
		Mask(payload, ps.key, int((ps.pos-uint64(len(payload)))&3))
	}
}

// judgeStart judges a header that is there in part.
func (ps *Parser) judgeStart(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	h := Header{Fin: p[0]&finBit != 0, RSV: p[0] & rsvBits, Opcode: Opcode(p[0] & 0x0F), Masked: ps.Masked}
	if len(p) > 1 {
		h.Masked = p[1]&maskBit != 0
		if h.Opcode.Control() {
			h.Length = uint64(p[1] &^ maskBit)
		}
	}
	return ps.judge(&h, 0)
}

// judge holds a header against section 5 of the RFC, in the order of its bytes,
// so that the cut of the stream does not decide which of two violations is
// named. size is what the header took on the wire, 0 when that is not known
// yet.
func (ps *Parser) judge(h *Header, size int) error {
	switch {
	case !h.Opcode.known():
		return errOpcode
	case h.RSV != 0 && !ps.mayReserve(h):
		return errReservedBits
	case h.Opcode.Control() && !h.Fin:
		return errFragControl
	case h.Opcode == Continuation && !ps.inMessage:
		return errNoMessage
	case (h.Opcode == Text || h.Opcode == Binary) && ps.inMessage:
		return errInterleaved
	case h.Masked && !ps.Masked:
		return errMasked
	case !h.Masked && ps.Masked:
		return errUnmasked
	case h.Opcode.Control() && (h.Length > MaxControl || extended(h, size)):
		return errLongControl
	case h.Length>>63 != 0:
		return errLength
	case size > 0 && !minimal(h, size):
		return errMinimal
	}
	return nil
}

// mayReserve: RSV1 marks the first frame of a compressed message and nothing
// else (RFC 7692, section 6).
func (ps *Parser) mayReserve(h *Header) bool {
	return ps.Deflate && h.RSV == RSV1 && (h.Opcode == Text || h.Opcode == Binary)
}

// extended: the length is behind the first two bytes.
func extended(h *Header, size int) bool {
	if h.Masked {
		size -= 4
	}
	return size > 2
}

// minimal: the length must be in its shortest form (RFC 6455, section 5.2).
func minimal(h *Header, size int) bool {
	if h.Masked {
		size -= 4
	}
	switch size {
	case 4:
		return h.Length > 125
	case 10:
		return h.Length > 0xFFFF
	}
	return true
}
