package fanout

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// wake has Expire called no later than after behind from; never when after is
// off.
func (s *source) wake(from, after time.Duration) {
	if after > 0 {
		s.stream.loop.Arm(&s.timer, s, from+after)
	}
}

// Expire holds the source's clocks against now, and tells when it wants to be
// called next.
func (s *source) Expire(now time.Duration) time.Duration {
	switch {
	case s.state == dialing && s.until != 0 && now >= s.until:
		if !s.conn.Connecting() && now < s.answer {
			s.until = s.answer
			break
		}
		s.failed(errLate)
	case s.state == idle && s.retry != 0 && now >= s.retry:
		s.begin()
	case s.state == open:
		s.checkLife(now)
	}
	return s.nextDeadline(now)
}

// checkLife looks at the connection's pings, frames and writes.
func (s *source) checkLife(now time.Duration) {
	r := s.stream.route()
	t := &r.Timeouts
	since, waits := s.conn.Stalled()
	if waits || s.conn.Paused() || s.heard >= s.asked {
		s.asked = 0
	}
	switch {
	case waits && t.Write > 0 && now >= since+t.Write:
		s.lose("not_reading", errNoRead)
		return
	case s.asked != 0 && t.Pong > 0 && now >= s.asked+t.Pong:
		s.lose("no_pong", errNoPong)
		return
	case s.frameAt != 0 && s.conn.Paused():
		s.frameAt = now
	case s.frameAt != 0 && t.Frame > 0 && now >= s.frameDeadline():
		s.lose("slow_frame", errSlow)
		return
	}
	if t.Ping > 0 && now >= s.due {
		s.due = now + t.Ping
		if s.asked == 0 && !waits {
			s.asked = now
			s.inject(ws.Header{Fin: true, Opcode: ws.Ping}, nil)
		}
	}
	if k := &r.Fanout.Keepalive; k.Every > 0 && now >= s.keep {
		s.keep = now + k.Every
		if !waits {
			s.inject(ws.Header{Fin: true, Opcode: ws.Text}, []byte(k.Send))
		}
	}
}

func (s *source) frameDeadline() time.Duration {
	return s.frameAt + s.stream.route().Timeouts.Frame + limit.Pace(s.in.Seen())
}

// nextDeadline is the earliest of the source's clocks.
func (s *source) nextDeadline(now time.Duration) time.Duration {
	r := s.stream.route()
	next := time.Duration(0)
	earlier := func(from, after time.Duration) {
		if from != 0 && after > 0 && (next == 0 || from+after < next) {
			next = from + after
		}
	}
	earlier(s.until, 1)
	earlier(s.retry, 1)
	if s.state == open {
		t := &r.Timeouts
		if t.Ping > 0 {
			earlier(s.due, 1)
		}
		if r.Fanout.Keepalive.Every > 0 {
			earlier(s.keep, 1)
		}
		if s.asked != 0 {
			earlier(s.asked, t.Pong)
		}
		if s.frameAt != 0 && t.Frame > 0 {
			earlier(s.frameDeadline(), 1)
		}
		if since, waits := s.conn.Stalled(); waits {
			earlier(max(since, 1), t.Write)
		}
	}
	if next == 0 {
		return 0
	}
	return max(next, now+time.Millisecond)
}
