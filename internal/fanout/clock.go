package fanout

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// wake has Expire called no later than after behind from; never when after is
// off.
func (s *subscriber) wake(from, after time.Duration) {
	if after > 0 {
		s.loop().Arm(&s.timer, s, from+after)
	}
}

// arm sets the timer to the next deadline.
func (s *subscriber) arm() {
	if next := s.nextDeadline(s.loop().Now()); next > 0 && !s.has(flagEnded) {
		s.loop().Arm(&s.timer, s, next)
	}
}

// Expire holds the subscriber's clocks against now, and tells when it wants to
// be called next.
func (s *subscriber) Expire(now time.Duration) time.Duration {
	if s.has(flagEnded) {
		return 0
	}
	s.check(now)
	if s.has(flagEnded) {
		return 0
	}
	s.tidy()
	return s.nextDeadline(now)
}

func (s *subscriber) check(now time.Duration) {
	t := &s.route().Timeouts
	if since, waits := s.conn.Stalled(); waits && t.Write > 0 && now >= since+t.Write && s.seat != parted {
		s.loseRest(lostStuck, s.log().live())
		s.gone("the client does not read")
		return
	}
	switch {
	case s.overdue(now) && s.seat == parted:
		if s.full() {
			s.conn.Abort()
		} else {
			s.conn.Close()
		}
		s.end()
		return
	case s.overdue(now) && s.has(flagScheduled):
		s.part(s.more.last)
		return
	case s.seat == parted:
		return
	case s.dead(now):
		s.gone("the client does not answer pings")
		return
	case s.tooSlow(now):
		s.part(lastWord{code: ws.CodePolicy, side: "proxy", reason: "frame too slow"})
		return
	case t.Age > 0 && now >= s.began+t.Age:
		s.part(lastWord{code: ws.CodeRestart, side: "proxy", reason: "session too old"})
		return
	case t.Idle > 0 && now >= s.active(now)+t.Idle:
		s.part(lastWord{code: ws.CodeGoingAway, side: "proxy", reason: "idle too long"})
		return
	}
	if a := s.more; a != nil && a.throttle != 0 && now >= a.throttle {
		a.throttle = 0
		s.conn.Resume()
	}
	if s.seat == waiting {
		s.judge()
	}
	if s.seat != parted {
		s.duePing(now)
	}
}

// active tells when something last passed, either way.
func (s *subscriber) active(now time.Duration) time.Duration {
	ago := s.aud.stream.age()
	return max(s.heard, now-ago, s.began)
}

// dead tells whether a ping has gone without any byte in answer for too long.
func (s *subscriber) dead(now time.Duration) bool {
	pong := s.route().Timeouts.Pong
	if pong == 0 || !s.unanswered() {
		return false
	}
	if s.full() || s.conn.Paused() {
		s.ask(now)
		return false
	}
	return now >= s.asked()+pong
}

// ask notes that a ping is sent now, and when the next is due.
func (s *subscriber) ask(now time.Duration) {
	s.flags |= flagAsked
	s.due = now + s.route().Timeouts.Ping
}

// asked tells when the last ping was sent.
func (s *subscriber) asked() time.Duration { return s.due - s.route().Timeouts.Ping }

// unanswered tells whether nothing has come since the last ping.
func (s *subscriber) unanswered() bool { return s.has(flagAsked) && s.heard < s.asked() }

// overdue tells whether what is under way must be over.
func (s *subscriber) overdue(now time.Duration) bool {
	return s.more != nil && s.more.until != 0 && now >= s.more.until
}

// tooSlow tells whether a frame of the client's is not coming at the pace that
// it must.
func (s *subscriber) tooSlow(now time.Duration) bool {
	limit := s.route().Timeouts.Frame
	a := s.more
	if limit == 0 || a == nil || a.frameAt == 0 {
		return false
	}
	if s.conn.Paused() {
		a.frameAt = now
		return false
	}
	return now >= s.frameDeadline()
}

func (s *subscriber) frameDeadline() time.Duration {
	return s.more.frameAt + s.route().Timeouts.Frame + limit.Pace(s.frame.Seen())
}

// duePing pings a client that has been silent so long, or shows one that only
// listens that we are there.
func (s *subscriber) duePing(now time.Duration) {
	every := s.route().Timeouts.Ping
	if every == 0 || now < s.due {
		return
	}
	if s.unanswered() {
		return // its clock runs
	}
	s.flags &^= flagAsked
	if s.webSocket() && now < s.heard+every {
		s.due = s.heard + every
		return
	}
	s.due = now + every
	s.ping()
}

// nextDeadline is the earliest of the subscriber's clocks.
func (s *subscriber) nextDeadline(now time.Duration) time.Duration {
	next := time.Duration(0)
	if s.more != nil {
		next = s.more.until
	}
	earlier := func(from, after time.Duration) {
		if from != 0 && after > 0 && (next == 0 || from+after < next) {
			next = from + after
		}
	}
	t := &s.route().Timeouts
	if since, waits := s.conn.Stalled(); waits {
		earlier(max(since, 1), t.Write)
	}
	if s.seat != parted {
		if s.unanswered() {
			earlier(s.asked(), t.Pong)
		} else if t.Ping > 0 {
			earlier(s.due, 1)
		}
		if t.Idle > 0 {
			earlier(s.active(now), t.Idle)
		}
		earlier(s.began, t.Age)
		if s.seat == waiting {
			earlier(now, s.route().Fanout.Slow.After.Age/4)
		}
		if a := s.more; a != nil {
			earlier(a.throttle, 1)
			if a.frameAt != 0 && t.Frame > 0 {
				earlier(s.frameDeadline(), 1)
			}
		}
	}
	if next == 0 {
		return 0
	}
	return max(next, now+time.Millisecond)
}
