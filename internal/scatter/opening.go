package scatter

import (
	"errors"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

const maxTries = 3 // instances asked for one client, and for one message

// beginning is what a session needs until the client is answered.
type beginning struct {
	req     *Request
	pick    *upstream.Choice
	tried   []*upstream.Instance
	timeout bool          // the last try ended for lack of time
	patient time.Duration // until when an instance with room for a handshake is waited for
}

// plain is the client's offer as instances get it: messages are read here, so
// they come uncompressed.
func (b *beginning) plain() *handshake.Offer {
	o := *b.req.Offer
	o.Deflate = nil
	return &o
}

// enter asks the next instance to be home.
func (s *session) enter() {
	b := s.begun
	if b.pick == nil {
		b.pick = s.route.home.For("", "")
		b.patient = s.now() + patience
	}
	inst, err := b.pick.Instance(b.tried)
	switch {
	case err == upstream.ErrBusy && s.now() < b.patient:
		s.retry = s.now() + busyEvery
		s.arm()
		return
	case err == upstream.ErrBusy:
		s.refuse(503, "busy", err.Error())
		return
	case err != nil:
		s.noInstance(err)
		return
	}
	b.tried = append(b.tried, inst)
	g := s.newLeg(inst, s.route.home, b.pick)
	g.counted, s.home = true, g
	head := b.plain().AppendRequest(nil, &handshake.Forward{
		Target: inst.Target(b.req.Target), Host: b.pick.Host(inst, b.req.Host), Key: g.key, Header: b.req.Header,
	})
	g.dial(head)
	s.arm()
}

const (
	patience  = 2 * time.Second      // for room at an instance, at most
	busyEvery = 5 * time.Millisecond // between looks for room
)

// homeFailed gives up on an instance that could not be reached, and goes on to
// the next.
func (s *session) homeFailed(g *leg, err error) {
	b := s.begun
	s.forget(g)
	if errors.Is(err, loop.ErrStuck) {
		s.badGateway(g, err)
		return
	}
	b.timeout = upstream.Reason(err) == upstream.ReasonTimeout
	if len(b.tried) < maxTries {
		s.enter()
		return
	}
	s.noInstance(err)
}

// noInstance answers the client when there is nobody left to ask.
func (s *session) noInstance(err error) {
	status, result, what := upstream.Unreached(len(s.begun.tried), s.begun.timeout, err)
	s.refuse(status, result, what)
}

// badGateway refuses the client because the instance's answer is none.
func (s *session) badGateway(g *leg, err error) {
	s.route.Complain.Warn("bad answer from an instance", "route", s.route.Name, "instance", g.inst.Name(), "err", err)
	s.refuse(502, "bad_answer", "the instance's answer is not a WebSocket handshake")
}

// welcomed judges home's 101; a good one is answered to the client, and the
// session is open.
func (s *session) welcomed(g *leg, head []byte) error {
	b := s.begun
	offer := b.req.Offer
	answer, err := b.plain().Accept(head, g.key)
	if err != nil {
		return err
	}
	g.inst.Reached()
	b.pick.Settled()
	if s.route.Scatter.Compress {
		answer.Extensions, s.deflate = offer.AcceptDeflate()
	}
	s.client.in.Deflate = s.deflate
	s.saved = handshake.Save(&handshake.Forward{Target: b.req.Target, Host: b.req.Host, Header: b.req.Header}, answer.Protocol)
	s.client.conn.Write(answer.Append(nil, offer))
	now := s.now()
	s.phase, s.begun, s.retry, s.active = open, nil, 0, now
	s.client.heard = now
	if every := s.route.Timeouts.Ping; every > 0 { // at a time of its own
		s.client.due = now + time.Duration(s.loop().Random()%uint64(every))
	}
	g.stands()
	s.client.conn.Resume()
	s.route.Counters.Opened(s.loop())
	s.route.Observe.Handshake(s.route.Name, "101", now-s.started)
	if s.route.LogOpen {
		s.route.Log.Info("session open", "session", strconv.FormatUint(s.id, 16), "route", s.route.Name, "instance", g.inst.Name(), "client", s.addr.String())
	}
	return nil
}

// refused passes home's refusal on as it came.
func (s *session) refused(g *leg, p []byte, eof bool) (taken int) {
	answer, done, err := upstream.ReadRefusal(p, eof)
	switch {
	case err != nil:
		s.badGateway(g, err)
		return len(p)
	case !done:
		return 0
	}
	g.inst.Reached()
	s.refuseWith(answer, "refused")
	return len(p)
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
	s.dropLegs(0, "")
	s.phase, s.retry = refusing, 0
	s.client.conn.Write(answer)
	s.client.conn.CloseWrite()
	s.client.conn.Resume()
	s.until = s.now() + s.route.Timeouts.Close
	s.arm()
}

// abandon ends a session whose client left before it was answered.
func (s *session) abandon() {
	if s.phase == opening {
		s.route.Observe.Handshake(s.route.Name, "client_gone", s.now()-s.started)
	}
	s.finish()
}
