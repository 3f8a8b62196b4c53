package fanout

import (
	"bytes"
	"text/template"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/ws"
)

const (
	keptRest    = 64 << 10    // of a message under way that is copied to let its segment go
	noticeEvery = time.Second // latest: between two notices to a client that stays behind
)

// Reasons for which messages are lost, as metrics and logs name them.
const (
	lostClosed  = "slow_closed"   // the client was too slow and was closed
	lostSkipped = "slow_skipped"  // the client was too slow and went on at the live end
	lostLatest  = "slow_latest"   // superseded by a newer message of the same key
	lostStuck   = "stuck"         // the client did not read at all
	lostGap     = "source_gap"    // a source that is a Sluice had them no more
	lostMissing = "gap"           // no redundant source had them in time
	lostTooBig  = "too_big"       // the source's message was over the limit
	lostUnsent  = "not_forwarded" // a client's message that the source was gone for
	lostGone    = "gone"          // a client came back too late for them
)

// judge looks at those whose sockets are full, if the log has grown by enough
// to make a difference.
func (a *audience) judge() {
	head := a.log.live()
	if d := a.digest; d != nil && head.bytes()-d.then.bytes() > uint64(a.stream.route().lag()) {
		a.digest = nil // nobody will be given it any more
	}
	if a.blocked.first == nil {
		a.judged = head
		a.lag.Store(0)
		return
	}
	after := &a.stream.route().Fanout.Slow.After
	enough := head.bytes()-a.judged.bytes() >= uint64(after.Bytes)/16 || after.Age > 0 ||
		after.Messages > 0 && head.number()-a.judged.number() >= uint64(after.Messages)/16
	if !enough {
		return
	}
	a.judged = head
	a.lag.Store(0)
	for s := a.blocked.first; s != nil; {
		next := s.next
		s.judge()
		s = next
	}
}

// log gives the log that the subscriber is in.
func (s *subscriber) log() *log {
	if s.more != nil && s.more.then.seg != nil {
		return s.aud.stream.plain
	}
	return s.aud.log
}

// owed gives the place of the first message that the subscriber is behind by:
// neither one that is under way to it nor the past that it asked for counts.
func (s *subscriber) owed() cursor {
	from := s.at
	if s.has(flagInside) && !s.digesting() {
		from.pos += uint32(len(from.rest()))
		from.idx++
	}
	if s.more != nil && s.more.floor.seg != nil && s.more.floor.bytes() > from.bytes() {
		from = s.more.floor
	}
	return from
}

// judge does what the slow rule says to a subscriber that is too far behind.
func (s *subscriber) judge() {
	after := &s.route().Fanout.Slow.After
	from, head := s.owed(), s.log().live()
	if head.number() <= from.number() {
		return
	}
	behind := head.bytes() - from.bytes()
	if behind > s.aud.lag.Load() {
		s.aud.lag.Store(behind)
	}
	late := behind > uint64(after.Bytes) ||
		after.Messages > 0 && head.number()-from.number() > uint64(after.Messages) ||
		after.Age > 0 && s.route().fanout.waited(from) > after.Age
	if !late {
		return
	}
	switch s.route().Fanout.Slow.Policy {
	case "skip":
		s.jump(head)
	case "latest":
		switch {
		case !s.has(flagConflate):
			s.flags |= flagConflate
			s.aside()
		case behind > 2*uint64(after.Bytes):
			s.shed()
		}
	default:
		s.giveUp(head)
	}
}

// waited tells how long the message at c has been there.
func (f *Fanout) waited(c cursor) time.Duration {
	if c.settle(); c.seg == nil {
		return 0
	}
	if n, _ := c.seg.published(); c.idx >= n {
		return 0
	}
	return time.Duration(f.clock()-c.seg.index[c.idx].at) * time.Millisecond
}

// giveUp closes a client that is too slow.
func (s *subscriber) giveUp(head cursor) {
	whole := s.letGo()
	s.notify(true) // of what it had missed before: it may come back for the rest
	s.loseRest(lostClosed, head)
	if w := (lastWord{code: ws.CodeTryLater, side: "proxy", reason: "too slow"}); whole {
		s.part(w)
	} else { // nothing may follow half a message
		w.code = 0
		s.more.last = w
		s.cut()
	}
}

// loseRest counts all that the subscriber has yet to get, up to head.
func (s *subscriber) loseRest(reason string, head cursor) {
	_, before := s.needs()
	s.lose(reason, uint64(before)+head.number()-min(head.number(), s.at.number()+s.more.skips()))
	s.at = head
	a := s.aside()
	a.digest, a.then, a.skip, a.floor = nil, cursor{}, 0, cursor{}
}

// lose counts messages that the subscriber will not get.
func (s *subscriber) lose(reason string, n uint64) {
	if n > 0 {
		s.aside().lost += n
		s.route().Observe.Lost(s.route().Name, reason, n)
	}
}

// jump has a client that is too slow go on at the live end.
func (s *subscriber) jump(head cursor) {
	if !s.letGo() {
		s.giveUp(head)
		return
	}
	g := s.aud.log
	at := g.live()
	n := at.number() - min(s.at.number(), at.number())
	s.at = at
	a := s.aside()
	a.then, a.skip, a.floor = cursor{}, 0, cursor{}
	s.pass(lostSkipped, n)
}

// letGo copies what is left of the message under way, so that its segment is
// not held. It is false where that is too much.
func (s *subscriber) letGo() bool {
	if !s.has(flagInside) {
		return true
	}
	rest := s.rest()
	if len(rest) > keptRest {
		return false
	}
	s.conn.Write(rest)
	s.wrote(len(rest))
	return true
}

// rest gives what is left of the message under way.
func (s *subscriber) rest() []byte {
	if s.digesting() {
		d, at := s.more.digest, s.more.read
		return d.bytes[at:d.begins(d.message(at)+1)]
	}
	return s.at.rest()
}

// wrote notes that n bytes of the rest of the message under way went.
func (s *subscriber) wrote(n int) {
	whole := n == len(s.rest())
	if s.aud.served.bytes += uint64(n); whole {
		s.aud.served.messages++
		s.flags &^= flagInside
	}
	if s.digesting() {
		s.more.read += n
		return
	}
	if s.at.pos += uint32(n); whole {
		s.at.idx++
	}
}

// round sends the rest of the message under way, and tells whether all of it
// went.
func (s *subscriber) round() bool {
	if !s.has(flagInside) {
		return true
	}
	p := s.rest()
	n := s.conn.TryWrite(p)
	if s.wrote(n); n < len(p) {
		s.block()
		return false
	}
	return true
}

// conflate writes what no newer message has superseded, and tells whether the
// subscriber has caught up.
func (s *subscriber) conflate() bool {
	if !s.round() {
		return false
	}
	var passed uint64
	for {
		p, n := s.at.chunk()
		if p == nil {
			s.flags &^= flagConflate
			break
		}
		seg, all := s.at.seg, s.at.pos+uint32(len(p))
		from := s.at.idx
		for from < n && seg.stale[from].Load() {
			from++
		}
		passed += uint64(from - s.at.idx)
		to := from
		for to < n && !seg.stale[to].Load() {
			to++
		}
		s.at.idx, s.at.pos = from, seg.begins(from, n, all)
		if to > from && !s.write(seg.buf[s.at.pos:seg.begins(to, n, all)], to) {
			break
		}
	}
	s.pass(lostLatest, passed)
	s.notify(false)
	return !s.has(flagConflate)
}

// begins tells where message k of the n that are published begins, or where
// they all end.
func (s *segment) begins(k, n, all uint32) uint32 {
	if k == n {
		return all
	}
	return s.index[k].start
}

// pass counts messages that the subscriber will not get and is to be told of.
func (s *subscriber) pass(reason string, n uint64) {
	if n > 0 {
		s.lose(reason, n)
		s.aside().passed += n
		s.aside().why = reason
	}
}

// notify tells the client what it has missed, where it is between messages. One
// that stays behind is told once in a while, one that parts whatever waits.
func (s *subscriber) notify(parts bool) {
	a := s.more
	if a == nil || a.passed == 0 || s.has(flagInside) {
		return
	}
	if !parts && (s.full() || s.has(flagConflate) && s.loop().Now() < a.told+noticeEvery) {
		return
	}
	stream := s.aud.stream
	if t := s.route().notice; t != nil {
		next, _ := s.needs()
		text := render(t, config.NoticeFields{Lost: a.passed, Reason: a.why, Offset: stream.epochs.offset(next)})
		s.conn.Write(s.aud.form.frame(nil, ws.Text, text))
	}
	a.passed, a.told = 0, s.loop().Now()
}

// render fills in a template that was tried when the configuration was read.
func render(t *template.Template, fields any) []byte {
	var b bytes.Buffer
	_ = t.Execute(&b, fields) // what a bytes.Buffer got is what there is
	return b.Bytes()
}
