package fanout

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

const (
	segmentMost  = 64 << 10 // bytes of a segment, unless a message is larger
	segmentLeast = 4 << 10
	perEntry     = 64 // bytes of a segment for each message that it has room for
)

// log is the messages of one form, as they go out, numbered from the first
// that the stream ever had. One goroutine appends; any may read.
type log struct {
	// Set once, then read-only.
	size   int    // bytes of a segment
	keyLag uint64 // latest: keys are known for so many bytes; 0: there are none

	tail atomic.Pointer[segment] // where messages are appended

	mu     sync.Mutex // guards what follows
	oldest cursor     // the first message of the history
	keep   limits

	// Owned by the writer.
	latest map[uint64]cursor // of each key the latest message
	keyed  cursor            // the first message that latest may hold
}

// limits are what a log keeps. Zero messages or bytes: nothing.
type limits struct {
	messages int
	bytes    int64
	age      time.Duration // 0: no bound
}

// segment is a stretch of a log. What is published of it never changes, so it
// is read without a lock; it lives as long as a cursor is in it, or before it.
type segment struct {
	// Set once, then read-only.
	first uint64 // number of its first message
	from  uint64 // bytes of the log before it
	buf   []byte
	index []entry
	keys  []uint64 // latest: what each message is about; 0: nothing

	stale []atomic.Bool           // latest: a newer one has the same key
	state atomic.Uint64           // what is published: messages<<32 | bytes
	next  atomic.Pointer[segment] // set when this one is full
}

// entry is a message in a segment.
type entry struct {
	start uint32 // where its bytes begin
	at    uint32 // when it was appended, by the stream's clock
}

// cursor is a place in a log: behind pos bytes of its segment, of which idx
// whole messages. It is the reader's own.
type cursor struct {
	seg *segment
	pos uint32
	idx uint32
}

// newLog makes an empty log whose first message will be number first.
func newLog(first uint64, keep limits, lag int64, keyed bool) *log {
	size := segmentMost
	for size > segmentLeast && (int64(size) > lag/4 || int64(size) > keep.bytes/4 && keep.bytes > 0) {
		size /= 2
	}
	g := &log{size: size, keep: keep}
	if keyed {
		g.keyLag, g.latest = uint64(lag), map[uint64]cursor{}
	}
	s := g.newSegment(first, 0, 0)
	g.oldest = cursor{seg: s}
	if keyed {
		g.keyed = cursor{seg: s}
	}
	g.tail.Store(s)
	return g
}

func (g *log) newSegment(first, from uint64, need int) *segment {
	size := max(g.size, need)
	n := max(g.size/perEntry, 1)
	s := &segment{first: first, from: from, buf: make([]byte, size), index: make([]entry, n)}
	if g.latest != nil {
		s.keys, s.stale = make([]uint64, n), make([]atomic.Bool, n)
	}
	return s
}

// published tells how many messages of s there are, and where they end.
func (s *segment) published() (messages, end uint32) {
	v := s.state.Load()
	return uint32(v >> 32), uint32(v)
}

// append publishes a message of head and payload. Only the writer calls it.
func (g *log) append(now uint32, key uint64, head, payload []byte) {
	s := g.tail.Load()
	n, end := s.published()
	need := len(head) + len(payload)
	if int(n) == len(s.index) || int(end)+need > len(s.buf) {
		t := g.newSegment(s.first+uint64(n), s.from+uint64(end), need)
		s.next.Store(t)
		g.tail.Store(t)
		s, n, end = t, 0, 0
	}
	s.index[n] = entry{start: end, at: now}
	copy(s.buf[end:], head)
	copy(s.buf[int(end)+len(head):], payload)
	if g.latest != nil {
		s.keys[n] = key
	}
	s.state.Store(uint64(n+1)<<32 | uint64(int(end)+need))
	if g.latest != nil {
		g.supersede(key, cursor{seg: s, pos: end, idx: n})
	}
}

// supersede notes that the message at c is the latest of its key.
func (g *log) supersede(key uint64, c cursor) {
	if key != 0 {
		if old, ok := g.latest[key]; ok {
			old.seg.stale[old.idx].Store(true)
		}
		g.latest[key] = c
	}
	for k := &g.keyed; c.bytes()-k.bytes() > g.keyLag; k.step() {
		if k.settle(); g.latest[k.seg.keys[k.idx]] == *k {
			delete(g.latest, k.seg.keys[k.idx])
		}
	}
}

// bound has the log keep something else from here on. What is gone stays gone.
func (g *log) bound(keep limits) {
	g.mu.Lock()
	g.keep = keep
	g.mu.Unlock()
}

// trim takes out of the history what is over its bounds. now is the stream's
// clock; any goroutine may call it.
func (g *log) trim(now uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	head := g.live()
	if g.keep.messages == 0 || g.keep.bytes == 0 {
		g.oldest = head
		return
	}
	o := &g.oldest
	for o.number() < head.number() {
		o.settle()
		late := g.keep.age > 0 && passed(now, o.seg.index[o.idx].at) > g.keep.age
		if !late && head.number()-o.number() <= uint64(g.keep.messages) && head.bytes()-o.bytes() <= uint64(g.keep.bytes) {
			break
		}
		o.step()
	}
}

// passed is the time from at to now. It may be that now was read before at was,
// by another goroutine: then none has passed.
func passed(now, at uint32) time.Duration {
	if int32(now-at) < 0 && at-now < 60_000 {
		return 0
	}
	return time.Duration(now-at) * time.Millisecond
}

// start gives the first message of the history.
func (g *log) start() cursor {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.oldest
}

// live gives the place behind the last message, as of now.
func (g *log) live() cursor {
	s := g.tail.Load()
	n, end := s.published()
	return cursor{s, end, n}
}

// at gives the place of message n of the history, or the end if n is the next
// one; ok is false where it is neither.
func (g *log) at(n uint64) (c cursor, ok bool) {
	c = g.start()
	if n < c.number() || n > g.live().number() {
		return cursor{}, false
	}
	for {
		m, end := c.seg.published()
		if n < c.seg.first+uint64(m) {
			idx := uint32(n - c.seg.first)
			return cursor{c.seg, c.seg.index[idx].start, idx}, true
		}
		next := c.seg.next.Load()
		if next == nil {
			return cursor{c.seg, end, m}, true
		}
		c = cursor{seg: next}
	}
}

// number is the number of the message that comes next at c, or of the one that
// c is in.
func (c cursor) number() uint64 { return c.seg.first + uint64(c.idx) }

// bytes counts the log's bytes before c.
func (c cursor) bytes() uint64 { return c.seg.from + uint64(c.pos) }

// settle moves c from the end of a segment to the next one, if that is there.
func (c *cursor) settle() {
	for {
		next := c.seg.next.Load()
		if next == nil {
			return
		}
		if n, _ := c.seg.published(); c.idx < n { // final: next is there
			return
		}
		*c = cursor{seg: next}
	}
}

// step moves c, which is at the start of a message, behind it.
func (c *cursor) step() {
	c.settle()
	n, end := c.seg.published()
	if c.idx++; c.idx < n {
		end = c.seg.index[c.idx].start
	}
	c.pos = end
}

// chunk gives what is published behind c in its segment, and as how many
// messages of it; nil at the end of the log.
//
// Fast path: two atomic loads.
func (c *cursor) chunk() (p []byte, messages uint32) {
	for {
		n, end := c.seg.published()
		if c.pos < end {
			return c.seg.buf[c.pos:end], n
		}
		next := c.seg.next.Load()
		if next == nil {
			return nil, n
		}
		if _, end = c.seg.published(); c.pos == end {
			*c = cursor{seg: next}
		}
	}
}

// advance moves c over n bytes of what chunk gave, which ends behind so many
// messages. It tells whether c is inside a message now.
func (c *cursor) advance(n, all int, messages uint32) (inside bool) {
	c.pos += uint32(n)
	if n == all {
		c.idx = messages
		return false
	}
	left := c.seg.index[c.idx:messages]
	// The first message that begins behind pos; c is in the one before it.
	k := sort.Search(len(left), func(i int) bool { return left[i].start > c.pos })
	c.idx += uint32(k) - 1
	return left[k-1].start != c.pos
}

// rest gives what is left of the message that c is in.
func (c *cursor) rest() []byte {
	n, end := c.seg.published()
	if c.idx+1 < n {
		end = c.seg.index[c.idx+1].start
	}
	return c.seg.buf[c.pos:end]
}

// message gives the message that c is at the start of, and when it came.
func (c *cursor) message() (p []byte, at uint32) {
	return c.rest(), c.seg.index[c.idx].at
}
