package scatter

import (
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// legFor gives the leg for a message that goes to one instance, none of besides:
// that which has unanswered messages about the same, or the one to the instance
// that the policy chooses, made if there is none.
func (s *session) legFor(m *mail, besides []*upstream.Instance) (*leg, error) {
	if m.keyed && s.route.keyed && len(besides) == 0 {
		if n, ok := s.book.Pinned(m.key); ok {
			if g := s.leg(n); g != nil {
				return g, nil
			}
			if !m.again {
				return nil, errBehind
			}
		}
	}
	inst, err := m.to.Message(m.key, s.instances(), s.avoided(besides))
	if err != nil {
		return nil, err
	}
	if slices.Contains(besides, inst) {
		return nil, upstream.ErrTried
	}
	if g := s.legTo(inst); g != nil {
		return g, nil
	}
	return s.openLeg(m.to.Balancer, inst)
}

// leg gives the one of that number; nil where it is gone.
func (s *session) leg(number uint32) *leg {
	for _, g := range s.legs {
		if g.number == number {
			return g
		}
	}
	return nil
}

// legTo gives the leg to an instance that takes messages, or will.
func (s *session) legTo(inst *upstream.Instance) *leg {
	for _, g := range s.legs {
		if g.inst == inst && g.stage != leaving && !g.deaf {
			return g
		}
	}
	return nil
}

// instances gives those that there are legs to.
func (s *session) instances() []*upstream.Instance {
	r := s.room()
	r.own = r.own[:0]
	for _, g := range s.legs {
		r.own = append(r.own, g.inst)
	}
	return r.own
}

// avoided gives the instances that were lost a moment ago, and others.
func (s *session) avoided(others []*upstream.Instance) []*upstream.Instance {
	if len(s.shunned) == 0 {
		return others
	}
	now := s.now()
	s.shunned = slices.DeleteFunc(s.shunned, func(x shunned) bool { return now >= x.until })
	r := s.room()
	r.avoid = append(r.avoid[:0], others...)
	for _, x := range s.shunned {
		r.avoid = append(r.avoid, x.inst)
	}
	return r.avoid
}

// sendTo has a message go to a leg's instance.
func (s *session) sendTo(g *leg, m *mail, e *gather.Entry, tries int) {
	it := item{frame: m.frame, to: m.to, key: m.key, keyed: m.keyed, tries: tries}
	if e != nil {
		s.book.Sent(e, g.number, g.inst.Name())
		if g.owes++; m.keyed && s.route.keyed {
			s.book.About(e, m.key)
		}
		g.inst.Awaits(1)
		it.entry, it.seq = e, e.Seq
	}
	g.send(it)
}

// Resolved implements gather.Owner.
func (s *session) Resolved(number uint32) {
	if g := s.leg(number); g != nil {
		g.owes--
		g.inst.Awaits(-1)
	}
}

// Behind implements gather.Owner.
func (s *session) Behind(number uint32) {
	if g := s.leg(number); g != nil {
		g.behind = true
	}
}

// sendToAll has a message go to every instance of its pool that is up, and tells to
// how many. Whom it can't go to is missing in what is collected.
func (s *session) sendToAll(m *mail, e *gather.Entry, tries int) (sent int) {
	r := s.room()
	r.all, r.here = m.to.Each(r.all, r.here)
	var why error
	for k, inst := range r.all {
		g, err := s.legTo(inst), error(nil)
		switch {
		case !r.here[k]:
			g, err = nil, upstream.ErrNone
		case g == nil && s.justFailed(inst):
			err = errUnreached
		case g == nil:
			g, err = s.openLeg(m.to.Balancer, inst)
		}
		if err == nil {
			sent++
			s.sendTo(g, m, e, tries)
			continue
		}
		if why = err; e != nil {
			s.book.Missing(e, inst.Name())
		}
		if err == errLegs {
			s.route.Complain.Warn("a message for all instances does not go to all: max_legs is less than there are", "route", s.route.Name)
		}
	}
	clear(r.all)
	switch {
	case sent > 0:
	case why == nil:
		s.nowhere(e, upstream.ErrNone)
	default:
		s.nowhere(e, why)
	}
	return sent
}

// failedFor is how long an instance that could not be reached is not dialled again
// for a message that goes to all, or that has waited for one.
const failedFor = 250 * time.Millisecond

// justFailed tells whether a leg to the instance came to nothing within failedFor.
func (s *session) justFailed(inst *upstream.Instance) bool {
	now := s.now()
	return slices.ContainsFunc(s.shunned, func(x shunned) bool { return x.inst == inst && x.vain && now < x.until-shunFor+failedFor })
}

// hedge sends a second copy of a message to another instance, if there is one.
func (s *session) hedge(e *gather.Entry) {
	to, ok := e.To.(*destination)
	if !ok || len(e.Message) == 0 {
		return
	}
	m := mail{frame: e.Message, to: to, key: e.Key, keyed: e.Keyed}
	g := s.second(e, &m)
	if g == nil {
		return // the first copy may well be answered
	}
	m.keyed = false // it is known what it is about
	s.sendTo(g, &m, e, e.Tries)
	s.route.Observe.Scattered(s.route.Name, eventHedged)
}

// second gives the leg for a second copy; nil for none. An instance that has not
// the messages before it about the same could answer it before those are: it goes
// where they went.
func (s *session) second(e *gather.Entry, m *mail) *leg {
	if ahead := s.book.Ahead(e); ahead != nil {
		for _, g := range s.legs {
			if ahead.Awaits(g.number) && !e.Asks(g.number) && g.stage != leaving && !g.deaf {
				return g
			}
		}
		return nil
	}
	var room [2]*upstream.Instance
	besides := room[:0]
	for _, g := range s.legs {
		if e.Asks(g.number) {
			besides = append(besides, g.inst)
		}
	}
	g, err := s.legFor(m, besides)
	if err != nil {
		return nil
	}
	return g
}

// again sends a message once more, because the leg that it was sent to is lost;
// false says that it can't be.
func (s *session) again(e *gather.Entry, frame []byte) bool {
	to, ok := e.To.(*destination)
	if !ok || len(frame) == 0 || e.Tries >= maxTries {
		return false
	}
	m := mail{frame: frame, to: to, key: e.Key, keyed: e.Keyed, again: true}
	if to.all {
		return s.allAgain(e, &m)
	}
	r := s.room()
	if m.keyed && slices.Contains(r.stuck, m.key) {
		return false
	}
	g, err := s.legFor(&m, nil)
	if err != nil {
		r.stuck = append(r.stuck, m.key)
		return false
	}
	e.Tries++
	m.keyed = false // it is known what it is about
	out := e.Out
	s.sendTo(g, &m, e, e.Tries)
	s.book.Repin(e)
	if out {
		s.route.Observe.Scattered(s.route.Name, eventResent)
	}
	return true
}

// allAgain is again for a message that goes to all: to those that are there.
func (s *session) allAgain(e *gather.Entry, m *mail) bool {
	if s.here(m.to.Balancer) == 0 {
		return false
	}
	out := e.Out
	if s.sendToAll(m, e, e.Tries+1) == 0 {
		return true // it waits, or is answered
	}
	if e.Tries++; out {
		s.route.Observe.Scattered(s.route.Name, eventResent)
	}
	return true
}

// tryAgain sends what has had nowhere to go, now that some time has passed.
func (s *session) tryAgain(now time.Duration) {
	s.retry = 0
	if s.phase == opening {
		s.enter()
		return
	}
	s.sendAgain()
	s.unclog()
	switch {
	case s.parked != nil:
		s.retry = now + busyEvery
	case s.phase == open && s.home == nil && (len(s.legs) > 0 || s.book.Waiting() == 0):
		s.reopen(s.route.home)
	}
}

// sendAgain sends the messages that wait for an instance, in the order in which
// they came.
func (s *session) sendAgain() {
	s.room().stuck = s.room().stuck[:0]
	for _, e := range s.book.Orphans() {
		if !s.again(e, e.Message) {
			s.retry = sooner(s.retry, s.now()+tryEvery)
		}
	}
}

// tryEvery is how often a message that has nowhere to go is tried, until its time
// is up.
const tryEvery = 50 * time.Millisecond
