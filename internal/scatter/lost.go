package scatter

import (
	"errors"
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// failed is the end of a leg that nobody wanted. One that never stood is not a
// loss: what waited for it goes elsewhere.
func (g *leg) failed(err error) {
	s := g.session
	if g.stage >= standing {
		if g.ended == 0 {
			g.ended = ws.CodeAbnormal
		}
		if errors.Is(err, upstream.ErrHungUp) {
			s.lose(g, "hung_up", "the instance hung up")
		} else {
			s.lose(g, "broken", "the instance's connection broke")
		}
		return
	}
	if !errors.Is(err, errRefused) && err != errMismatch && err != upstream.ErrGone {
		g.inst.Unreachable(err)
		reason := upstream.Reason(err)
		s.route.Observe.DialError(reason)
		s.route.Complain.Warn("instance not reached", "route", s.route.Name, "instance", g.inst.Name(), "reason", reason, "err", err)
	}
	if s.phase == opening {
		s.homeFailed(g, err)
		return
	}
	reason := "no instance could be reached"
	if errors.Is(err, errRefused) {
		reason = err.Error()
	}
	s.lose(g, "unreachable", reason)
}

// lose takes a leg out of the session and rules what becomes of what it owes. name
// is the loss as metrics have it, reason what clients are told.
func (s *session) lose(g *leg, name, reason string) {
	stood := g.stage >= standing
	if !stood {
		s.vain++
	}
	queue := g.queue
	g.queue, g.queued = nil, 0
	s.forget(g)
	s.shunned = append(s.shunned, shunned{g.inst, s.now() + shunFor, !stood})
	if s.phase >= lost {
		return
	}
	if stood && name != "moved" {
		s.route.Complain.Warn("instance lost", "route", s.route.Name, "instance", g.inst.Name(), "why", reason)
	}
	result := "kept"
	if stood && g.sent > 0 && s.route.id.Zero() && s.phase == open {
		s.giveUp(reason) // nobody knows what it owes, or what the client still needs of it
	} else {
		s.rule(g, s.book.Lost(g.number), queue, reason)
	}
	if s.phase == open && (stood || len(s.legs) == 0) {
		s.reopen(g.from)
	} else if s.phase == open {
		s.missHome()
	}
	if s.phase >= lost {
		result = "closed"
	}
	if stood {
		s.route.Observe.Failover(s.route.Name, name, result)
	}
	s.unclog()
	s.conclude()
	s.arm()
}

// rule says what becomes of messages that a lost leg has not answered, in the
// order in which they came. queue is what was not sent to it yet.
func (s *session) rule(g *leg, orphans []*gather.Entry, queue []item, reason string) {
	s.room().stuck = s.room().stuck[:0]
	for _, e := range orphans {
		if !slices.ContainsFunc(queue, func(it item) bool { return it.entry == e && it.seq == e.Seq }) {
			s.orphan(e, e.Message, reason)
		}
	}
	for k := range queue {
		switch it := &queue[k]; {
		case it.entry == nil:
			s.reroute(it)
		case it.entry.Seq == it.seq && it.entry.Orphaned():
			if g.denied || !s.spared(it) {
				s.orphan(it.entry, it.frame, reason)
			}
		}
	}
}

// spared has a message that may be sent again, and that no instance had this time,
// wait for one that can be reached: it is no try. False says that one may be asked
// at once.
func (s *session) spared(it *item) bool {
	e := it.entry
	if s.phase >= lost || !s.waits(e) {
		return false
	}
	e.Tries = max(it.tries-1, 0)
	if s.vain < maxTries {
		return false
	}
	s.retry = sooner(s.retry, s.now()+failedFor)
	if e.Keyed {
		r := s.room()
		r.stuck = append(r.stuck, e.Key)
	}
	return true
}

// waits tells whether a message waits, until its time is up, for an instance to be
// sent to.
func (s *session) waits(e *gather.Entry) bool {
	return e != nil && s.resends() && len(e.Message) > 0
}

// resends tells whether messages are sent again, or wait for that.
func (s *session) resends() bool {
	return s.route.Scatter.OnLost.Policy == "resend" && s.route.book.Timeout > 0 && s.route.book.Policy != gather.Collect
}

// orphan says what becomes of a message that nobody will answer.
func (s *session) orphan(e *gather.Entry, frame []byte, reason string) {
	policy := s.route.Scatter.OnLost.Policy
	switch {
	case s.phase >= lost:
	case s.route.book.Policy == gather.Collect:
		s.collected(e)
	case (!e.Out || policy == "resend" || s.route.book.Hedge && s.book.Unhedged(e)) && s.again(e, frame):
	case s.waits(e) && e.Tries < maxTries:
		s.retry = sooner(s.retry, s.now()+tryEvery) // until its time is up
	case policy == "close":
		s.giveUp(reason)
	default:
		s.unanswered(e, eventLegLost, reason)
	}
}

// reroute sends a message without an id elsewhere: it was never sent.
func (s *session) reroute(it *item) {
	if s.phase >= lost || it.to == nil || it.to.all && it.tries == 0 && len(s.legs) > 0 {
		return // the others have it
	}
	if it.tries >= maxTries {
		s.nowhere(nil, upstream.ErrTried)
		return
	}
	m := mail{frame: it.frame, to: it.to, key: it.key, keyed: it.keyed, again: true}
	g, err := s.legFor(&m, nil)
	if err != nil {
		s.nowhere(nil, err)
		return
	}
	s.sendTo(g, &m, nil, it.tries+1)
}

// nowhere is a message that can't be sent to any instance; e is nil where it has
// no id.
func (s *session) nowhere(e *gather.Entry, err error) {
	oc := &s.route.Scatter.OnLost
	switch {
	case s.waits(e):
		s.retry = sooner(s.retry, s.now()+tryEvery)
	case e != nil && oc.Policy != "close":
		s.unanswered(e, eventNowhere, err.Error())
	case oc.Policy == "error":
		s.route.Observe.Scattered(s.route.Name, eventNowhere)
		s.tell(nil, err.Error(), "")
	default:
		s.giveUp(err.Error())
	}
}

// reopen makes a leg in place of a lost one, where the session has no other to
// that pool: what instances say unasked is to go on. Where that can't be, and no
// leg is left, the session is given up.
func (s *session) reopen(from *upstream.Balancer) {
	for _, other := range s.legs {
		if other.from.Pool() == from.Pool() && other.stage != leaving {
			if s.home == nil {
				s.home = other
			}
			return
		}
	}
	inst, err := from.Message(0, s.instances(), s.avoided(nil))
	switch {
	case err != nil:
	case len(s.legs) == 0 && s.vain >= max(maxTries, s.here(from)):
		err = upstream.ErrTried
	case s.losses(inst) >= mostLosses: // it would be lost again, and again
		s.retry = sooner(s.retry, s.now()+tryEvery)
		return
	default:
		var other *leg
		if other, err = s.openLeg(from, inst); err == nil && s.home == nil {
			s.home = other
		}
	}
	switch {
	case err == nil:
	case len(s.legs) > 0: // they go on
		s.missHome()
	case s.retry != 0: // messages wait for an instance: one may come yet
	default:
		s.giveUp("no instance is left: " + err.Error())
	}
}

// missHome has a session that has none, and goes on, look for a home again.
func (s *session) missHome() {
	if s.home == nil {
		s.retry = sooner(s.retry, s.now()+homeEvery)
	}
}

// homeEvery is how often that is.
const homeEvery = time.Second

// mostLosses is how many legs to one instance may be lost within shunFor until it
// gets time before it is asked again in their place. It bounds what an instance can
// cost that welcomes everybody and hangs up, whether it has said something or not.
const mostLosses = 20

// here counts the instances of a pool that are up.
func (s *session) here(from *upstream.Balancer) (n int) {
	r := s.room()
	r.all, r.here = from.Each(r.all, r.here)
	clear(r.all)
	for _, here := range r.here {
		if here {
			n++
		}
	}
	return n
}

// losses counts the legs to the instance that were lost a moment ago.
func (s *session) losses(inst *upstream.Instance) (n int) {
	for _, x := range s.shunned {
		if x.inst == inst {
			n++
		}
	}
	return n
}

// forget takes a leg out of the session, and ends its connection unless it was
// told a close.
func (s *session) forget(g *leg) {
	s.legs = slices.DeleteFunc(s.legs, func(other *leg) bool { return other == g })
	if s.home == g {
		s.home = nil
	}
	g.inst.Awaits(-int64(g.owes))
	g.owes = 0
	g.pick.Settled()
	if g.counted {
		g.counted = false
		if g.stage >= standing {
			g.inst.Ended(g.endCode())
		}
		g.inst.Release()
	}
	l := s.loop()
	g.release(l)
	g.session = nil
	switch {
	case !g.conn.Live():
	case g.sentClose && g.stage >= standing:
		g.deaf = true
		g.conn.Resume()
		l.Arm(&g.timer, g, l.Now()+max(s.route.Timeouts.Close, time.Millisecond))
	default:
		g.conn.Abort()
	}
}

func (g *leg) endCode() uint16 {
	if g.ended == 0 {
		return ws.CodeNormal
	}
	return g.ended
}

// letGo ends a leg in good order.
func (s *session) letGo(g *leg, code uint16, reason string) {
	if g.stage >= standing {
		g.close(code, reason)
	}
	s.book.Lost(g.number)
	s.forget(g)
}

// dropLegs ends all legs: in good order with a code, or with 0 at once.
func (s *session) dropLegs(code uint16, reason string) {
	for len(s.legs) > 0 {
		g := s.legs[len(s.legs)-1]
		if code != 0 {
			s.letGo(g, code, reason)
		} else {
			s.forget(g)
		}
	}
}

// giveUp ends a session that no instance serves any more: the client is closed
// with a code that makes it come back, at a time of its own.
func (s *session) giveUp(reason string) {
	if s.phase != open && s.phase != parting {
		return
	}
	s.route.Complain.Warn("no instance for a client; it is to come again", "route", s.route.Name, "why", reason)
	s.last = lastWord{reason: reason, side: "upstream", code: ws.CodeRestart}
	s.phase = lost
	s.client.conn.Resume()
	s.until = s.now() + s.someOf(s.route.Scatter.Failover.Spread)
	s.arm()
}

// someOf gives a random part of spread.
func (s *session) someOf(spread time.Duration) time.Duration {
	if spread <= 0 {
		return 0
	}
	return time.Duration(s.loop().Random() % uint64(spread))
}
