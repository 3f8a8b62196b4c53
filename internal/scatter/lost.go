package scatter

import (
	"errors"
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

var errUnreached = errors.New("none of them can be reached")

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
	if !errors.Is(err, errRefused) && err != errMismatch && err != errGone {
		g.inst.Unreachable(err)
		reason := upstream.Reason(err)
		s.route.Observe.DialError(reason)
		s.route.Complain.Warn("instance not reached", "route", s.route.Name, "instance", g.inst.Name(), "reason", reason, "err", err)
	}
	if s.phase == opening {
		s.homeFailed(g, err)
		return
	}
	if err != errGone {
		s.vain++
	}
	s.lose(g, "unreachable", "no instance could be reached")
}

// lose takes a leg out of the session and rules what becomes of what it owes. name
// is the loss as metrics have it, reason what clients are told.
func (s *session) lose(g *leg, name, reason string) {
	stood := g.stage >= standing
	queue := g.queue
	g.queue, g.queued = nil, 0
	s.forget(g)
	s.shunned = append(s.shunned, shunned{g.inst, s.now() + shunFor})
	if s.phase >= lost {
		return
	}
	if stood {
		s.vain = 0
		s.route.Complain.Warn("instance lost", "route", s.route.Name, "instance", g.inst.Name(), "why", reason)
	}
	result := "kept"
	s.rule(s.book.Lost(g.number), queue, reason)
	for k := range queue { // messages without an id
		if it := &queue[k]; it.entry == nil {
			s.reroute(it)
		}
	}
	if s.phase == open && (stood || len(s.legs) == 0) {
		s.reopen(g)
	}
	if s.phase >= lost {
		result = "closed"
	}
	if stood {
		s.route.Observe.Failover(s.route.Name, name, result)
	}
	s.unclog()
	if s.phase == parting && s.book.Waiting() == 0 {
		s.tellClient()
	}
	s.arm()
}

// rule says what becomes of messages that a lost leg has not answered, in the
// order in which they came. queue is what was not sent to it yet.
func (s *session) rule(orphans []*gather.Entry, queue []item, reason string) {
	policy := s.route.Scatter.OnLost.Policy
	s.room().stuck = s.room().stuck[:0]
	for _, e := range orphans {
		if s.phase >= lost {
			return
		}
		frame := e.Message
		for k := range queue {
			if queue[k].entry == e && queue[k].seq == e.Seq {
				frame = queue[k].frame
			}
		}
		switch {
		case s.route.book.Policy == gather.Collect:
			s.unanswered(e, eventPartial, reason)
		case (!e.Out || policy == "resend" || s.route.book.Hedge && s.book.Unhedged(e)) && s.again(e, frame):
		case policy == "resend" && s.route.book.Timeout > 0 && e.Tries < maxTries && len(e.Message) > 0:
			s.retry = sooner(s.retry, s.now()+tryEvery) // until its time is up
		case policy == "close":
			s.giveUp(reason)
		default:
			s.unanswered(e, eventLegLost, reason)
		}
	}
}

// reroute sends a message without an id elsewhere: it was never sent.
func (s *session) reroute(it *item) {
	if s.phase >= lost || it.to == nil || it.to.all && it.tries == 0 && len(s.legs) > 0 {
		return // the others have it
	}
	m := mail{frame: it.frame, to: it.to}
	g, err := (*leg)(nil), upstream.ErrTried
	if it.tries < maxTries {
		g, err = s.legFor(&m, nil)
	}
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
	case e != nil && oc.Policy == "resend" && s.route.book.Timeout > 0 && len(e.Message) > 0:
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
// that pool: what instances say unasked is to go on.
func (s *session) reopen(g *leg) {
	for _, other := range s.legs {
		if other.from.Pool() == g.from.Pool() && other.stage != leaving {
			if s.home == nil {
				s.home = other
			}
			return
		}
	}
	inst, err := g.from.Message(0, s.instances(), s.avoided(nil))
	if err == nil && s.allInVain(g.from) {
		err = errUnreached
	}
	if err == nil {
		var other *leg
		if other, err = s.openLeg(g.from, inst); err == nil && s.home == nil {
			s.home = other
		}
	}
	if err != nil && len(s.legs) == 0 {
		s.giveUp("no instance is left: " + err.Error())
	}
}

// allInVain tells whether, since a leg last stood, as many came to nothing as there
// are instances that are up.
func (s *session) allInVain(from *upstream.Balancer) bool {
	r := s.room()
	r.all, r.here = from.Each(r.all, r.here)
	clear(r.all)
	up := 0
	for _, here := range r.here {
		if here {
			up++
		}
	}
	return s.vain > 0 && s.vain >= up
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
func (s *session) letGo(g *leg, code uint16) {
	if g.stage >= standing {
		g.close(code, "")
	}
	s.book.Lost(g.number)
	s.forget(g)
}

// dropLegs ends all legs: in good order with a code, or with 0 at once.
func (s *session) dropLegs(code uint16) {
	for len(s.legs) > 0 {
		g := s.legs[len(s.legs)-1]
		if code != 0 {
			s.letGo(g, code)
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
	s.client.deaf = true
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
