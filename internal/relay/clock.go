package relay

import (
	"encoding/binary"
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// wake has Expire called no later than after behind from; never when after
// is off.
func (s *session) wake(from, after time.Duration) {
	if after > 0 {
		s.loop().Arm(&s.timer, s, from+after)
	}
}

// Expire holds the session's clocks against now, and tells when it wants to be
// called next.
func (s *session) Expire(now time.Duration) time.Duration {
	if s.phase == ended {
		return 0
	}
	if s.throttled != 0 && now >= s.throttled {
		s.throttled = 0
		s.readClient()
	}
	if s.until != 0 && now >= s.until {
		s.due(now)
	}
	if s.phase == open || s.phase == scheduled || s.phase == parting {
		s.checkLife(now)
	}
	s.checkWrites(now)
	if s.kept != nil && s.phase != opening && s.phase < parting {
		s.keepClock(now)
	}
	if s.phase == ended {
		return 0
	}
	return s.nextDeadline(now)
}

// checkLife looks at a session's pings, frames, idleness and age.
func (s *session) checkLife(now time.Duration) {
	t := &s.route.Timeouts
	switch {
	case s.tooSlow(&s.client, now):
		s.blame(lastWord{reason: "frame too slow", side: "proxy", code: ws.CodePolicy})
		s.fault(&s.client)
		return
	case s.tooSlow(s.leg, now):
		s.lose("slow_frame", "the instance sent a frame too slowly", true)
		return
	case s.dead(&s.client, now):
		s.clientGone(false, "the client does not answer pings")
		return
	case s.dead(s.leg, now), s.unproven(now):
		s.inst.Silent()
		s.lose("no_pong", "the instance does not answer pings", true)
		return
	}
	if s.phase != open {
		return
	}
	switch {
	case t.Idle > 0 && now >= s.active+t.Idle:
		s.leave(lastWord{reason: "idle too long", side: "proxy", code: ws.CodeGoingAway})
	case t.Age > 0 && now >= s.started+t.Age:
		s.leave(lastWord{reason: "session too old", side: "proxy", code: ws.CodeRestart})
	default:
		s.duePing(&s.client, now)
		s.duePing(s.leg, now)
	}
}

// tooSlow tells whether a frame is not coming at the pace that it must. The
// clock stands while the side is not read.
func (s *session) tooSlow(from *side, now time.Duration) bool {
	if s.route.Timeouts.Frame == 0 || from.frameAt == 0 || from.deaf {
		return false
	}
	if from.conn.Paused() {
		from.frameAt = now
		return false
	}
	return now >= s.frameDeadline(from)
}

func (s *session) frameDeadline(from *side) time.Duration {
	return from.frameAt + s.route.Timeouts.Frame + limit.Pace(from.in.Seen())
}

// dead tells whether a ping has gone without any byte in answer for too long.
// The clock stands while the side is not read or output waits for it.
func (s *session) dead(x *side, now time.Duration) bool {
	pong := s.route.Timeouts.Pong
	if pong == 0 || x.pingSent == 0 || x.gotClose || x.gotEOF {
		return false
	}
	if x.heard >= x.pingSent {
		return false
	}
	if _, waits := x.conn.Stalled(); waits || x.conn.Paused() {
		x.pingSent, x.fairPing = now, false
		return false
	}
	return now >= x.pingSent+pong
}

// duePing pings a side if it is time. A client that has been heard lately need
// not be asked; an instance is, for the round-trip time.
func (s *session) duePing(x *side, now time.Duration) {
	every := s.route.Timeouts.Ping
	if every == 0 || now < x.pingDue || x.sentClose {
		return
	}
	if x == &s.client && now < x.heard+every {
		x.pingDue = x.heard + every
		return
	}
	x.pingDue = now + every
	if x.pingSent != 0 && x.heard < x.pingSent {
		return // one is out, and its clock runs
	}
	s.ping(x)
}

// ping sends a ping of ours, at once or at the end of the frame under way.
func (s *session) ping(x *side) {
	if x.wantPing = s.inside(x); x.wantPing || x.sentClose {
		return
	}
	x.conn.Write(s.appendPing(s.loop().Scratch(), x))
}

// appendPing appends a ping of ours that is about to be sent. The clock of one
// that is out runs on: a later one is no reason to wait longer.
func (s *session) appendPing(b []byte, x *side) []byte {
	x.pingSeq++
	if s.kept != nil && x == s.leg {
		s.kept.Ping(x.pingSeq, s.now())
	}
	var payload [8]byte
	binary.BigEndian.PutUint64(payload[:], s.secret+uint64(x.pingSeq))
	if x.pingSent == 0 || x.heard >= x.pingSent {
		_, waits := x.conn.Stalled()
		x.fairPing = !waits
		x.pingSent = s.now()
		s.wake(x.pingSent, s.route.Timeouts.Pong)
	}
	return s.appendControl(b, x, ws.Ping, payload[:])
}

// inject writes a control frame of our own to a side. The caller knows that
// the side is between frames.
func (s *session) inject(x *side, op ws.Opcode, payload []byte) {
	x.conn.Write(s.appendControl(s.loop().Scratch(), x, op, payload))
}

func (s *session) appendControl(b []byte, x *side, op ws.Opcode, payload []byte) []byte {
	h := ws.Header{Fin: true, Opcode: op}
	if x != &s.client {
		h.Masked, h.Key = true, s.loop().MaskKey()
	}
	return ws.AppendFrame(b, h, payload)
}

// ponged is the answer to a ping of ours. A later one settles the earlier; only
// that to the latest tells how long it took.
func (s *session) ponged(from *side, payload []byte) {
	if from == s.leg {
		s.inst.Alive()
	}
	seq := s.pingOf(from, payload)
	latest := seq == from.pingSeq
	if from == s.leg && from.pingSent != 0 && from.fairPing && latest {
		s.inst.RTT(s.now() - from.pingSent)
	}
	from.pingSent = 0
	if s.kept != nil && from == s.leg {
		s.proved(seq)
	}
}

// checkWrites ends a side whose output has not moved for too long.
func (s *session) checkWrites(now time.Duration) {
	limit := s.route.Timeouts.Write
	if limit == 0 {
		return
	}
	if since, waits := s.client.conn.Stalled(); waits && s.client.conn.Live() && now >= since+limit {
		s.clientGone(false, "the client does not read")
	}
	if since, waits := s.leg.conn.Stalled(); waits && s.leg.conn.Live() && s.phase != opening && now >= since+limit {
		if s.phase == open || s.phase == scheduled || s.phase == parting {
			s.lose("not_reading", "the instance does not read", true)
			return
		}
		s.leg.conn.Abort()
		s.settle(s.leg)
	}
}

// nextDeadline is the earliest of the session's clocks.
func (s *session) nextDeadline(now time.Duration) time.Duration {
	next := s.until
	earlier := func(from, after time.Duration) {
		if from != 0 && after > 0 && (next == 0 || from+after < next) {
			next = from + after
		}
	}
	t := &s.route.Timeouts
	earlier(s.throttled, 1)
	if s.kept != nil && s.phase != opening && s.phase < parting {
		earlier(s.keepNext(), 1)
	}
	if s.phase == open {
		earlier(s.active, t.Idle)
		earlier(s.started, t.Age)
	}
	for _, x := range [2]*side{&s.client, s.leg} {
		if since, waits := x.conn.Stalled(); waits && s.phase != opening {
			earlier(max(since, 1), t.Write)
		}
		if s.phase != open && s.phase != scheduled && s.phase != parting {
			continue
		}
		if s.phase == open && t.Ping > 0 {
			earlier(x.pingDue, 1)
		}
		if x.pingSent != 0 && x.heard < x.pingSent {
			earlier(x.pingSent, t.Pong)
		}
		if x.frameAt != 0 && t.Frame > 0 && !x.deaf {
			earlier(s.frameDeadline(x), 1)
		}
	}
	if next == 0 {
		return 0
	}
	return max(next, now+time.Millisecond)
}
