package fanout

import (
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A slice of a pass is so many subscribers, bytes, or so long; then the loop
// looks at its other events. A write takes from one microsecond, where the
// peer's process is busy, to six, where it must be woken.
const (
	sliceWrites = 64
	sliceBytes  = 1 << 20
	sliceTime   = 100 * time.Microsecond
	sliceLook   = 8                     // writes between two looks at the clock
	restPart    = 4                     // a pass is followed by a rest of a fourth of its length
	restLeast   = 50 * time.Microsecond // shorter ones are not worth it
)

// audience is the subscribers of a stream's form on one loop. A pass over it
// writes each once, from its cursor to the end of the log.
type audience struct {
	// Set once, then read-only.
	stream *Stream
	form   form
	crew   *crew

	members atomic.Int64 // subscribers; the writer wakes nobody for none
	woken   atomic.Bool  // a wake is posted
	since   atomic.Int64 // when the messages came that it is about
	shared  atomic.Pointer[log]
	lag     atomic.Uint64 // bytes that the one furthest behind had yet to get, when it was judged
	reached atomic.Uint64 // bytes of the log that all have who can be written

	// Owned by the loop.
	route   *Route        // the stream's, as the loop has been told
	log     *log          // of the form; set with the first member
	at      cursor        // log's end when the pass began
	ring    list          // those who can be written
	blocked list          // those whose sockets are full
	leaving list          // those who were told that it is over
	turn    *subscriber   // next in the pass
	next    *audience     // of the crew's queue
	began   time.Duration // since, of the pass
	started time.Duration // when the pass began
	rested  time.Duration // when the next one may
	resting bool          // it waits for that
	queued  bool          // it is in the crew's queue
	again   bool          // woken during a pass
	over    *ending       // the source's end: whoever has it all is told
	digest  *digest       // latest: the last one made
	judged  cursor        // log's end when the blocked ones were last judged

	stopping *leaving // the route is no more: who comes now is to leave too
	served   traffic  // by this slice
}

// traffic is what was written and not yet counted.
type traffic struct{ messages, bytes uint64 }

// crew is the audiences of one loop that have something to do, in turn. It
// belongs to its loop.
type crew struct {
	loop        *loop.Loop
	first, last *audience
	posted      bool
	writing     *subscriber // by the slice under way
	stopping    *leaving    // all subscribers were told to leave: who comes now is too
	members     []*audience
}

// Run writes a slice of the first audience, and lets the next one follow.
func (w *crew) Run(*loop.Loop) {
	w.posted = false
	a := w.first
	if a == nil {
		return
	}
	w.first, a.next = a.next, nil
	if w.first == nil {
		w.last = nil
	}
	a.queued = false
	if a.slice() {
		w.enqueue(a)
	}
	if w.first != nil {
		w.post()
	}
}

// Panicked ends the subscriber that was being written, and lets the others go
// on. It is for the loop.
func (w *crew) Panicked() {
	s := w.writing
	if w.writing = nil; s == nil {
		return
	}
	a := s.aud
	s.Panicked()
	w.enqueue(a)
	w.post()
}

func (w *crew) enqueue(a *audience) {
	if a.queued {
		return
	}
	a.queued = true
	if w.last == nil {
		w.first = a
	} else {
		w.last.next = a
	}
	w.last = a
	w.post()
}

func (w *crew) post() {
	if !w.posted {
		w.posted = true
		w.loop.Post(w)
	}
}

// wake has the loop begin a pass. Any goroutine may call it, behind what it
// published.
func (a *audience) wake(now time.Duration) {
	if a.members.Load() > 0 && !a.woken.Load() && a.woken.CompareAndSwap(false, true) {
		a.since.Store(int64(now))
		a.crew.loop.Post(a)
	}
}

// Run begins a pass, or has another follow the one under way.
func (a *audience) Run(*loop.Loop) {
	if a.woken.Store(false); a.queued || a.resting {
		a.again = true
		return
	}
	a.begin()
}

// begin begins a pass, unless the last one's rest is not over. A pass is
// followed by a rest of a part of its length: so a feed that would fill the loop
// leaves time for other sessions, and its messages go out in fewer, larger
// writes.
func (a *audience) begin() {
	a.again = false
	if a.log == nil {
		return
	}
	now := a.stream.route().fanout.now()
	if rest := a.rested - now; rest > restLeast {
		a.resting = true
		a.crew.loop.Nap((*resting)(a), a.crew.loop.Now()+rest)
		return
	}
	a.started = now
	a.reached.Store(a.at.bytes())
	a.at = a.log.live()
	a.began = time.Duration(a.since.Load())
	a.judge()
	a.turn = a.ring.first
	a.crew.enqueue(a)
}

// slice goes on with the pass, and tells whether there is more to do.
//
// Fast path: a system call a subscriber.
func (a *audience) slice() (more bool) {
	began := a.stream.route().fanout.now()
	for n := 0; a.turn != nil && n < sliceWrites && a.served.bytes < sliceBytes; n++ {
		if n%sliceLook == sliceLook-1 && a.stream.route().fanout.now()-began > sliceTime {
			break
		}
		s := a.turn
		a.turn = s.next
		a.crew.writing = s
		s.flush()
	}
	a.crew.writing = nil
	a.count()
	if a.turn != nil {
		return true
	}
	now := a.stream.route().fanout.now()
	a.rested = now + (now-a.started)/restPart
	if a.began != 0 {
		a.stream.route().Observe.Delivered(now - a.began)
		a.began = 0
	}
	if a.log != nil { // somebody is still there
		a.reached.Store(a.at.bytes())
	}
	a.stream.relieve()
	if !a.again {
		return false
	}
	a.begin()
	return false
}

// resting is an audience between two passes.
type resting audience

// Run begins the next pass.
func (t *resting) Run(*loop.Loop) {
	a := (*audience)(t)
	a.resting = false
	a.begin()
}

// count adds what was written to the route's counters.
func (a *audience) count() {
	if a.served.bytes > 0 {
		a.stream.route().Counters.Count(a.crew.loop, loop.ToClient, a.served.messages, a.served.bytes)
		a.served = traffic{}
	}
}

// behind is how many bytes those who can be written may have yet to get. Any
// goroutine may ask.
func (a *audience) behind() uint64 {
	if a.members.Load() == 0 {
		return 0
	}
	g := a.shared.Load()
	if g == nil {
		return 0
	}
	head, reached := g.live().bytes(), a.reached.Load()
	if head < reached {
		return 0
	}
	return head - reached
}

// join takes a subscriber in. Registering comes first, then what the log has:
// whatever is published from here on wakes the audience.
func (a *audience) join(s *subscriber, g *log) {
	if a.members.Load() == 0 {
		a.log = g
		a.shared.Store(g)
		a.at = g.live()
		a.judged = a.at
		a.reached.Store(a.at.bytes())
		a.crew.members = append(a.crew.members, a)
	}
	a.members.Add(1)
	a.ring.add(s)
	s.seat = writable
	s.flush()
	a.count()
}

// leave takes a subscriber out for good.
func (a *audience) leave(s *subscriber) {
	a.move(s, unseated)
	if a.members.Add(-1) > 0 {
		return
	}
	for i, other := range a.crew.members {
		if other == a {
			last := len(a.crew.members) - 1
			a.crew.members[i] = a.crew.members[last]
			a.crew.members[last] = nil
			a.crew.members = a.crew.members[:last]
			break
		}
	}
	a.shared.Store(nil)
	a.log, a.digest, a.at, a.judged = nil, nil, cursor{}, cursor{}
	a.stream.relieve()
}

// move puts a subscriber into another list, or into none.
func (a *audience) move(s *subscriber, to seat) {
	if s.seat == to {
		return
	}
	if a.turn == s {
		a.turn = s.next
	}
	if s.seat != unseated {
		a.list(s.seat).remove(s)
	}
	if s.seat = to; to != unseated {
		a.list(to).add(s)
	}
}

// seat is which of its audience's lists a subscriber is in.
type seat uint8

const (
	unseated seat = iota // not there yet, or no more
	writable             // ring
	waiting              // blocked
	parted               // leaving
)

func (a *audience) list(of seat) *list {
	switch of {
	case writable:
		return &a.ring
	case waiting:
		return &a.blocked
	}
	return &a.leaving
}

// each calls f with every subscriber; f may take it out.
func (a *audience) each(f func(*subscriber)) {
	for _, l := range []*list{&a.ring, &a.blocked, &a.leaving} {
		for s := l.first; s != nil; {
			next := s.next
			f(s)
			s = next
		}
	}
}

// list is subscribers, linked.
type list struct{ first, last *subscriber }

func (l *list) add(s *subscriber) {
	s.prev, s.next = l.last, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

func (l *list) remove(s *subscriber) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.next, s.prev = nil, nil
}

// finishing tells an audience that the source has ended the stream.
type finishing struct {
	audience *audience
	over     *ending
}

// Run tells those who have it all; the others will be when they do.
func (t *finishing) Run(*loop.Loop) {
	a := t.audience
	a.over = t.over
	a.each(func(s *subscriber) {
		if s.seat == writable {
			s.flush()
		}
	})
}

// remark is a message for an audience that is not of the log.
type remark struct {
	audience *audience
	frame    []byte
}

// Run sends it to all who have everything else.
func (t *remark) Run(*loop.Loop) {
	for s := t.audience.ring.first; s != nil; s = s.next {
		if !s.has(flagInside) && !s.full() {
			s.conn.Write(t.frame)
		}
	}
}

// renamed tells an audience that the stream's numbers mean something else now.
type renamed struct{ audience *audience }

// Run has other Sluices come again, so that they learn the new numbers: what
// they have is theirs, and they ask for what follows it.
func (t renamed) Run(*loop.Loop) {
	t.audience.each(func(s *subscriber) {
		if s.has(flagSluice) {
			s.rename()
		}
	})
}

// rename ends a Sluice's subscription because the numbers have changed.
func (s *subscriber) rename() {
	s.part(lastWord{code: ws.CodeRestart, side: "upstream", reason: "the stream's numbers have changed"})
}
