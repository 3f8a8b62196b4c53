package scatter

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// arm has Expire called in time for the earliest of the session's clocks.
func (s *session) arm() {
	if s.phase == ended {
		return
	}
	if next := s.nextDeadline(s.now()); next > 0 {
		s.loop().Arm(&s.timer, s, next)
	}
}

// Expire holds the session's clocks against now, and tells when it wants to be
// called next.
func (s *session) Expire(now time.Duration) time.Duration {
	if s.throttled != 0 && now >= s.throttled {
		s.throttled = 0
		s.unclog()
	}
	if s.until != 0 && now >= s.until {
		s.until = 0
		s.due()
	}
	if s.phase == open && s.leaveAt != 0 && now >= s.leaveAt {
		s.leave(s.parting)
	}
	if s.retry != 0 && now >= s.retry {
		s.tryAgain(now)
	}
	if s.phase == open || s.phase == parting {
		s.book.Expire(now, s.expired, s.hedge)
		s.unclog()
		s.conclude()
	}
	if s.phase != ended {
		s.checkClient(now)
		s.checkLegs(now)
	}
	if s.phase == ended {
		return 0
	}
	return s.nextDeadline(now)
}

// due is called when the phase's time is up.
func (s *session) due() {
	switch s.phase {
	case parting, lost:
		s.tellClient()
	case refusing, closing:
		if _, waits := s.client.conn.Stalled(); waits && s.client.conn.Live() && s.phase == closing && s.route.Timeouts.Write > 0 {
			s.until = s.now() + s.route.Timeouts.Close // timeouts.write judges it
			return
		}
		s.finish()
	}
}

// checkClient looks at the client's pings and frames, at idleness and age.
func (s *session) checkClient(now time.Duration) {
	t := &s.route.Timeouts
	if s.phase == opening || s.phase == refusing {
		return
	}
	switch s.client.judge(t, now) {
	case slow:
		s.client.deaf = true
		s.leave(lastWord{reason: "frame too slow", side: "proxy", code: ws.CodePolicy})
	case silent:
		s.clientGone("the client does not answer pings")
		return
	case stuck:
		s.client.conn.Abort()
		s.clientGone("the client does not read")
		return
	}
	switch {
	case s.phase != open:
	case t.Idle > 0 && now >= s.active+t.Idle:
		s.leave(lastWord{reason: "idle too long", side: "proxy", code: ws.CodeGoingAway})
	case t.Age > 0 && now >= s.started+t.Age:
		s.leave(lastWord{reason: "session too old", side: "proxy", code: ws.CodeRestart})
	}
}

// checkLegs looks at each leg's clocks.
func (s *session) checkLegs(now time.Duration) {
	for k := len(s.legs) - 1; k >= 0; k-- {
		if k >= len(s.legs) {
			continue // others went with the last
		}
		g := s.legs[k]
		switch {
		case g.stage == waiting && now >= g.until:
			g.askAgain(now)
		case g.stage == asking && now >= g.until:
			g.late(now)
		case g.behind:
			s.lose(g, "behind", "the instance is too far behind with its answers")
		case g.stage >= standing:
			s.checkLeg(g, now)
		}
	}
}

// late is a dial or an answer that did not come in time.
func (g *leg) late(now time.Duration) {
	s := g.session
	switch {
	case g.conn.Connecting():
		g.failed(upstream.ErrDialTimeout)
	case now < g.answer:
		g.until = g.answer
	case s.phase == opening:
		g.inst.Unreachable(upstream.ErrAnswerTimeout)
		s.refuse(504, "timeout", "the instance did not answer in time")
	default:
		g.failed(upstream.ErrAnswerTimeout)
	}
}

func (s *session) checkLeg(g *leg, now time.Duration) {
	switch g.judge(&s.route.Timeouts, now) {
	case slow:
		s.lose(g, "slow_frame", "the instance sent a frame too slowly")
		return
	case silent:
		g.inst.Silent()
		s.lose(g, "no_pong", "the instance does not answer pings")
		return
	case stuck:
		s.lose(g, "not_reading", "the instance does not read")
		return
	}
	switch idle := s.route.Scatter.LegIdle; {
	case g.stage == leaving:
		s.left(g, now)
	case idle > 0 && now >= g.used+idle && s.phase == open && g != s.home && s.idle(g):
		s.letGo(g, ws.CodeNormal, "")
	}
}

// leavingLook is how often a leg that is to be left is looked at.
const leavingLook = 20 * time.Millisecond

// nextDeadline is the earliest of the session's clocks.
func (s *session) nextDeadline(now time.Duration) time.Duration {
	t := &s.route.Timeouts
	next := sooner(s.until, s.throttled)
	next = sooner(next, s.retry)
	if s.phase == open || s.phase == parting {
		next = sooner(next, s.book.Next())
	}
	if s.phase == open {
		next = sooner(next, s.leaveAt)
		if t.Idle > 0 {
			next = sooner(next, s.active+t.Idle)
		}
		if t.Age > 0 {
			next = sooner(next, s.started+t.Age)
		}
	}
	if s.phase != opening && s.phase != refusing {
		next = sooner(next, s.client.next(t, now))
	}
	for _, g := range s.legs {
		switch {
		case g.behind:
			next = sooner(next, now)
		case g.stage < standing:
			next = sooner(next, g.until)
			continue
		case g.stage == leaving:
			next = sooner(next, min(max(g.answer, now+leavingLook), max(g.until, now+leavingLook)))
		case s.route.Scatter.LegIdle > 0 && s.phase == open && g != s.home:
			next = sooner(next, max(g.used+s.route.Scatter.LegIdle, now+leavingLook))
		}
		next = sooner(next, g.next(t, now))
	}
	return next
}
