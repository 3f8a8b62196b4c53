package loop

// Sizes of what a loop lends, in bytes.
const (
	readSize  = 64 << 10         // the most that one wake-up reads from one connection
	inSize    = 2 * readSize     // the read buffer: kept bytes in front, then what is read
	smallSize = 512              // a frame cut at the edge of a read
	bigSize   = readSize + 1<<10 // output that waits: one read and control frames
	bigSpare  = 32               // big buffers that a loop keeps for later
	smallMost = 256
)

// buffers lends byte slices that come back soon. It belongs to one loop.
type buffers struct{ small, big [][]byte }

// get gives an empty slice with room for n bytes.
func (b *buffers) get(n int) []byte {
	switch {
	case n <= smallSize:
		if k := len(b.small) - 1; k >= 0 {
			p := b.small[k]
			b.small = b.small[:k]
			return p
		}
		return make([]byte, 0, smallSize)
	case n <= bigSize:
		if k := len(b.big) - 1; k >= 0 {
			p := b.big[k]
			b.big = b.big[:k]
			return p
		}
		return make([]byte, 0, bigSize)
	}
	return make([]byte, 0, n)
}

// put takes p back. Nobody may hold a part of it.
func (b *buffers) put(p []byte) {
	switch cap(p) {
	case smallSize:
		if len(b.small) < smallMost {
			b.small = append(b.small, p[:0])
		}
	case bigSize:
		if len(b.big) < bigSpare {
			b.big = append(b.big, p[:0])
		}
	}
}

// extend appends more to p, moving to a larger lent slice where it must.
func (b *buffers) extend(p, more []byte) []byte {
	if len(p)+len(more) <= cap(p) {
		return append(p, more...)
	}
	q := append(b.get(len(p)+len(more)), p...)
	b.put(p)
	return append(q, more...)
}
