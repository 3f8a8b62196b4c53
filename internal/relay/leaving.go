package relay

import (
	"errors"
	"time"

	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// farewell is how long an instance that was told 1001 may still speak before
// its client is told too.
const farewell = time.Second

// goingDeadline is how long a session of an instance that seems to end waits for
// a moment of silence.
const goingDeadline = 2 * time.Second

// closed is a close frame from one of the ends. It goes on to the other as it
// came, unless the instance means that it goes away itself.
func (s *session) closed(from, to *side, frame []byte, head int) {
	var room [ws.MaxControl]byte
	payload := room[:copy(room[:], frame[head:])]
	if h := &from.in.Header; h.Masked {
		ws.Mask(payload, h.Key, 0)
	}
	code, reason, err := ws.ParseClose(payload)
	if err != nil {
		s.violated(from, err)
		return
	}
	from.gotClose, from.deaf, from.frameAt = true, true, 0
	first := !s.client.gotClose || !s.leg.gotClose
	if first && !from.sentClose {
		s.last = lastWord{reason: string(reason), side: s.name(from), code: code}
		from.ended = code
	}
	switch {
	case from == s.leg && s.legClosed(code):
	case from == &s.client && s.phase == lost:
		s.tellClient()
	default:
		if !to.sentClose {
			to.conn.Write(frame)
			to.sentClose = true
		}
		if s.phase != parting {
			s.finish()
		}
	}
}

// legClosed treats an instance's close that is not the application's: it answers
// one of ours, or means that the instance goes. It is false for any other.
func (s *session) legClosed(code uint16) bool {
	switch {
	case s.changes():
		s.last = lastWord{}
		s.changeOver()
	case s.phase == parting:
		s.closeLeg(code)
		s.tellClient()
	case s.phase < parting && s.leg.sentClose: // it was to be left, and the other leg has failed since
		s.lose("moved", "the instance was left", false)
	case s.phase < lost && !s.client.sentClose && !s.client.gotClose && s.route.lossCode(code):
		s.closeLeg(code)
		if s.inst.GoingAway() {
			s.relay.Leave(Leaving{Instance: s.inst, Move: "going_away", Failover: true, Deadline: goingDeadline, KeptOnly: true})
		}
		s.lose("going_away", "the instance goes away", false)
	default:
		return false
	}
	return true
}

func (s *session) name(x *side) string {
	if x == &s.client {
		return "client"
	}
	return "upstream"
}

// closeLeg tells the instance code, where the leg is between frames; else the
// leg is cut, because nothing may follow half a frame.
func (s *session) closeLeg(code uint16) {
	if !s.leg.conn.Live() || s.leg.sentClose {
		return
	}
	if s.inside(s.leg) {
		s.leg.conn.Abort()
		return
	}
	key := s.loop().MaskKey()
	s.leg.conn.Write(ws.AppendClose(s.loop().Scratch(), code, "", &key))
	s.leg.sentClose = true
}

// schedule has an open session leave at a time of its own.
func (s *session) schedule(w *Leaving) {
	at := s.now() + s.someOf(s.spread(w))
	switch {
	case s.kept != nil && w.Move != "" && (s.phase == open || s.phase == resuming):
		s.scheduleMove(w, at)
		return
	case s.phase == opening && w.Instance != nil:
		s.legFailed(upstream.ErrGone)
	case s.phase == opening:
		s.refuse(503, "going_away", w.Reason)
	case s.phase == resuming && w.Instance != nil:
		return // it has left already
	case s.phase == resuming:
		s.route.Observe.Failover(s.route.Name, s.kept.relief.why, "closed")
		s.dropRelief()
		at = s.now() + s.someOf(min(s.spread(w), s.route.Failover.Spread)) // nobody serves it
		s.last = lastWord{reason: w.Reason, side: "proxy", code: w.Code}
		s.phase, s.until = lost, at
		s.client.conn.Resume()
	case s.phase == lost:
		s.until = min(s.until, at)
	case s.phase == open || s.phase == scheduled:
		s.phase = scheduled
		s.last = lastWord{reason: w.Reason, side: "proxy", code: w.Code}
		s.until = at
	}
	s.loop().Arm(&s.timer, s, at)
}

// spread is over how long those who leave do so.
func (s *session) spread(w *Leaving) time.Duration {
	m := &s.route.Move
	switch {
	case w.Failover:
		return s.route.Failover.Spread
	case w.Paced == 0 || m.Rate == 0:
		return w.Spread
	}
	d := time.Duration(float64(w.Paced) / m.Rate * float64(time.Second))
	if m.Deadline > 0 {
		d = min(d, m.Deadline)
	}
	return d
}

// someOf gives a random part of spread.
func (s *session) someOf(spread time.Duration) time.Duration {
	if spread <= 0 {
		return 0
	}
	return time.Duration(s.loop().Random() % uint64(spread))
}

// leave ends the session in good order: the instance is told 1001, what it
// still says is relayed, then the client is told w.
func (s *session) leave(w lastWord) {
	s.dropRelief()
	s.blame(w)
	s.closeLeg(ws.CodeGoingAway)
	if !s.leg.conn.Live() || s.leg.gotClose {
		s.tellClient()
		return
	}
	s.phase = parting
	s.client.conn.Resume()
	s.until = s.now() + min(farewell, s.route.Timeouts.Close)
	s.loop().Arm(&s.timer, s, s.until)
}

// blame says what the client will be told and why, unless that is settled: what
// happens once the end has begun does not change its reason.
func (s *session) blame(w lastWord) {
	if s.phase < parting {
		s.last = w
	}
}

// lose ends a session whose leg is lost: the client is closed with a code that
// makes it come back, at a time of its own, so that the clients of an instance
// don't all come back at once. name is the loss as metrics have it; cut has the
// leg reset.
//
// Keeping the client (failover.client: keep) begins here, in place of closing.
func (s *session) lose(name, reason string, cut bool) {
	if cut {
		s.leg.conn.Abort()
	}
	if s.phase == parting {
		s.tellClient()
		return
	}
	if s.phase >= lost {
		s.settle(s.leg)
		return
	}
	if !s.leg.gotClose {
		s.leg.ended = ws.CodeAbnormal
	}
	if s.kept != nil && s.phase == open { // not one that is to leave anyway
		err := s.resume(name)
		if err == nil {
			return
		}
		reason += ": " + err.Error()
		s.dropRelief()
	}
	s.leg.deaf = true
	s.route.Complain.Warn("instance lost; its clients are to come again", "route", s.route.Name, "instance", s.inst.Name(), "why", reason)
	s.route.Observe.Failover(s.route.Name, name, "closed")
	s.last = lastWord{reason: reason, side: "upstream", code: ws.CodeRestart}
	if s.insideMessage() {
		s.last.code = ws.CodeInternal
	}
	if s.inside(&s.client) {
		s.tellClient()
		return
	}
	s.phase = lost
	if s.leg.gotEOF {
		s.leg.conn.Close()
	}
	s.client.conn.Resume()
	s.until = s.now() + s.someOf(s.route.Failover.Spread)
	s.loop().Arm(&s.timer, s, s.until)
}

// violated ends a session one side of which broke the protocol: it is told so.
func (s *session) violated(from *side, err error) {
	w := lastWord{reason: err.Error(), side: s.name(from), code: ws.CodeProtocolError}
	var v *ws.Violation
	if errors.As(err, &v) {
		w.code, w.reason = v.Code, v.What
	}
	s.blame(w)
	s.fault(from)
}

// fault ends a session because of what came from one side; s.last says why.
// Nothing more is taken from there.
func (s *session) fault(from *side) {
	from.deaf, from.frameAt = true, 0
	switch {
	case from.sentClose || s.phase >= parting: // it is over already
		s.settle(from)
		return
	case from == &s.client:
		s.leave(s.last)
		return
	}
	s.closeLeg(s.last.code)
	s.leg.conn.CloseWrite()
	s.tellClient()
}

// tellClient closes the client with s.last, where it is between frames. Inside
// one nothing may follow: its connection ends there, behind what was relayed.
func (s *session) tellClient() {
	switch {
	case !s.client.conn.Live():
	case s.inside(&s.client) && !s.client.sentClose:
		s.last.code = 0
		s.client.sentClose, s.client.deaf = true, true
	case !s.client.sentClose:
		s.client.conn.Write(ws.AppendClose(s.loop().Scratch(), s.last.code, s.last.reason, nil))
		s.client.sentClose = true
	}
	s.finish()
}

// finish waits for both ends of a session whose closing handshake is under
// way, for so long.
func (s *session) finish() {
	if s.phase == ended {
		return
	}
	if s.phase != closing {
		s.dropRelief()
		s.phase = closing
		s.until = s.now() + max(s.route.Timeouts.Close, time.Millisecond)
		s.loop().Arm(&s.timer, s, s.until)
	}
	s.client.conn.Resume()
	s.leg.conn.Resume()
	s.settle(&s.client)
	s.settle(s.leg)
}

// settle takes the next step towards the end of one side. A server hangs up
// first (RFC 6455, section 7.1.1): we do towards the client, and wait for the
// instance.
func (s *session) settle(x *side) {
	if s.phase == ended {
		return
	}
	if x.conn.Live() {
		_, waits := x.conn.Stalled()
		nobodyLeft := s.client.gotEOF && s.leg.gotEOF || x == s.leg && !s.client.conn.Live()
		switch {
		case x.gotEOF && !waits && (s.phase == refusing || x.sentClose || nobodyLeft):
			x.conn.Close()
		case x == &s.client && x.sentClose && (x.gotClose || x.deaf):
			x.conn.CloseWrite()
		}
	}
	if !s.client.conn.Live() && !s.leg.conn.Live() {
		s.end()
	}
}

// halfClosed passes a client's FIN on; the other direction flows on for a
// while.
func (s *session) halfClosed() {
	s.last = lastWord{reason: "the client hung up", side: "client"}
	s.leg.conn.CloseWrite()
	s.finish()
}

// legEnded is the end of a leg without a close from it.
func (s *session) legEnded(name, reason string) {
	if s.phase == parting {
		s.leg.conn.Close()
		s.tellClient()
		return
	}
	s.lose(name, reason, false)
}

// answerFor answers the other side's close where one has ended, or is not
// awaited any longer, and can't (RFC 6455, section 5.5.1).
func (s *session) answerFor(gone *side) {
	switch {
	case gone == s.leg && s.client.gotClose && !s.client.sentClose:
		s.tellClient()
	case gone == &s.client && s.leg.gotClose:
		s.closeLeg(s.last.code)
	}
}

// clientGone ends a session whose client is no more.
func (s *session) clientGone(reset bool, reason string) {
	s.client.conn.Abort()
	s.client.deaf = true
	if s.phase == lost {
		s.last.code = 0 // it was not told yet
	}
	if !s.client.gotClose {
		s.blame(lastWord{reason: reason, side: "client"})
	}
	if reset && !s.leg.sentClose && !s.leg.gotClose {
		s.leg.conn.Abort()
	}
	s.answerFor(&s.client)
	s.closeLeg(ws.CodeGoingAway) // unless that was said
	s.finish()
}

// due is called when the phase's time is up.
func (s *session) due(now time.Duration) {
	s.until = 0
	switch s.phase {
	case opening:
		s.openingDue(now)
	case scheduled:
		s.leave(s.last)
	case parting, lost:
		s.tellClient()
	case refusing, closing:
		s.giveUp(now)
	}
}

// giveUp ends what has not ended by itself, save a client that still reads.
func (s *session) giveUp(now time.Duration) {
	if s.leg.conn.Live() && s.leg.gotClose && !s.leg.sentClose {
		s.answerFor(&s.client)
		s.until = now + min(farewell, s.route.Timeouts.Close)
		return
	}
	if s.leg.conn.Live() {
		if s.leg.sentClose || s.leg.gotClose {
			s.leg.conn.Close()
		} else {
			s.leg.conn.Abort()
		}
	}
	if s.answerFor(s.leg); s.phase == ended {
		return
	}
	if _, waits := s.client.conn.Stalled(); waits && s.client.conn.Live() && s.route.Timeouts.Write > 0 {
		s.until = now + s.route.Timeouts.Close // timeouts.write judges it
		return
	}
	s.client.conn.Close()
	s.end()
}
