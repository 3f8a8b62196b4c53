package relay

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

const (
	patience   = 2 * time.Second      // for room at an instance, at most
	queueEvery = 4 * time.Millisecond // between looks for room: a tick of the loop's wheel
	mostPassed = 32                   // who wait for instances of their own and are asked at one look
)

// queue is the sessions of one loop and one route that wait for an instance to
// have room for one more handshake, first come first. Room is made on other
// loops too, so the queue looks for it; as a rule its first asks for all, which
// costs a few hundred choices a second, however many wait.
type queue struct {
	// Set once, then read-only.
	loop  *loop.Loop
	fleet *fleet
	route *Route

	// Owned by the loop.
	waiting []*session // those that have left since are skipped
	serving *session   // whose turn it is; nil between two
	posted  bool       // it goes on in the next round
	timer   loop.Timer
}

// choose chooses the next instance. With upstream.ErrBusy the session waits in
// its queue, and goes on from there.
func (s *session) choose() (*upstream.Instance, error) {
	if s.relay.fleet[s.loop().Index].queues[s.route] == nil { // else others come first
		inst, err := s.begun.req.Pick.Instance(s.begun.tried)
		if err != upstream.ErrBusy {
			return inst, err
		}
	}
	s.wait()
	return nil, upstream.ErrBusy
}

// wait puts the session at the end of its queue.
func (s *session) wait() {
	l := s.loop()
	f := &s.relay.fleet[l.Index]
	q := f.queues[s.route]
	if q == nil {
		q = &queue{loop: l, fleet: f, route: s.route}
		if f.queues == nil {
			f.queues = map[*Route]*queue{}
		}
		f.queues[s.route] = q
	}
	q.waiting = append(q.waiting, s)
	s.begun.queued = true
	s.until = l.Now() + min(patience, s.route.Timeouts.Handshake)
	l.Arm(&s.timer, s, s.until)
	l.Arm(&q.timer, q, l.Now()+queueEvery)
}

// Run goes on in the next round. It is a loop.Task.
func (q *queue) Run(l *loop.Loop) {
	q.posted = false
	if next := q.Expire(l.Now()); next > 0 {
		l.Arm(&q.timer, q, next)
	}
}

// Expire gives those whose turn it is what room there is.
func (q *queue) Expire(now time.Duration) time.Duration {
	if len(q.waiting) == 0 {
		return 0 // and another has taken its place, maybe
	}
	var passed []*session
	for len(q.waiting) > 0 && len(passed) < mostPassed {
		s := q.waiting[0]
		if s.phase != opening || !s.begun.queued {
			q.pop()
			continue
		}
		if q.fleet.full(now) {
			q.goOn()
			break
		}
		pick := s.begun.req.Pick
		inst, err := pick.Instance(s.begun.tried)
		if err == upstream.ErrBusy && !pick.Bound() {
			break // nobody has room
		}
		q.pop()
		if err == upstream.ErrBusy {
			passed = append(passed, s)
			continue
		}
		q.fleet.begun++
		s.begun.queued, q.serving = false, s
		s.ask(inst, err)
		q.serving = nil
	}
	return q.after(now, passed)
}

// goOn has the queue looked at in the next round.
func (q *queue) goOn() {
	if !q.posted {
		q.posted = true
		q.loop.Post(q)
	}
}

func (q *queue) pop() {
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
}

// after puts those back who were passed over, and tells when to look again.
// Where there are many of them the others come first next time.
func (q *queue) after(now time.Duration, passed []*session) time.Duration {
	if len(passed) == mostPassed {
		q.waiting = append(q.waiting, passed...)
	} else if len(passed) > 0 {
		q.waiting = append(passed, q.waiting...)
	}
	if len(q.waiting) == 0 {
		delete(q.fleet.queues, q.route)
		return 0
	}
	return now + queueEvery
}

// Panicked ends the session whose turn it was, and has the others wait on. It
// is for the loop.
func (q *queue) Panicked() {
	q.loop.Arm(&q.timer, q, q.loop.Now()+queueEvery)
	if s := q.serving; s != nil {
		q.serving = nil
		s.cut()
	}
}
