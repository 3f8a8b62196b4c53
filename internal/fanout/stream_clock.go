package fanout

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// ticking is a stream as its own clock sees it; each source has another.
type ticking Stream

// Expire holds the stream's clocks against now, and tells when it wants to be
// called next.
func (t *ticking) Expire(now time.Duration) time.Duration {
	s := (*Stream)(t)
	if s.checkLinger(now); s.ended {
		return 0
	}
	if r := s.route(); r.Fanout.History.Age > 0 {
		s.plain.trim(r.fanout.clock())
	}
	if s.judge != nil {
		s.pass(s.judge.Tick(now))
		s.publish()
	}
	s.checkStale(now)
	return s.nextDeadline(now)
}

// Panicked ends connections whose state can't be trusted. It is for the loop.
func (t *ticking) Panicked() {
	for _, src := range t.sources {
		src.Panicked()
	}
}

// rearm sets the stream's timer to the next deadline.
func (s *Stream) rearm(now time.Duration) {
	if next := s.nextDeadline(now); next > 0 && !s.ended {
		s.loop.Arm(&s.clock, (*ticking)(s), next)
	}
}

// nextDeadline is the earliest of the stream's own clocks.
func (s *Stream) nextDeadline(now time.Duration) (next time.Duration) {
	f := s.route().Fanout
	earlier := func(at time.Duration) {
		if at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	earlier(s.lingers)
	if after := f.StaleAfter; after > 0 {
		earlier(now + max(after-s.age(), after/4))
	}
	if age := f.History.Age; age > 0 {
		earlier(now + max(age/4, time.Second))
	}
	if s.judge != nil {
		earlier(s.judge.Deadline())
	}
	if next == 0 {
		return 0
	}
	return max(next, now+time.Millisecond)
}

// linger is called when nobody has been there; now is the loop's.
func (s *Stream) linger(now time.Duration) {
	if s.ended {
		s.expire()
		return
	}
	after := s.route().Fanout.Linger
	if !s.isOpen() || s.home.removed.Load() {
		after = 0 // somebody's mistake, or what is no more, must not take the place of a stream
	}
	s.lingers = max(now+after, 1)
	if after == 0 {
		s.checkLinger(now)
		return
	}
	s.rearm(now)
}

func (s *Stream) checkLinger(now time.Duration) {
	switch {
	case s.lingers == 0 || now < s.lingers:
	case s.expire():
		s.leave(ws.CodeNormal)
	default: // somebody came
		s.lingers = 0
	}
}

// leave ends the connections in good order: nobody needs them.
func (s *Stream) leave(code uint16) {
	for _, src := range s.sources {
		src.leave(code)
	}
	s.end()
}

// end is the last of the stream's sources.
func (s *Stream) end() {
	s.ended, s.lingers = true, 0
	for _, src := range s.sources {
		src.end()
	}
	for _, frame := range s.queue {
		s.drop(frame)
	}
	s.queue = nil
	s.giveUp(errOver)
	s.loop.Disarm(&s.clock)
}

// checkStale calls the stream stale when nothing has come for too long.
func (s *Stream) checkStale(now time.Duration) {
	r := s.route()
	after := r.Fanout.StaleAfter
	if after == 0 && s.staleAt == 0 {
		return
	}
	ago := s.age()
	switch {
	case ago < after, after == 0:
		if s.staleAt != 0 {
			s.staleAt = 0
			s.stale.Store(false)
		}
	case s.staleAt == 0:
		s.staleAt = now
		s.stale.Store(true)
		r.Complain.Warn("stream is stale", "route", r.Name, "stream", s.target.String(), "silent", ago.Round(time.Millisecond))
		s.tellStale(ago)
	}
}
