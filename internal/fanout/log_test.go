package fanout

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// tinyLog makes a log whose segments have so many bytes.
func tinyLog(size int, first uint64, keep limits, lag int64, keyed bool) *log {
	g := newLog(first, keep, lag, keyed)
	g.size = size
	s := g.newSegment(first, 0, 0)
	g.oldest, g.keyed = cursor{seg: s}, cursor{seg: s}
	g.tail.Store(s)
	return g
}

// naive is a log as one would write it down: everything, for ever.
type naive struct {
	first  uint64
	keep   limits
	lag    uint64
	bytes  []byte
	starts []int // of each message
	at     []uint32
	keys   []uint64
	stale  []bool
	oldest int
}

func (m *naive) append(at uint32, key uint64, frame []byte) {
	end := 0
	if len(m.starts) > 0 {
		end = m.starts[len(m.starts)-1]
	}
	for k := len(m.keys) - 1; k >= 0 && key != 0; k-- {
		if uint64(end-m.starts[k]) > m.lag { // forgotten when the one before this came
			break
		}
		if m.keys[k] == key {
			m.stale[k] = true
			break
		}
	}
	m.starts = append(m.starts, len(m.bytes))
	m.at = append(m.at, at)
	m.keys = append(m.keys, key)
	m.stale = append(m.stale, false)
	m.bytes = append(m.bytes, frame...)
}

func (m *naive) begins(k int) int {
	if k == len(m.starts) {
		return len(m.bytes)
	}
	return m.starts[k]
}

func (m *naive) trim(now uint32) {
	for ; m.oldest < len(m.starts); m.oldest++ {
		late := m.keep.age > 0 && time.Duration(now-m.at[m.oldest])*time.Millisecond > m.keep.age
		if m.keep.messages > 0 && m.keep.bytes > 0 && !late && len(m.starts)-m.oldest <= m.keep.messages &&
			int64(len(m.bytes)-m.starts[m.oldest]) <= m.keep.bytes {
			return
		}
	}
}

// whole tells how many messages end at or before a byte, and whether that byte
// is inside one.
func (m *naive) whole(off int) (messages int, inside bool) {
	for messages < len(m.starts) && m.begins(messages+1) <= off {
		messages++
	}
	return messages, m.begins(messages) != off
}

// listener reads a log from some place on.
type listener struct {
	c   cursor
	off int
}

// pair is a log and what it should be.
type pair struct {
	g     *log
	m     naive
	now   uint32
	heard []*listener
}

func newPair(t *rapid.T) *pair {
	keep := limits{
		messages: rapid.SampledFrom([]int{0, 1, 3, 20, 1000}).Draw(t, "history messages"),
		bytes:    rapid.SampledFrom([]int64{0, 10, 300, 100_000}).Draw(t, "history bytes"),
		age:      time.Duration(rapid.SampledFrom([]int{0, 5, 100}).Draw(t, "history ms")) * time.Millisecond,
	}
	first := rapid.SampledFrom([]uint64{0, 1, 1 << 40}).Draw(t, "first")
	lag := rapid.SampledFrom([]int64{0, 30, 500, 1 << 20}).Draw(t, "lag")
	p := &pair{
		g:   tinyLog(rapid.SampledFrom([]int{1, 64, 200, 640, 4096}).Draw(t, "segment"), first, keep, lag, true),
		m:   naive{first: first, keep: keep, lag: uint64(lag)},
		now: rapid.SampledFrom([]uint32{0, 1<<32 - 50}).Draw(t, "clock"),
	}
	return p
}

func (p *pair) append(t *rapid.T) {
	p.now += rapid.SampledFrom([]uint32{0, 0, 1, 7}).Draw(t, "ms")
	n := rapid.OneOf(rapid.IntRange(0, 30), rapid.IntRange(0, 3*p.g.size)).Draw(t, "size")
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(len(p.m.bytes) + 31*i)
	}
	head := []byte{0x81, byte(len(p.m.starts))}
	key := rapid.Uint64Range(0, 4).Draw(t, "key")
	p.g.append(p.now, key, head, payload)
	p.m.append(p.now, key, append(head, payload...))
}

func (p *pair) trim(t *rapid.T) {
	p.now += rapid.Uint32Range(0, 60).Draw(t, "ms")
	p.g.trim(p.now)
	p.m.trim(p.now)
	if want := p.m.first + uint64(p.m.oldest); p.g.start().number() != want {
		t.Fatalf("the history begins with %d, want %d", p.g.start().number(), want)
	}
}

// join begins to listen somewhere in the history, or at the end.
func (p *pair) join(t *rapid.T) {
	k := rapid.IntRange(p.m.oldest, len(p.m.starts)).Draw(t, "from")
	c, ok := p.g.at(p.m.first + uint64(k))
	if !ok {
		t.Fatalf("message %d is not there", k)
	}
	switch {
	case k == p.m.oldest && rapid.Bool().Draw(t, "by start"):
		c = p.g.start()
	case k == len(p.m.starts) && rapid.Bool().Draw(t, "by live"):
		c = p.g.live()
	}
	r := &listener{c, p.m.begins(k)}
	p.check(t, r, false)
	p.heard = append(p.heard, r)
}

// read has a listener take some bytes of what there is: as a whole, or up to a
// message's end.
func (p *pair) read(t *rapid.T) {
	if len(p.heard) == 0 {
		t.Skip("nobody listens")
	}
	r := rapid.SampledFrom(p.heard).Draw(t, "who")
	b, messages := r.c.chunk()
	if b == nil {
		if r.off != len(p.m.bytes) {
			t.Fatalf("a cursor behind %d bytes of %d gets nothing", r.off, len(p.m.bytes))
		}
		return
	}
	if len(b) > len(p.m.bytes)-r.off || !bytes.Equal(b, p.m.bytes[r.off:r.off+len(b)]) {
		t.Fatalf("behind %d bytes a cursor gets %d other bytes than came", r.off, len(b))
	}
	if rapid.Bool().Draw(t, "capped") { // as those do who pass over messages
		to := uint32(rapid.IntRange(int(r.c.idx)+1, int(messages)).Draw(t, "to"))
		b = r.c.seg.buf[r.c.pos:r.c.seg.begins(to, messages, r.c.pos+uint32(len(b)))]
		messages = to
	}
	n := rapid.OneOf(rapid.IntRange(0, len(b)), rapid.Just(len(b))).Draw(t, "taken")
	inside := r.c.advance(n, len(b), messages)
	r.off += n
	p.check(t, r, inside)
}

func (p *pair) check(t *rapid.T, r *listener, inside bool) {
	k, in := p.m.whole(r.off)
	if r.c.number() != p.m.first+uint64(k) || r.c.bytes() != uint64(r.off) || inside != in {
		t.Fatalf("a cursor behind %d bytes says that they are %d, and %d messages, inside: %v; want %d messages, inside: %v",
			r.off, r.c.bytes(), r.c.number()-p.m.first, inside, k, in)
	}
	if want := p.m.bytes[r.off:p.m.begins(min(k+1, len(p.m.starts)))]; inside && !bytes.Equal(r.c.rest(), want) {
		t.Fatalf("%d bytes are left of message %d, want %d", len(r.c.rest()), k, len(want))
	}
}

// all is what must hold at any time.
func (p *pair) all(t *rapid.T) {
	live := p.g.live()
	if live.number() != p.m.first+uint64(len(p.m.starts)) || live.bytes() != uint64(len(p.m.bytes)) {
		t.Fatalf("the end is behind message %d and byte %d, want %d and %d", live.number(), live.bytes(), len(p.m.starts), len(p.m.bytes))
	}
	for k := range len(p.m.starts) + 2 {
		c, ok := p.g.at(p.m.first + uint64(k))
		if want := k >= p.m.oldest && k <= len(p.m.starts); ok != want {
			t.Fatalf("message %d of %d is there: %v, want %v", k, len(p.m.starts), ok, want)
		}
		if ok && (c.number() != p.m.first+uint64(k) || c.bytes() != uint64(p.m.begins(k))) {
			t.Fatalf("message %d begins at byte %d, want %d", k, c.bytes(), p.m.begins(k))
		}
	}
	if _, ok := p.g.at(p.m.first - 1); ok && p.m.first > 0 {
		t.Fatal("a message is there that never was")
	}
	c := p.g.start()
	for k := p.m.oldest; k < len(p.m.starts); k++ {
		c.settle()
		b, at := c.message()
		if !bytes.Equal(b, p.m.bytes[p.m.begins(k):p.m.begins(k+1)]) || at != p.m.at[k] {
			t.Fatalf("message %d is %q of %d, want %q of %d", k, b, at, p.m.bytes[p.m.begins(k):p.m.begins(k+1)], p.m.at[k])
		}
		if stale := c.seg.stale[c.idx].Load(); stale != p.m.stale[k] {
			t.Fatalf("message %d is superseded: %v, want %v", k, stale, p.m.stale[k])
		}
		c.step()
	}
	if c.number() != live.number() || c.bytes() != live.bytes() {
		t.Fatalf("a walk ends at message %d and byte %d, want %d and %d", c.number(), c.bytes(), live.number(), live.bytes())
	}
}

func TestALogIsWhatWasAppended(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": p.append, "append more": p.append, "append on": p.append,
			"trim": p.trim, "join": p.join, "read": p.read, "read more": p.read, "read on": p.read,
			"": p.all,
		})
		for _, r := range p.heard { // whatever was trimmed since, each gets all from there on
			for b, n := r.c.chunk(); b != nil; b, n = r.c.chunk() {
				if !bytes.HasPrefix(p.m.bytes[r.off:], b) {
					t.Fatalf("behind %d bytes a cursor gets %d other bytes than came", r.off, len(b))
				}
				r.off += len(b)
				p.check(t, r, r.c.advance(len(b), len(b), n))
			}
			if r.off != len(p.m.bytes) {
				t.Fatalf("a cursor ends behind %d bytes of %d", r.off, len(p.m.bytes))
			}
		}
	})
}

// What is superseded is told even where nothing is kept, and what the log knows
// of keys is no more than keyLag bytes.
func TestALogForgetsKeys(t *testing.T) {
	g := tinyLog(100, 0, limits{}, 1000, true)
	for k := range uint64(10_000) {
		g.append(0, k+1, []byte("frame"), []byte("with a key of its own"))
	}
	if most := 1000/len("framewith a key of its own") + 1; len(g.latest) > most {
		t.Errorf("%d keys are known, want at most %d", len(g.latest), most)
	}
	c := g.live()
	g.append(0, 7, []byte("a"), nil)
	g.append(0, 8, []byte("b"), nil)
	g.append(0, 7, []byte("c"), nil)
	for _, want := range []bool{true, false, false} {
		c.settle()
		if c.seg.stale[c.idx].Load() != want {
			t.Errorf("%s is superseded: %v", c.rest(), !want)
		}
		c.step()
	}
}

// Who reads the clock and then waits may trim with a time from before the
// latest message.
func TestAMessageOfTheNextMomentIsNotOld(t *testing.T) {
	for _, now := range []uint32{1000, 0} {
		g := newLog(0, limits{messages: 10, bytes: 1000, age: time.Minute}, 1000, false)
		g.append(now, 0, []byte("m"), nil)
		g.trim(now - 1)
		if n := g.start().number(); n != 0 {
			t.Errorf("a message of time %d is out of the history at time %d", now, now-1)
		}
	}
}

// Segments fit the bounds: no history and no lag pins much more than itself.
func TestSegmentsAreSmallWhereBoundsAre(t *testing.T) {
	for _, c := range []struct {
		bytes, lag int64
		want       int
	}{{8 << 20, 4 << 20, 64 << 10}, {64 << 10, 4 << 20, 16 << 10}, {0, 4 << 20, 64 << 10}, {8 << 20, 16 << 10, 4 << 10}, {1, 1, 4 << 10}} {
		if g := newLog(0, limits{messages: 1, bytes: c.bytes}, c.lag, false); g.size != c.want {
			t.Errorf("with %d bytes of history and %d of lag a segment has %d bytes, want %d", c.bytes, c.lag, g.size, c.want)
		}
	}
}

// What neither the history nor a cursor reaches is let go.
func TestOldSegmentsAreCollected(t *testing.T) {
	g := tinyLog(1000, 0, limits{messages: 5, bytes: 1000}, 3000, true)
	gone := make(chan struct{})
	runtime.AddCleanup(g.tail.Load(), func(c chan struct{}) { close(c) }, gone)
	for k := range 1000 {
		g.append(0, uint64(k%3+1), []byte("head"), []byte("and a payload"))
		g.trim(0)
	}
	for range 10 {
		runtime.GC()
		select {
		case <-gone:
			runtime.KeepAlive(g)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the first segment is still there")
}

// numbered is a frame that tells its own number and bytes.
func numbered(k uint64) []byte {
	b := make([]byte, 12+k*k%300)
	binary.LittleEndian.PutUint64(b, k)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	for i := 12; i < len(b); i++ {
		b[i] = byte(k)
	}
	return b
}

func TestALogIsReadWhileItIsWritten(t *testing.T) {
	const messages = 20_000
	g := tinyLog(1000, 0, limits{messages: 40, bytes: 5000}, 3000, true)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() { hear(t, g, messages, rand.New(rand.NewPCG(seed, 1))) })
	}
	for k := range uint64(messages) {
		p := numbered(k)
		g.append(uint32(k), k%5, p[:2], p[2:])
		g.trim(uint32(k))
		if k%64 == 0 {
			runtime.Gosched()
		}
	}
	wg.Wait()
}

// hear reads a log, beginning anew now and then, until it has the last message.
func hear(t *testing.T, g *log, until uint64, r *rand.Rand) {
	for {
		c := g.start()
		if n := c.number() + uint64(r.IntN(50)); n%3 == 0 {
			var ok bool
			if c, ok = g.at(n); !ok {
				continue
			}
		}
		var got []byte
		next := c.number()
		for r.IntN(2000) != 0 || until-next < 100 {
			p, n := c.chunk()
			if p == nil {
				if next == until {
					return
				}
				runtime.Gosched()
				continue
			}
			taken := r.IntN(len(p) + 1)
			if r.IntN(2) == 0 {
				taken = len(p)
			}
			got = append(got, p[:taken]...)
			inside := c.advance(taken, len(p), n)
			var err error
			if got, next, err = count(got, next); err != nil || c.number() != next || inside != (len(got) > 0) {
				t.Errorf("the cursor is at message %d, inside: %v; read are %d and %d bytes; %v", c.number(), inside, next, len(got), err)
				return
			}
		}
	}
}

// count takes whole frames off b, the first of which is number next.
func count(b []byte, next uint64) (rest []byte, after uint64, err error) {
	for len(b) >= 12 {
		n := int(binary.LittleEndian.Uint32(b[8:]))
		if len(b) < n {
			break
		}
		if !bytes.Equal(b[:n], numbered(next)) {
			return b, next, fmt.Errorf("%d bytes are not message %d", n, next)
		}
		b, next = b[n:], next+1
	}
	return b, next, nil
}
