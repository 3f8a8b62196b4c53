package scatter

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// farewell is how long what the client was promised is awaited when its session
// is to end.
const farewell = time.Second

// closed is the client's close: it is answered, and the instances are told, once
// they have what the client said before.
func (s *session) closed(payload []byte) error {
	code, reason, err := ws.ParseClose(payload)
	if err != nil {
		return err
	}
	s.client.gotClose, s.client.deaf = true, true
	if s.phase < closing {
		s.last = lastWord{reason: string(reason), side: "client", code: code}
	}
	if s.phase == open && !s.settled() {
		s.phase, s.until = parting, s.now()+s.route.Timeouts.Close
	}
	if s.phase == parting && !s.settled() {
		return nil
	}
	s.tellClient()
	if s.phase == closing {
		s.client.conn.CloseWrite()
	}
	return nil
}

// settled tells whether nothing is under way: no answer to a client that is there
// for it, and no message that waits for its leg.
func (s *session) settled() bool {
	if s.parked != nil || !s.client.gotClose && s.book.Waiting() > 0 {
		return false
	}
	hears := s.client.gotEOF && !s.client.gotClose // it says nothing more
	return !slices.ContainsFunc(s.legs, func(g *leg) bool { return len(g.queue) > 0 || hears && !s.quiet(g) })
}

// conclude ends a session that was to end as soon as nothing is under way.
func (s *session) conclude() {
	if s.phase == parting && s.settled() {
		s.tellClient()
	}
}

// closed is the instance's close. It may answer ours, or mean that the instance
// goes away; any other is the application's, and the client's.
func (g *leg) closed(payload []byte) error {
	s := g.session
	code, reason, err := ws.ParseClose(payload)
	if err != nil {
		return err
	}
	g.gotClose, g.deaf, g.ended = true, true, code
	text := string(reason)
	g.close(code, "")
	switch {
	case s.phase >= lost:
		s.letGo(g, code, "")
	case s.route.lossCode(code):
		g.inst.GoingAway()
		s.lose(g, "going_away", "the instance goes away")
	case g.stage == leaving:
		s.lose(g, "moved", "the instance was left")
	default:
		s.letGo(g, code, "")
		s.last = lastWord{reason: text, side: "upstream", code: code}
		s.tellClient()
	}
	return nil
}

// leave ends the session in good order: what the client was promised is awaited
// for a little, then it is told w.
func (s *session) leave(w lastWord) { s.part(w, min(farewell, s.route.Timeouts.Close)) }

// part is leave with another patience.
func (s *session) part(w lastWord, patience time.Duration) {
	if s.phase != open {
		return
	}
	s.last, s.phase = w, parting
	s.until = s.now() + patience
	s.conclude()
	s.arm()
}

// blame says what the end was about, unless that is settled.
func (s *session) blame(w lastWord) {
	if s.phase < closing {
		s.last = w
	}
}

// tellClient closes the client with s.last.
func (s *session) tellClient() {
	if s.phase >= closing {
		return
	}
	if s.client.gotClose {
		s.client.close(s.last.code, "")
		s.dropLegs(s.last.code, s.last.reason)
	} else {
		s.client.close(s.last.code, s.last.reason)
		s.dropLegs(ws.CodeGoingAway, "")
	}
	s.close()
}

// close awaits the client's end: its close, unless that is there, and its FIN. A
// server hangs up first (RFC 6455, section 7.1.1).
func (s *session) close() {
	s.phase, s.retry, s.parked = closing, 0, nil
	s.client.conn.Resume()
	if s.client.gotClose || s.client.gotEOF || s.client.deaf {
		s.client.conn.CloseWrite()
	}
	s.until = s.now() + max(s.route.Timeouts.Close, time.Millisecond)
	s.hangUp()
	s.arm()
}

// hangUp ends a session whose client has hung up, when that was told all.
func (s *session) hangUp() {
	if _, waits := s.client.conn.Stalled(); s.phase == closing && s.client.gotEOF && !waits {
		s.finish()
	}
}

// violated ends a session whose client broke the protocol: it is told so.
func (s *session) violated(err error) {
	w := lastWord{reason: err.Error(), side: "client", code: ws.CodeProtocolError}
	var v *ws.Violation
	if errors.As(err, &v) {
		w.code, w.reason = v.Code, v.What
	}
	if w.code == ws.CodeTooBig {
		w.side = "proxy" // it is our limit
	}
	s.client.deaf = true
	s.client.frameAt = 0
	if s.phase == open || s.phase == parting {
		s.last = w
		s.tellClient()
	}
}

// leaveInstance leaves the legs to an instance; with down they are lost.
func (s *session) leaveInstance(inst *upstream.Instance, down bool, spread time.Duration) {
	for _, g := range append([]*leg(nil), s.legs...) {
		switch {
		case g.inst != inst:
		case down && g.session == s && g.stage >= standing:
			s.lose(g, "down", "the instance is down")
		default:
			s.leaveLeg(g, spread)
		}
	}
	s.arm()
}

// leaveMost is how long a leg that is to be left may take to answer what it was
// asked.
const leaveMost = 10 * time.Second

// leaveLeg has no new message go to a leg, and ends it when it owes nothing.
func (s *session) leaveLeg(g *leg, spread time.Duration) {
	switch {
	case g.session != s || g.stage == leaving:
	case g.stage < standing:
		g.failed(upstream.ErrGone)
	default:
		g.stage = leaving
		g.answer = s.now() + s.someOf(spread)
		g.until = g.answer + max(leaveMost, s.route.Scatter.Gather.Timeout)
	}
}

// left ends a leg that is to be left, if it is time.
func (s *session) left(g *leg, now time.Duration) {
	if now >= g.until || now >= g.answer && s.idle(g) {
		g.close(ws.CodeGoingAway, "")
		s.lose(g, "moved", "the instance was left")
	}
}

// schedule has the session end at a time of its own.
func (s *session) schedule(w *Leaving) {
	switch s.phase {
	case opening:
		s.refuse(503, "going_away", w.Reason)
	case open:
		at := s.now() + s.someOf(w.Spread)
		if s.leaveAt == 0 || at < s.leaveAt {
			s.leaveAt, s.parting = at, lastWord{reason: w.Reason, side: "proxy", code: w.Code}
		}
		s.arm()
	}
}

// finish ends the session: the client is gone, or was told and has had its time.
func (s *session) finish() {
	if s.phase == ended {
		return
	}
	s.dropLegs(ws.CodeGoingAway, "")
	if s.client.conn.Live() {
		s.client.conn.Close()
	}
	s.end()
}

// cut ends the session without a word to anybody.
func (s *session) cut() {
	if s.last.side == "" {
		s.last = lastWord{reason: "stopped", side: "proxy"}
	}
	s.dropLegs(0, "")
	s.client.conn.Abort()
	s.end()
}

// Panicked ends a session whose clocks can't be trusted. It is for the loop.
func (s *session) Panicked() { s.cut() }

// end takes the session out of the books. All its connections are gone, or let
// go.
func (s *session) end() {
	if s.phase == ended {
		return
	}
	l := s.loop()
	opened := s.begun == nil
	if s.phase = ended; !opened && s.begun.pick != nil {
		s.begun.pick.Settled()
	}
	l.Disarm(&s.timer)
	s.client.release(l)
	s.crew.remove(s)
	if opened {
		s.report()
	}
	s.route.Ended(s.addr, s.files)
}

// report tells how a session that was open has ended, once.
func (s *session) report() {
	l := s.loop()
	s.route.Counters.Closed(l)
	s.route.Observe.Closed(s.route.Name, s.last.side, s.last.code)
	if !s.route.LogClose {
		return
	}
	code := "none"
	if s.last.code != 0 {
		code = strconv.Itoa(int(s.last.code))
	}
	s.route.Log.Info("session close", "session", strconv.FormatUint(s.id, 16), "route", s.route.Name,
		"client", s.addr.String(), "duration", (l.Now() - s.started).Round(time.Millisecond),
		"client_messages", s.client.messages, "client_bytes", s.client.bytes, "legs", s.numbers,
		"closed_by", cmp.Or(s.last.side, "proxy"), "code", code, "reason", s.last.reason)
}
