package relay

import (
	"bytes"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/keep"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// kept is what a session has whose client outlives its instance
// (failover.client: keep).
type kept struct {
	keep.State
	rules  *keep.Rules // the route's when the session began: it stays kept as it was begun
	pick   *upstream.Choice
	asked  handshake.Saved
	ping   *[]byte // the client's latest that the leg has yet to answer, plain; nil: none
	relief *relief // another leg, on its way to take the session over; nil: none
	plan   *plan   // to move, while the instance is there; nil: none

	clientSpoke, legSpoke time.Duration // when the latest data of each came
	stood                 time.Duration // when the leg took over; 0: it is the first
	resumes               uint32        // legs that were asked for after the first
	brief                 uint32        // legs in a row that were lost as soon as they stood
}

// keepSession notes what another instance would have to be asked.
func (s *session) keepSession(protocol string) {
	q := s.begun.req
	s.kept = &kept{rules: s.route.Keep, pick: q.Pick, asked: handshake.Save(&handshake.Forward{Target: q.Target, Host: q.Host, Header: q.Header}, protocol)}
}

// toClient sends what has come from the instance.
func (s *session) toClient(p []byte, whole, n int) {
	k := s.kept
	k.legSpoke = s.now()
	held, on := k.ToClient(s.kept.rules, s.loop(), p, whole, n)
	s.send(&s.client, held)
	s.send(&s.client, on)
	s.loop().Return(held)
}

// toInstance sends what has come from the client, and a ping behind it now and
// then whose pong proves that it was read.
func (s *session) toInstance(p []byte, whole, n int) {
	k, l := s.kept, s.loop()
	if s.leg.sentClose || !s.leg.conn.Live() {
		return // nobody is there to have it
	}
	k.clientSpoke = s.now()
	held, on := k.ToInstance(k.rules, l, p, whole, n, s.now())
	if n > 0 && k.Rides(k.rules, s.now()) {
		// One write: the instance's answers then come together, too.
		held = l.Extend(held, on[:whole])
		held, on = l.Extend(held, s.appendPing(l.Scratch(), s.leg)), on[whole:]
	}
	s.send(s.leg, held)
	s.send(s.leg, on)
	l.Return(held)
	if at := k.Next(k.rules, true); at != 0 {
		l.Arm(&s.timer, s, at)
	}
}

// holds tells whether messages are to be flushed one by one: those that are
// recorded, and one that streams, which is not held as those behind it are.
func (s *session) holds(from *side) bool {
	return s.kept != nil && from == &s.client && (s.kept.UpStreams || s.kept.Recording(s.kept.rules))
}

// skips tells whether what comes of a leg is not for the client: it had it
// before, of another leg.
func (s *session) skips(from *side) bool { return s.kept != nil && from == s.leg && s.kept.Skip > 0 }

// inside tells whether a side has been sent half a frame.
func (s *session) inside(x *side) bool {
	if x == s.leg {
		return s.client.in.InFrame() && (s.kept == nil || s.kept.UpStreams)
	}
	return s.leg.in.InFrame() && (s.kept == nil || s.kept.DownStreams)
}

// insideMessage tells whether the client has been sent half a message.
func (s *session) insideMessage() bool {
	return s.leg.in.InMessage() && (s.kept == nil || s.kept.DownStreams)
}

// crossing remembers the client's latest ping while its pong may still be lost
// with the leg. A pong to an earlier one does not settle it; its own settles all.
func (s *session) crossing(from *side, frame []byte, head int) {
	k := s.kept
	switch op := from.in.Header.Opcode; {
	case op == ws.Ping && from == &s.client:
		ping := bytes.Clone(frame[head:])
		ws.Mask(ping, from.in.Header.Key, 0)
		k.ping = &ping
	case op == ws.Pong && from == s.leg && k.ping != nil && bytes.Equal(*k.ping, frame[head:]):
		k.ping = nil
	}
}

// answerPing answers the client's latest ping, if the leg that is gone has not.
func (s *session) answerPing() {
	if k := s.kept; k.ping != nil {
		s.inject(&s.client, ws.Pong, *k.ping)
		k.ping = nil
	}
}

// proved takes the pong to a ping of ours.
func (s *session) proved(seq uint32) {
	k := s.kept
	full := k.Full(s.kept.rules)
	k.Pong(seq, s.now())
	if full {
		s.readClient()
	}
	if k.relief != nil {
		s.step(s.now())
	}
	if at := k.Next(k.rules, true); at != 0 {
		s.loop().Arm(&s.timer, s, at)
	}
}

// unproven tells whether the leg answers everything but the ping without whose
// pong no more can be taken from the client.
func (s *session) unproven(now time.Duration) bool {
	k, pong := s.kept, s.route.Timeouts.Pong
	return k != nil && pong > 0 && k.Barrier != 0 && now >= k.Pinged+pong && k.Full(s.kept.rules)
}

// readClient lets the client be read again, if nothing speaks against it.
func (s *session) readClient() {
	switch {
	case s.throttled != 0, s.phase == opening, s.phase < lost && s.leg.conn.Full():
	case s.kept != nil && s.phase < lost && (s.phase == resuming || s.leg.sentClose || s.kept.Full(s.kept.rules) || s.hushed()):
	default:
		s.client.conn.Resume()
	}
}

// keepClock holds a kept session's clocks against now. While there is no leg,
// what is held for the next one stays.
func (s *session) keepClock(now time.Duration) {
	k := s.kept
	if s.phase != resuming && k.Tick(k.rules, s.loop(), now) && s.mayProve() {
		s.ping(s.leg)
	}
	if p := k.plan; p != nil && k.relief == nil && now >= p.at && s.phase == open {
		s.move(now)
	}
	if k.relief != nil {
		s.reliefClock(now)
	}
}

// mayProve tells whether the leg can be pinged now.
func (s *session) mayProve() bool {
	return s.phase != resuming && !s.leg.sentClose && s.leg.conn.Live() && !s.inside(s.leg)
}

// keepNext is when keepClock is to be called; 0: not at all.
func (s *session) keepNext() time.Duration {
	k := s.kept
	next := time.Duration(0)
	if s.phase != resuming {
		next = k.Next(k.rules, s.mayProve())
	}
	earlier := func(at time.Duration) {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	switch r := k.relief; {
	case r != nil:
		earlier(r.until)
		earlier(r.over)
	case k.plan != nil:
		earlier(k.plan.at)
	}
	return next
}
