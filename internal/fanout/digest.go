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

// makeDigest makes one for all that are behind, from number on: of the log what
// is not superseded, and ahead of it what older digests have and the log has
// nothing newer of.
func (a *audience) makeDigest(number uint64) *digest {
	d := &digest{from: number, then: a.log.live()}
	first := d.then // of the log
	var old []*digest
	for s := a.blocked.first; s != nil; s = s.next {
		if !s.has(flagConflate) {
			continue
		}
		n, _ := s.needs()
		d.from = min(d.from, n)
		if s.digesting() && !slices.Contains(old, s.more.digest) {
			old = append(old, s.more.digest)
		}
		at := s.at
		if s.has(flagInside) && !s.digesting() {
			at.idx++
			at.pos += uint32(len(s.at.rest()))
		}
		if at.number() < first.number() {
			first = at
		}
	}
	keys := map[uint64]bool{}
	var log digest
	for c := first; c.number() < d.then.number(); c.step() {
		if c.settle(); c.seg.stale[c.idx].Load() {
			continue
		}
		p, _ := c.message()
		key := c.seg.keys[c.idx]
		keys[key] = true
		log.add(digested{number: c.number(), key: key}, p)
	}
	d.addOld(old, first.number(), keys)
	for k, m := range log.index {
		d.add(m, log.bytes[m.start:log.begins(k+1)])
	}
	return d
}

// add appends a message.
func (d *digest) add(m digested, p []byte) {
	m.start = len(d.bytes)
	d.bytes = append(d.bytes, p...)
	d.index = append(d.index, m)
}

// addOld adds of old digests what is before a number and has no newer one, keys
// being those of what follows.
func (d *digest) addOld(old []*digest, before uint64, keys map[uint64]bool) {
	type place struct {
		*digest
		k int
	}
	number := func(p place) uint64 { return p.index[p.k].number }
	var all, kept []place
	for _, o := range old {
		for k := range o.left(before) {
			all = append(all, place{o, k})
		}
	}
	slices.SortFunc(all, func(x, y place) int { return cmp.Compare(number(y), number(x)) })
	for i, p := range all { // the newest first
		key := p.index[p.k].key
		if i > 0 && number(all[i-1]) == number(p) || key != 0 && keys[key] {
			continue
		}
		keys[key] = true
		kept = append(kept, p)
	}
	for _, p := range slices.Backward(kept) {
		m := p.index[p.k]
		d.add(m, p.bytes[m.start:p.begins(p.k+1)])
	}
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
