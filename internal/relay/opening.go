package relay

import (
	"errors"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

const maxTries = 3 // instances asked for one client

// beginning is what a session needs until the client is answered.
type beginning struct {
	req     *Request
	tried   []*upstream.Instance
	key     string // our Sec-WebSocket-Key to the instance
	waits   handshake.Waiter
	answer  time.Duration // when the instance's whole answer is due
	sources int           // tries that found no free port
	timeout bool          // the last try ended for lack of time
	queued  bool          // in the queue for an instance with room
}

// dial asks the next instance.
func (s *session) dial() {
	if inst, err := s.choose(); err != upstream.ErrBusy {
		s.ask(inst, err)
	}
}

// ask sends the client's request to the instance that was chosen.
func (s *session) ask(inst *upstream.Instance, err error) {
	if err != nil {
		s.noInstance(err)
		return
	}
	b, q := s.begun, s.begun.req
	b.tried = append(b.tried, inst)
	s.inst = inst
	l := s.loop()
	b.key = handshake.NewKey(l.Nonce())
	head := q.Offer.AppendRequest(nil, &handshake.Forward{
		Target: inst.Target(q.Target), Host: q.Pick.Host(inst, q.Host), Key: b.key, Header: q.Header,
	})
	b.answer = l.Now() + s.route.Timeouts.Handshake
	if len(b.tried) > 1 {
		s.leg = &side{} // the loop may still know the last one
	}
	l.Dial(&s.leg.conn, s, q.Pick.Dial(inst), head)
	s.until = min(l.Now()+s.route.Timeouts.Dial, b.answer)
	l.Arm(&s.timer, s, s.until)
}

// openingDue is called when a dial or an answer is late.
func (s *session) openingDue(now time.Duration) {
	b := s.begun
	switch {
	case b.queued:
		s.refuse(503, "busy", upstream.ErrBusy.Error())
	case s.leg.conn.Connecting():
		s.legFailed(upstream.ErrDialTimeout)
	case now < b.answer:
		s.until = b.answer
	default:
		s.leg.conn.Abort()
		s.inst.Unreachable(upstream.ErrAnswerTimeout)
		s.refuse(504, "timeout", "the instance did not answer in time")
	}
}

// hungUp is the end of the instance's side before its answer was known to be
// whole. A refusal may end so.
func (s *session) hungUp() {
	if p := s.leg.conn.Kept(); len(p) > 0 {
		if status, err := handshake.Status(p); err == nil && status >= 200 {
			s.refused(p, true)
			return
		}
	}
	s.legFailed(upstream.ErrHungUp)
}

// legFailed gives up on an instance that could not be reached, and goes on to
// the next.
func (s *session) legFailed(err error) {
	s.leg.conn.Abort()
	if errors.Is(err, loop.ErrStuck) {
		s.badGateway(err, 0)
		return
	}
	if err != upstream.ErrGone {
		s.inst.Unreachable(err)
	}
	reason := upstream.Reason(err)
	s.route.Observe.DialError(reason)
	s.route.Complain.Warn("instance not reached", "route", s.route.Name, "instance", s.inst.Name(), "reason", reason, "err", err)
	s.inst.Release()
	s.inst = nil
	b := s.begun
	b.timeout = reason == upstream.ReasonTimeout
	if reason == upstream.ReasonEphemeralPorts {
		s.route.Log.Error("no free port towards the instance; give its pool (more) source_addresses", "route", s.route.Name)
		if b.sources++; b.sources < b.req.Pick.Sources() {
			b.tried = b.tried[:len(b.tried)-1] // from another address
		}
	}
	if len(b.tried) < maxTries {
		s.dial()
		return
	}
	s.noInstance(err)
}

// noInstance answers the client when there is nobody left to ask.
func (s *session) noInstance(err error) {
	status, result, what := upstream.Unreached(len(s.begun.tried), s.begun.timeout, err)
	s.refuse(status, result, what)
}

// answered reads the instance's answer: interim ones are skipped, a 101 is
// judged, anything else is passed on.
func (s *session) answered(p []byte) (taken int) {
	skip, n, status, err := s.begun.waits.Next(p)
	rest := p[skip:]
	switch {
	case err != nil:
		return s.badGateway(err, len(p))
	case n == 0:
		return skip
	case status == 101:
		return skip + n + s.upgraded(rest[:n], rest[n:])
	}
	return skip + s.refused(rest, false)
}

// refused passes an instance's refusal on: status, fields and body. p is all
// that has come of it, and grows until the body is whole; eof tells that no
// more will come.
func (s *session) refused(p []byte, eof bool) (taken int) {
	answer, done, err := upstream.ReadRefusal(p, eof)
	switch {
	case err != nil:
		return s.badGateway(err, len(p))
	case !done:
		return 0
	}
	s.inst.Reached()
	s.refuseWith(answer, "refused")
	return len(p)
}

// badGateway refuses the client because the instance's answer is none. Nothing
// is tunnelled and neither connection is used again.
func (s *session) badGateway(err error, taken int) int {
	s.route.Complain.Warn("bad answer from an instance", "route", s.route.Name, "instance", s.inst.Name(), "err", err)
	s.leg.conn.Abort()
	s.refuse(502, "bad_answer", "the instance's answer is not a WebSocket handshake")
	return taken
}

// upgraded judges a 101; a good one is answered to the client, and the session
// is open. rest are the instance's first frames.
func (s *session) upgraded(head, rest []byte) (taken int) {
	b, q := s.begun, s.begun.req
	answer, err := q.Offer.Accept(head, b.key)
	if err != nil {
		return s.badGateway(err, len(rest))
	}
	var extra [][2]string
	if cookie := q.Pick.Cookie(s.inst, q.Secure); cookie != "" {
		extra = append(extra, [2]string{"Set-Cookie", cookie})
	}
	s.inst.Reached()
	s.client.conn.Write(answer.Append(nil, q.Offer, extra...))
	s.client.in.Deflate, s.leg.in.Deflate = answer.Deflate, answer.Deflate
	if s.route.Keep != nil && !answer.Deflate { // compressed, it began under another configuration
		s.keepSession(answer.Protocol)
	}
	s.opened()
	s.client.conn.Resume()
	if len(rest) == 0 {
		return 0
	}
	return s.relayFrom(s.leg, &s.client, rest)
}

// opened starts the clocks of an open session.
func (s *session) opened() {
	s.begun.req.Pick.Settled()
	l := s.loop()
	now := l.Now()
	s.phase, s.until, s.active, s.begun = open, 0, now, nil
	s.client.heard, s.leg.heard = now, now
	if every := s.route.Timeouts.Ping; every > 0 {
		// The first pings fall anywhere in the interval, so that those
		// of sessions opened together don't come together.
		s.client.pingDue = now + time.Duration(l.Random()%uint64(every))
		s.leg.pingDue = now + time.Duration(l.Random()%uint64(every))
		if s.inst.WantsRTT() {
			s.leg.pingDue = now
		}
	}
	l.Arm(&s.timer, s, s.nextDeadline(now))
	s.route.Counters.Opened(l)
	s.route.Observe.Handshake(s.route.Name, "101", now-s.started)
	if s.route.LogOpen {
		s.route.Log.Info("session open", "session", strconv.FormatUint(s.id, 16), "route", s.route.Name, "instance", s.inst.Name(), "client", s.addr.String())
	}
}

// refuse answers the client with a status of ours, 502 to 504. result names it
// in the metrics.
func (s *session) refuse(status int, result, what string) {
	s.route.Complain.Warn("client refused", "route", s.route.Name, "client", s.addr.String(), "status", status, "why", what)
	s.refuseWith(upstream.Unavailable(status, what).Append(nil), result)
}

// refuseWith sends a whole HTTP answer and hangs up in good order.
func (s *session) refuseWith(answer []byte, result string) {
	s.route.Observe.Handshake(s.route.Name, result, s.now()-s.started)
	s.leg.conn.Close()
	s.begun.req.Pick.Settled()
	s.phase = refusing
	s.client.conn.Write(answer)
	s.client.conn.CloseWrite()
	s.client.conn.Resume()
	s.until = s.now() + s.route.Timeouts.Close
	s.loop().Arm(&s.timer, s, s.until)
}

// abandon ends a session whose client left before it was answered.
func (s *session) abandon() {
	if s.phase == opening {
		s.route.Observe.Handshake(s.route.Name, "client_gone", s.now()-s.started)
	}
	s.leg.conn.Abort()
	s.client.conn.Close()
	s.end()
}
