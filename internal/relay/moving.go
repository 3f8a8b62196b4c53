package relay

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// plan is a move that is to come, while the instance is there. The other leg
// stands first; then the session waits for a moment in which nothing is under
// way. It belongs to the session's loop.
type plan struct {
	why    string
	from   *upstream.Instance
	target *upstream.Instance // nil: any but from
	moves  *Moves             // counts it; nil: nobody asks
	at     time.Duration      // when to begin
	by     time.Duration      // when to leave even though the instance is not silent; 0: never
	wait   time.Duration      // for silence, before the client is hushed to get it; grows
}

// A session that is never silent for move.quiet by itself is hushed for it:
// after so many times that span its client is not read for a few more.
const (
	hushAfter = 8 // times move.quiet
	hushMost  = 4 // times move.quiet
	leastWait = 100 * time.Millisecond
	putOffFor = time.Second
	proveMost = 2 * time.Second // for the pong, while the client is not read
)

// scheduleMove has a session leave its instance at a time of its own.
func (s *session) scheduleMove(w *Leaving, at time.Duration) {
	if s.phase == resuming {
		return // it has left already
	}
	p := plan{why: w.Move, from: s.inst, at: at}
	deadline := w.Deadline
	if w.Paced > 0 {
		deadline = s.route.Move.Deadline
	}
	if deadline > 0 {
		p.by = s.now() + deadline + s.someOf(s.route.Failover.Spread)
	}
	s.planMove(p)
}

// stayOrGo has a session leave an instance at once that was drained, removed or
// found down while the session was on its way there.
func (s *session) stayOrGo(now time.Duration) {
	if s.kept.pick.Keeps(s.inst) {
		return
	}
	p := plan{why: "drain", from: s.inst, at: now}
	if d := s.route.Move.Deadline; d > 0 {
		p.by = now + d
	}
	s.planMove(p)
}

// planMove has the session leave its instance. One that must leave it does so
// for that reason, whatever was planned.
func (s *session) planMove(p plan) {
	k := s.kept
	switch old := k.plan; {
	case old == nil:
		k.plan = &p
		p.from.Leaves(1)
		if p.moves != nil {
			p.moves.Under.Add(1)
		}
	case p.target == nil:
		old.why, old.target, old.by = p.why, nil, p.by
	}
	s.loop().Arm(&s.timer, s, p.at)
}

// move begins the move that is planned.
func (s *session) move(now time.Duration) {
	k, p := s.kept, s.kept.plan
	switch {
	case p.target == s.inst, s.reprieved():
		s.dropPlan()
		return
	case k.TooLong:
		s.putOff(now)
		return
	}
	p.wait = max(hushAfter*s.route.Move.Quiet, leastWait)
	k.relief = &relief{from: s.inst, tried: []*upstream.Instance{s.inst}, why: p.why, began: now, since: now}
	s.dialRelief()
}

// reprieved tells whether the reason for a move is gone: the instance that the
// session was to leave is one to stay on again.
func (s *session) reprieved() bool { return s.kept.plan.target == nil && s.kept.pick.Stays(s.inst) }

// putOff tries a move again later. What has not moved by its deadline is closed.
func (s *session) putOff(now time.Duration) {
	p := s.kept.plan
	stays := p == nil || p.target != nil || s.reprieved() // who rebalances chooses anew
	s.dropRelief()
	switch {
	case stays:
	case p.by != 0 && now >= p.by:
		s.tooLate(p)
	default:
		p.at = now + putOffFor
		if p.by != 0 {
			p.at = min(p.at, p.by)
		}
		s.planMove(*p)
	}
	s.readClient()
}

// tooLate closes a session that can't be moved.
func (s *session) tooLate(p *plan) {
	s.dropRelief()
	s.leave(lastWord{reason: "the session can't be moved, and its instance goes: " + p.why, side: "proxy", code: ws.CodeRestart})
}

// dropPlan has the session stay, or tells that it has gone.
func (s *session) dropPlan() {
	if p := s.kept.plan; p != nil {
		s.kept.plan = nil
		p.from.Leaves(-1)
		if p.moves != nil {
			p.moves.Under.Add(-1)
		}
	}
}

// hushed tells whether the client is not read because the session is moving.
func (s *session) hushed() bool {
	return s.kept != nil && s.kept.relief != nil && s.kept.relief.stage >= hushing
}

// silent tells whether nothing is under way: the instance has spoken last, a
// whole message, and has been quiet since for move.quiet.
func (s *session) silent(now time.Duration) bool {
	k := s.kept
	return now >= k.legSpoke+s.route.Move.Quiet && k.legSpoke >= k.clientSpoke && !s.leg.in.InMessage()
}

// step takes a move's next step, if it is time.
func (s *session) step(now time.Duration) {
	k := s.kept
	r, p := k.relief, k.plan
	if r.lost || p == nil {
		return
	}
	if r.stage < leaving && s.reprieved() {
		s.dropRelief()
		s.readClient()
		return
	}
	forced := p.by != 0 && now >= p.by
	switch r.stage {
	case standing:
		s.stepStanding(now, forced)
	case hushing:
		s.stepHushing(now, forced)
	case proving:
		s.stepProving(now, forced)
	case leaving:
		s.stepLeaving(now)
	}
	if r = k.relief; r != nil && r.until != 0 {
		s.loop().Arm(&s.timer, s, r.until)
	}
}

// stepStanding waits for a moment in which nothing is under way.
func (s *session) stepStanding(now time.Duration, forced bool) {
	k := s.kept
	r := k.relief
	switch {
	case !k.Movable() || s.leg.conn.Full() || s.client.gotClose:
		if forced && k.TooLong {
			s.tooLate(k.plan)
			return
		}
		r.until = now + leastWait
	case s.silent(now):
		s.hush(now)
		s.prove(now)
	case forced || now >= r.since+k.plan.wait:
		s.hush(now)
		r.until = now + s.glance()
	default:
		r.until = now + s.glance()
	}
}

// glance is the time between two looks for silence.
func (s *session) glance() time.Duration { return max(s.route.Move.Quiet, leastWait) / 4 }

// stepHushing waits for the instance to finish what it was asked.
func (s *session) stepHushing(now time.Duration, forced bool) {
	k := s.kept
	r := k.relief
	late := now >= r.since+hushMost*s.route.Move.Quiet
	if forced && k.legSpoke >= k.clientSpoke { // since then it would have been answered
		late = now >= k.clientSpoke+hushMost*s.route.Move.Quiet
	}
	switch {
	case s.silent(now):
		s.prove(now)
	case late && forced && !s.leg.in.InMessage():
		s.route.Complain.Warn("session leaves an instance that is not silent", "route", s.route.Name, "instance", s.inst.Name(), "why", r.why)
		s.prove(now)
	case late && !forced:
		s.unhush(now)
	default:
		r.until = now + s.glance()
	}
}

// stepProving waits for the pong, for so long.
func (s *session) stepProving(now time.Duration, forced bool) {
	r := s.kept.relief
	switch {
	case s.kept.Settled():
		s.prove(now)
	case now < r.since+proveMost:
		s.prove(now)
		r.until = r.since + proveMost
	case forced:
		s.lose("no_pong", "the instance does not answer pings", true)
	default:
		s.unhush(now)
	}
}

// stepLeaving waits for the old leg's last words.
func (s *session) stepLeaving(now time.Duration) {
	k := s.kept
	r := k.relief
	until := max(r.since, k.legSpoke) + farewell
	if most := r.since + s.route.Timeouts.Close; now < min(until, most) {
		r.until = min(until, most)
		return
	}
	s.leg.conn.Abort()
	s.changeOver()
}

// hush stops reading the client, and the other leg, whose first words are then
// for the client.
func (s *session) hush(now time.Duration) {
	s.client.conn.Pause()
	r := s.kept.relief
	r.leg.conn.Pause()
	r.stage, r.since, r.until = hushing, now, 0
}

// unhush lets a session go on that can't be moved now.
func (s *session) unhush(now time.Duration) {
	k := s.kept
	r := k.relief
	r.stage, r.since = standing, now
	k.plan.wait = min(2*k.plan.wait, time.Minute)
	r.until = now + leastWait
	r.leg.conn.Resume()
	s.readClient()
}

// prove has the old leg prove that it has read everything, and then leave.
func (s *session) prove(now time.Duration) {
	k := s.kept
	r := k.relief
	if r.stage != proving {
		r.stage, r.since, r.until = proving, now, now+proveMost
	}
	switch {
	case k.Settled():
		s.closeLeg(ws.CodeGoingAway)
		r.stage, r.since, r.until = leaving, now, now+farewell
	case k.Barrier == 0:
		s.ping(s.leg)
	}
}

// changes tells whether the old leg has been told to go, so that its end is the
// beginning of the other.
func (s *session) changes() bool {
	return s.kept != nil && s.kept.relief != nil && s.kept.relief.stage == leaving
}

// changeOver ends the old leg and begins with the other.
func (s *session) changeOver() {
	if k := s.kept; s.leg.in.InMessage() || k.Misses(k.rules, k.relief.said) { // the old leg has not said it all
		s.lose("moved", "the instance went in the middle of a message", true)
		return
	}
	s.leg.deaf = true
	s.leg.conn.Close()
	s.takeOver()
}

// bereft is a move whose other leg's instance goes, too.
func (s *session) bereft(i *upstream.Instance) {
	if i != nil && s.kept != nil && s.kept.relief != nil && s.kept.relief.inst == i {
		s.reliefFailed(upstream.ErrGone)
	}
}
