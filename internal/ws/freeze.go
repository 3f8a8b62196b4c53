package ws

import (
	"encoding/binary"
	"errors"
)

// A parser that is written down: a version, flags, and the numbers in their
// full width. Its length is fixed, so several can stand in a row.
const (
	frozenVersion = 1
	frozenSize    = 1 + 1 + 2 + 4 + 4 + 3*8
)

// Its flags.
const (
	frozenFin uint8 = 1 << iota
	frozenMasked
	frozenPeerMasks
	frozenDeflate
	frozenInMessage
	frozenMessageFin
	frozenUnused // and above
)

var errFrozen = errors.New("ws: not a parser that was written down")

// AppendBinary appends the parser as it stands between two bytes of its stream;
// it implements encoding.BinaryAppender. What Next was shown and did not take is
// not part of it.
func (ps *Parser) AppendBinary(b []byte) ([]byte, error) {
	h := &ps.Header
	var flags uint8
	for k, set := range [...]bool{h.Fin, h.Masked, ps.Masked, ps.Deflate, ps.inMessage, ps.fin} {
		if set {
			flags |= 1 << k
		}
	}
	b = append(b, frozenVersion, flags, byte(h.Opcode), h.RSV)
	b = append(append(b, h.Key[:]...), ps.key[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Length)
	b = binary.BigEndian.AppendUint64(b, ps.pos)
	return binary.BigEndian.AppendUint64(b, ps.remaining), nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (ps *Parser) MarshalBinary() ([]byte, error) { return ps.AppendBinary(nil) }

// UnmarshalBinary goes on where a parser was written down; it implements
// encoding.BinaryUnmarshaler. What no stream leads to is an error, and leaves ps
// as it was.
func (ps *Parser) UnmarshalBinary(b []byte) error {
	if len(b) != frozenSize || b[0] != frozenVersion || b[1] >= frozenUnused {
		return errFrozen
	}
	has := func(flag uint8) bool { return b[1]&flag != 0 }
	q := Parser{
		Header: Header{
			Opcode: Opcode(b[2]), RSV: b[3], Key: [4]byte(b[4:8]), Fin: has(frozenFin), Masked: has(frozenMasked),
			Length: binary.BigEndian.Uint64(b[12:]),
		},
		key: [4]byte(b[8:12]), pos: binary.BigEndian.Uint64(b[20:]), remaining: binary.BigEndian.Uint64(b[28:]),
		Masked: has(frozenPeerMasks), Deflate: has(frozenDeflate), inMessage: has(frozenInMessage), fin: has(frozenMessageFin),
	}
	if !q.sound() {
		return errFrozen
	}
	*ps = q
	return nil
}

// sound tells whether a stream can have led here.
func (ps *Parser) sound() bool {
	h := ps.Header
	data, length := ps.inMessage || ps.fin, ps.pos+ps.remaining // of the latest data frame, if there was one
	switch {
	case !h.Opcode.known(), h.Length>>63 != 0, ps.pos>>63 != 0, length>>63 != 0 || length < ps.pos,
		ps.inMessage && ps.fin, !data && (length > 0 || ps.key != [4]byte{}):
		return false
	case h.Opcode.Control():
		return h.Fin && h.RSV == 0 && h.Length <= MaxControl && h.Masked == ps.Masked && h.keyed() && (ps.Masked || ps.key == [4]byte{})
	case !data:
		return h == Header{}
	}
	rsv := h.RSV == 0 || ps.mayReserve(&h)
	return rsv && h.Masked == ps.Masked && h.keyed() && h.Fin == ps.fin && h.Key == ps.key && h.Length == length
}

// keyed: without a mask there is no key.
func (h *Header) keyed() bool { return h.Masked || h.Key == [4]byte{} }
