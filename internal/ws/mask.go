package ws

import (
	"encoding/binary"
	"math/bits"
)

// Mask XORs p with key, a word at a time (RFC 6455, section 5.3). pos is how
// many bytes of the payload came before p; masking twice gives p back.
func Mask(p []byte, key [4]byte, pos int) {
	k := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(pos&3))
	w := uint64(k)<<32 | uint64(k)
	for len(p) >= 32 {
		q := p[:32:32]
		binary.LittleEndian.PutUint64(q, binary.LittleEndian.Uint64(q)^w)
		binary.LittleEndian.PutUint64(q[8:], binary.LittleEndian.Uint64(q[8:])^w)
		binary.LittleEndian.PutUint64(q[16:], binary.LittleEndian.Uint64(q[16:])^w)
		binary.LittleEndian.PutUint64(q[24:], binary.LittleEndian.Uint64(q[24:])^w)
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^w)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(w)
		w = bits.RotateLeft64(w, -8)
	}
}
