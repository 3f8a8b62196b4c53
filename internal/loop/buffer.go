package loop

// Sizes of what a loop lends, in bytes.
const (
	readSize  = 64 << 10         // the most that one wake-up reads from one connection
	inSize    = 2 * readSize     // the read buffer: kept bytes in front, then what is read
	smallSize = 512              // a frame cut at the edge of a read
	midSize   = 4 << 10          // messages that a session holds
	bigSize   = readSize + 1<<10 // output that waits: one read and control frames
	bigSpare  = 32               // big buffers that a loop keeps for later
	midMost   = 256
	smallMost = 256
)

// buffers lends byte slices that come back soon. It belongs to one loop.
type buffers struct{ small, mid, big [][]byte }

// get gives an empty slice with room for n bytes.
func (b *buffers) get(n int) []byte {
	switch {
	case n <= smallSize:
		return take(&b.small, smallSize)
	case n <= midSize:
		return take(&b.mid, midSize)
	case n <= bigSize:
		return take(&b.big, bigSize)
	}
	return make([]byte, 0, n+n/4) // it may grow
}

// take gives a spare, or a new one.
func take(spare *[][]byte, size int) []byte {
	k := len(*spare) - 1
	if k < 0 {
		return make([]byte, 0, size)
	}
	p := (*spare)[k]
	*spare = (*spare)[:k]
	return p
}

// put takes p back. Nobody may hold a part of it.
func (b *buffers) put(p []byte) {
	switch cap(p) {
	case smallSize:
		if len(b.small) < smallMost {
			b.small = append(b.small, p[:0])
		}
	case midSize:
		if len(b.mid) < midMost {
			b.mid = append(b.mid, p[:0])
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

// Extend gives p, which the loop has lent or which is nil, with more behind it.
func (l *Loop) Extend(p, more []byte) []byte {
	if len(more) == 0 {
		return p
	}
	return l.lent.extend(p, more)
}

// Return takes back what Extend gave. Nobody may hold a part of it.
func (l *Loop) Return(p []byte) { l.lent.put(p) }
