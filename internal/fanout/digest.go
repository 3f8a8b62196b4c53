package fanout

import (
	"cmp"
	"slices"
	"sort"
)

// digest is the messages of a stretch of a log that none of the stretch
// superseded: what clients get that were too far behind for too long, so that
// the stretch need not be kept. It is shared by those of a loop and never
// changes.
type digest struct {
	bytes []byte
	index []digested // by number
	from  uint64     // number of the first message that it speaks for
	then  cursor     // where the log goes on
}

// digested is a message of a digest.
type digested struct {
	number, key uint64
	start       int // where its bytes begin
}

// left gives the place among d's messages of the first that is not before
// number.
func (d *digest) left(number uint64) int {
	return sort.Search(len(d.index), func(k int) bool { return d.index[k].number >= number })
}

// begins tells where message k begins, or where all end.
func (d *digest) begins(k int) int {
	if k == len(d.index) {
		return len(d.bytes)
	}
	return d.index[k].start
}

// message gives the place of the message that byte at is in, or begins.
func (d *digest) message(at int) int {
	return sort.Search(len(d.index), func(k int) bool { return d.index[k].start > at }) - 1
}

// digesting tells whether the subscriber is being sent a digest.
func (s *subscriber) digesting() bool { return s.more != nil && s.more.digest != nil }

// needs tells which message the subscriber wants next, and how many it is to
// get before the log goes on.
func (s *subscriber) needs() (number uint64, before int) {
	if s.digesting() {
		a, d := s.more, s.more.digest
		k := len(d.index)
		if a.read < len(d.bytes) {
			k = d.message(a.read)
		}
		if k < len(d.index) {
			return d.index[k].number, len(d.index) - k
		}
	}
	return s.at.number(), 0
}

// shed has a client that is too far behind even for latest let go of the log:
// it gets a digest of what it has missed.
func (s *subscriber) shed() {
	a := s.aud
	if !s.letGo() {
		s.giveUp(a.log.live())
		return
	}
	number, before := s.needs()
	d := a.digest
	if d == nil || d.from > number || a.log.live().bytes()-d.then.bytes() > uint64(s.route().lag())/2 {
		d = a.makeDigest(number)
		a.digest = d
	}
	if int64(len(d.bytes)) > s.route().lag() {
		a.digest = nil
		s.giveUp(a.log.live())
		return
	}
	k := d.left(number)
	owed := uint64(before) + d.then.number() - s.at.number()
	s.pass(lostLatest, owed-uint64(len(d.index)-k))
	m := s.aside()
	m.digest, m.read = d, d.begins(k)
	m.then, m.floor = cursor{}, cursor{}
	s.at = d.then
}

// makeDigest makes one for all that are behind, from number on.
func (a *audience) makeDigest(number uint64) *digest {
	d := &digest{from: number, then: a.log.live()}
	var old []*digest
	first := d.then
	for s := a.blocked.first; s != nil; s = s.next {
		if !s.has(flagConflate) {
			continue
		}
		n, _ := s.needs()
		d.from = min(d.from, n)
		if s.digesting() && !slices.Contains(old, s.more.digest) {
			old = append(old, s.more.digest)
		}
		if s.at.number() < first.number() {
			first = s.at
			if s.has(flagInside) && !s.digesting() {
				first.idx++
				first.pos += uint32(len(s.at.rest()))
			}
		}
	}
	type found struct {
		digested
		bytes []byte
	}
	var all []found
	for _, o := range old {
		for k, m := range o.index {
			all = append(all, found{m, o.bytes[m.start:o.begins(k+1)]})
		}
	}
	for c := first; c.number() < d.then.number(); c.step() {
		c.settle()
		p, _ := c.message()
		all = append(all, found{digested{number: c.number(), key: c.seg.keys[c.idx]}, p})
	}
	slices.SortStableFunc(all, func(x, y found) int { return cmp.Compare(y.number, x.number) })
	seen := map[uint64]bool{}
	var kept []found
	for k, m := range all { // the newest first
		if k > 0 && all[k-1].number == m.number || m.key != 0 && seen[m.key] {
			continue
		}
		seen[m.key] = true
		kept = append(kept, m)
	}
	for _, m := range slices.Backward(kept) {
		m.start = len(d.bytes)
		d.bytes = append(d.bytes, m.bytes...)
		d.index = append(d.index, m.digested)
	}
	return d
}

// flushDigest sends what is left of the digest.
func (s *subscriber) flushDigest() bool {
	m := s.more
	d := m.digest
	if m.read == len(d.bytes) { // a control frame had its last message finished
		m.digest = nil
		return true
	}
	p := d.bytes[m.read:]
	n := s.conn.TryWrite(p)
	before := m.read
	m.read += n
	s.aud.served.bytes += uint64(n)
	s.flags &^= flagInside
	if m.read == len(d.bytes) {
		s.aud.served.messages += uint64(len(d.index) - max(d.message(before), 0))
		m.digest = nil
		return true
	}
	k := d.message(m.read)
	s.aud.served.messages += uint64(k - d.message(before))
	if d.index[k].start != m.read {
		s.flags |= flagInside
	}
	s.block()
	return false
}
