package relay

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// plan is a move that is to come, while the instance is there. The other leg
// stands first; then the session waits for a moment in which nothing is under
// way.
type plan struct {
	why    string
	target *upstream.Instance // nil: any but the present one
	at     time.Duration      // when to begin
	by     time.Duration      // when to move even though the instance is not silent; 0: never
	wait   time.Duration      // for silence, before the client is hushed to get it; grows
}

// A session that is never silent for move.quiet by itself is hushed for it:
// after so many times that span its client is not read for a few more.
const (
	hushAfter = 8 // times move.quiet
	hushMost  = 4 // times move.quiet
	leastWait = 100 * time.Millisecond
	putOffFor = time.Second
)

// scheduleMove has a session leave its instance at a time of its own.
func (s *session) scheduleMove(w *Leaving, at time.Duration) {
	if s.phase == resuming {
		return // it has left already
	}
	p := plan{why: w.Move, at: at}
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
	p := plan{why: "drain", at: now}
	if d := s.route.Move.Deadline; d > 0 {
		p.by = now + d
	}
	s.planMove(p)
}

// planMove has the session leave its instance.
func (s *session) planMove(p plan) {
	if old := s.kept.plan; old != nil { // one is on its way; if it fails, any other will do
		old.why, old.target = p.why, p.target
		if p.by != 0 {
			old.by = p.by
		}
	} else {
		s.kept.plan = &p
		s.kept.planned = s.inst
		s.inst.Leaves(1)
	}
	s.loop().Arm(&s.timer, s, p.at)
}

// move begins the move that is planned.
func (s *session) move(now time.Duration) {
	k := s.kept
	if k.plan.target == nil && k.pick.Keeps(s.inst) || k.plan.target == s.inst {
		s.dropPlan() // the reason is gone
		return
	}
	k.plan.wait = max(hushAfter*s.route.Move.Quiet, leastWait)
	k.relief = &relief{from: s.inst, tried: []*upstream.Instance{s.inst}, why: k.plan.why, began: now}
	s.dialRelief()
}

// putOff tries a move again later.
func (s *session) putOff(now time.Duration) {
	k := s.kept
	p := k.plan
	s.dropRelief()
	if p == nil || p.target != nil {
		return // rebalancing chooses anew
	}
	p.at = now + putOffFor
	s.planMove(*p)
}

// dropPlan has the session stay, or tells that it has gone.
func (s *session) dropPlan() {
	if s.kept.plan != nil {
		s.kept.plan = nil
		s.kept.planned.Leaves(-1)
	}
}

// hushed tells whether the client is not read because the session is moving.
func (s *session) hushed() bool {
	return s.kept != nil && s.kept.relief != nil && s.kept.relief.stage >= hushing
}

// reliefClock holds a relief's clocks against now.
func (s *session) reliefClock(now time.Duration) {
	r := s.kept.relief
	if r.lost && now >= r.over {
		s.giveUpRelief("timeout", lastWord{reason: "no instance has taken the session over in time", side: "proxy", code: ws.CodeTryLater})
		return
	}
	if r.until != 0 && now >= r.until {
		r.until = 0
		switch r.stage {
		case waiting:
			s.dialRelief()
			return
		case asking:
			s.reliefLate(now)
			return
		case replaying:
			s.reliefFailed(errSilent)
			return
		case leaving: // it has proved that it read everything
			s.leg.conn.Abort()
			s.changeOver()
			return
		}
	}
	s.reliefStep(now)
}

// reliefLate is an instance that was not reached, or has not answered, in time.
func (s *session) reliefLate(now time.Duration) {
	r := s.kept.relief
	if r.leg.conn.Connecting() || now >= r.answer {
		s.reliefFailed(errDialTimeout)
		return
	}
	r.until = r.answer
	s.loop().Arm(&s.timer, s, r.until)
}

// reliefStep takes a move's next step, if it is time.
func (s *session) reliefStep(now time.Duration) {
	k := s.kept
	r, p, quiet := k.relief, k.plan, s.route.Move.Quiet
	if r.lost || p == nil {
		return
	}
	forced := p.by != 0 && now >= p.by
	silent := now >= k.legSpoke+quiet && k.legSpoke >= k.clientSpoke
	switch {
	case r.stage == standing && (!k.Movable() || s.leg.conn.Full() || s.client.gotClose):
		r.until = now + leastWait
	case r.stage == standing && silent:
		s.hush()
		r.stage = proving
		s.prove()
	case r.stage == standing && (forced || now >= r.began+p.wait):
		s.hush()
		r.stage, r.until = hushing, now+max(quiet, leastWait)/4
		p.at = now // of the hush
	case r.stage == standing:
		r.until = now + max(quiet, leastWait)/4
	case r.stage == hushing && silent, r.stage == hushing && forced && now >= p.at+hushMost*quiet:
		r.stage = proving
		s.prove()
	case r.stage == hushing && now >= p.at+hushMost*quiet:
		s.unhush(now)
	case r.stage == hushing:
		r.until = now + max(quiet, leastWait)/4
	case r.stage == proving:
		s.prove()
	}
	if r.until != 0 {
		s.loop().Arm(&s.timer, s, r.until)
	}
}

// hush stops reading the client, and the other leg, whose first words are then
// for the client.
func (s *session) hush() {
	s.client.conn.Pause()
	s.kept.relief.leg.conn.Pause()
	s.kept.relief.until = 0
}

// unhush lets a session go on that can't be moved now.
func (s *session) unhush(now time.Duration) {
	k := s.kept
	r := k.relief
	r.stage, r.began = standing, now
	k.plan.wait = min(2*k.plan.wait, time.Minute)
	r.until = now + leastWait
	r.leg.conn.Resume()
	s.readClient()
}

// prove has the old leg prove that it has read everything, and then leave.
func (s *session) prove() {
	k := s.kept
	switch {
	case k.Settled():
		s.closeLeg(ws.CodeGoingAway)
		k.relief.stage, k.relief.until = leaving, s.now()+s.route.Timeouts.Close
		s.loop().Arm(&s.timer, s, k.relief.until)
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
	if s.kept.Down.Streams { // a message of it can't be finished
		s.kept.relief.stage = standing
		s.lose("moved", "the instance went in the middle of a message", true)
		return
	}
	s.answerPing()
	s.leg.deaf = true
	s.leg.conn.Close()
	s.takeOver()
}
