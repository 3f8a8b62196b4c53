package relay

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/health"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// stage is how far another leg is.
type stage uint8

const (
	waiting   stage = iota // no instance at the moment: tried again at until
	asking                 // dialled, or its answer is awaited
	replaying              // the opening was sent; answers to it are awaited
	standing               // ready; the old leg still serves
	hushing                // the client is not read: the old leg finishes what it was asked
	proving                // it has yet to prove that it read everything
	leaving                // it was told 1001, and says what it still has to say
)

// relief is another leg, on its way to take a session over. It belongs to the
// session's loop.
type relief struct {
	leg     *side
	inst    *upstream.Instance
	from    *upstream.Instance // that has the session, or had it
	tried   []*upstream.Instance
	key     string
	waits   handshake.Waiter
	backoff health.Backoff
	why     string
	stage   stage
	lost    bool          // the old leg is gone
	said    int           // whole messages that came of it and went nowhere
	awaited int           // so many of them make it stand
	opening int           // bytes of the opening that it was sent
	until   time.Duration // when the stage is to be looked at, or over
	over    time.Duration // when the whole attempt must be; 0: never
	answer  time.Duration // when the instance's answer must be there
	began   time.Duration
	since   time.Duration // the stage began
}

var (
	errRefused  = errors.New("the instance refuses the session")
	errMismatch = errors.New("the instance does not agree to what was negotiated with the client")
	errSilent   = errors.New("the instance did not give greeting and answers to the replayed opening in time")
)

// resume goes on with another instance, now that the leg is lost. It tells why
// it can't.
func (s *session) resume(name string) error {
	k, now := s.kept, s.now()
	if s.client.gotClose || s.client.gotEOF || s.insideMessage() || s.phase != open {
		return errEnding
	}
	k.Tick(s.kept.rules, s.loop(), now)
	dropped, err := k.Lost(s.kept.rules)
	if err != nil {
		return err
	}
	if dropped > 0 {
		s.route.Observe.Unproven(s.route.Name, "dropped", dropped)
	}
	s.route.Complain.Warn("instance lost; others are asked for its sessions", "route", s.route.Name, "instance", s.inst.Name(), "why", name)
	s.client.conn.Pause()
	s.answerPing()
	s.leg.deaf = true
	s.leg.conn.Close()
	s.phase, s.until = resuming, 0
	r := k.relief
	if r == nil {
		r = &relief{from: s.inst, tried: []*upstream.Instance{s.inst}, began: now, since: now}
		k.relief = r
	}
	r.lost, r.why, r.over = true, name, now+s.route.Failover.Timeout
	s.inst.Ended(s.leg.ended)
	s.inst.Release()
	s.inst = nil
	switch {
	case r.stage >= standing && k.Misses(k.rules, r.said):
		s.dismiss(r)
		r.inst.Release()
		r.inst, r.stage, r.tried = nil, waiting, r.tried[:len(r.tried)-1] // it may be asked again
		s.dialRelief()
	case r.stage >= standing:
		s.takeOver()
	case r.stage == waiting:
		if wait := min(k.respite(now), s.route.Failover.Timeout/2); wait > 0 {
			r.until = min(now+wait, r.over)
		} else {
			s.dialRelief()
		}
	case r.stage == asking:
		r.answer = min(r.answer, now+r.patience(now, s.route.Timeouts.Handshake))
		r.until = min(r.until, r.answer)
	}
	s.loop().Arm(&s.timer, s, s.nextDeadline(now))
	return nil
}

// respite is how long no other instance is asked, now that the leg is lost: longer
// and longer where one after the other takes the session and hangs up at once.
func (k *kept) respite(now time.Duration) time.Duration {
	if k.stood == 0 || now >= k.stood+askAgain {
		k.brief = 0
		return 0
	}
	k.brief++
	return min(time.Duration(k.brief)*respiteStep, askAgain)
}

// respiteStep is by how much longer each time.
const respiteStep = 25 * time.Millisecond

var errEnding = errors.New("the session is ending")

// dialRelief asks the next instance.
func (s *session) dialRelief() {
	k, l := s.kept, s.loop()
	r := k.relief
	var inst *upstream.Instance
	var err error
	if p := k.plan; p != nil && p.target != nil && !r.lost {
		inst, err = k.pick.This(p.target, r.tried)
	} else {
		inst, err = k.pick.Instance(r.tried)
	}
	if err != nil {
		s.noRelief(err)
		return
	}
	r.tried = append(r.tried, inst)
	k.resumes++
	r.inst, r.leg, r.waits, r.stage, r.said = inst, &side{}, handshake.Waiter{}, asking, 0
	r.key = handshake.NewKey(l.Nonce())
	head := k.asked.Append(nil, &handshake.Forward{
		Target: inst.Target(k.asked.Target()), Host: k.pick.Host(inst, k.asked.Host()), Key: r.key,
		Header: handshake.Header{"Sluice-Resume": {strconv.Itoa(int(k.resumes))}},
	})
	l.Dial(&r.leg.conn, s, k.pick.Dial(inst), head)
	r.answer = l.Now() + r.patience(l.Now(), s.route.Timeouts.Handshake)
	r.until = min(l.Now()+s.route.Timeouts.Dial, r.answer)
	s.loop().Arm(&s.timer, s, r.until)
}

// leastPatience is the shortest time that an instance has for its answer.
const leastPatience = 250 * time.Millisecond

// patience is the time that an instance has for its answer. While the client
// waits it is half of what is left, so that one that is frozen, and takes
// connections without a word, leaves time for another.
func (r *relief) patience(now, handshake time.Duration) time.Duration {
	if !r.lost {
		return handshake
	}
	return min(handshake, max((r.over-now)/2, leastPatience))
}

// askAgain is the longest pause before all instances are asked again for a
// session whose client waits.
const askAgain = time.Second

// noRelief waits before all instances are asked again.
func (s *session) noRelief(err error) {
	k, now := s.kept, s.now()
	r := k.relief
	switch {
	case err == upstream.ErrBusy:
		r.stage, r.until = waiting, now+queueEvery+s.someOf(4*queueEvery)
		s.loop().Arm(&s.timer, s, r.until)
		return
	case !r.lost:
		s.putOff(now)
		return
	}
	r.tried = r.tried[:0]
	r.stage, r.until = waiting, min(now+min(r.backoff.Next(s.loop().Random()), askAgain), r.over)
	s.loop().Arm(&s.timer, s, r.until)
}

// reliefFailed gives up on an instance, and goes on to the next.
func (s *session) reliefFailed(err error) {
	k := s.kept
	r := k.relief
	k.pick.Settled()
	r.leg.conn.Abort()
	if r.stage == asking && !errors.Is(err, errRefused) && err != errMismatch && err != upstream.ErrGone {
		r.inst.Unreachable(err)
		s.route.Observe.DialError(upstream.Reason(err))
	}
	s.route.Complain.Warn("instance can't take a session over", "session", strconv.FormatUint(s.id, 16), "route", s.route.Name, "instance", r.inst.Name(), "err", err)
	r.inst.Release()
	r.inst = nil
	left := r.stage == leaving && !r.lost
	r.stage, r.until = waiting, 0
	if left { // the old leg was told to go: there is no way back
		s.lose("moved", "the instance was left", true)
		return
	}
	s.readClient()
	s.dialRelief()
}

// reliefClock holds a relief's clocks against now.
func (s *session) reliefClock(now time.Duration) {
	r := s.kept.relief
	switch due := r.until != 0 && now >= r.until; {
	case r.lost && now >= r.over:
		result := "timeout"
		if r.stage == waiting {
			result = "no_instance"
		}
		s.giveUpRelief(result, lastWord{reason: "no instance has taken the session over in time", side: "proxy", code: ws.CodeTryLater})
	case due && r.stage == waiting:
		r.until = 0
		s.dialRelief()
	case due && r.stage == asking && (r.leg.conn.Connecting() || now >= r.answer):
		s.reliefFailed(upstream.ErrDialTimeout)
	case due && r.stage == asking:
		r.until = r.answer
	case due && r.stage == replaying:
		s.reliefFailed(fmt.Errorf("%w: %d messages of %d", errSilent, r.said, r.awaited))
	case due:
		r.until = 0
		s.step(now)
	}
}

// giveUpRelief ends a session that no instance takes.
func (s *session) giveUpRelief(result string, w lastWord) {
	s.route.Observe.Failover(s.route.Name, s.kept.relief.why, result)
	s.dropRelief()
	s.last, s.phase, s.until = w, lost, s.now()+s.someOf(s.route.Failover.Spread)
	s.client.conn.Resume()
	s.loop().Arm(&s.timer, s, s.until)
}

// dropRelief lets go of another leg that is not wanted any more.
func (s *session) dropRelief() {
	if s.kept == nil {
		return
	}
	s.dropPlan()
	r := s.kept.relief
	if s.kept.relief = nil; r == nil {
		return
	}
	s.kept.pick.Settled()
	if r.leg != nil {
		s.dismiss(r)
	}
	if r.inst != nil {
		r.inst.Release()
	}
}

// dismiss ends the connection of a relief: in good order where it stands.
func (s *session) dismiss(r *relief) {
	if r.stage >= standing && r.leg.conn.Live() {
		key := s.loop().MaskKey()
		r.leg.conn.Write(ws.AppendClose(s.loop().Scratch(), ws.CodeGoingAway, "", &key))
		r.leg.conn.Close()
		return
	}
	r.leg.conn.Abort()
}

// reliefData is what another leg sends before it takes over.
func (s *session) reliefData(p []byte) (taken int) {
	r := s.kept.relief
	r.leg.heard = s.now()
	if r.stage != asking {
		return s.aside(p)
	}
	skip, n, status, err := r.waits.Next(p)
	switch rest := p[skip:]; {
	case err != nil:
		s.reliefFailed(err)
	case n == 0:
		return skip
	case status == 101:
		return skip + n + s.stands(rest[:n], rest[n:])
	case status >= 400 && status < 500 && r.lost:
		r.inst.Reached()
		s.route.Complain.Warn("instance refuses to take a session over", "route", s.route.Name, "instance", r.inst.Name(), "status", status)
		s.giveUpRelief("refused", lastWord{reason: "no instance takes the session over: answered " + strconv.Itoa(status), side: "upstream", code: ws.CodeRestart})
	default:
		r.inst.Reached()
		s.reliefFailed(fmt.Errorf("%w: answered %d", errRefused, status))
	}
	return len(p)
}

// stands judges the 101 of another leg and makes the session known to it. rest
// are its first frames.
func (s *session) stands(head, rest []byte) (taken int) {
	k, now := s.kept, s.now()
	r := k.relief
	a, err := k.asked.Offer().Accept(head, r.key)
	if err == nil && !k.asked.Fits(a) {
		err = errMismatch
	}
	r.inst.Reached()
	if err != nil {
		s.reliefFailed(err)
		return len(rest)
	}
	k.pick.Settled()
	r.opening, r.awaited = len(k.Opening()), k.Skips()
	r.leg.conn.Write(k.Opening())
	if r.stage, r.until = standing, 0; r.opening > 0 && r.awaited > 0 {
		r.stage, r.until = replaying, now+s.route.Failover.Replay.Timeout
		s.loop().Arm(&s.timer, s, r.until)
	}
	return s.proceed(rest)
}

// proceed goes on with a relief that may be standing: it takes over, if the old
// leg is gone, or is told of what rest holds.
func (s *session) proceed(rest []byte) (taken int) {
	r := s.kept.relief
	switch {
	case r.stage == standing && r.lost:
		s.takeOver()
		if len(rest) == 0 {
			return 0
		}
		return s.relayFrom(s.leg, &s.client, rest)
	case r.stage == standing:
		s.step(s.now())
	}
	if len(rest) == 0 || s.kept.relief == nil {
		return len(rest)
	}
	return s.aside(rest)
}

// aside walks what another leg sends while the old one serves the client: what
// the client has already, and what the old leg tells it.
func (s *session) aside(p []byte) (taken int) {
	r := s.kept.relief
	for at := 0; at < len(p); {
		piece, err := r.leg.in.Next(p[at:])
		if err != nil {
			s.reliefFailed(err)
			return len(p)
		}
		switch piece.Kind {
		case ws.More:
			return at
		case ws.Control:
			frame := p[at:][:piece.N]
			at += piece.N
			if !s.asideControl(r, frame[piece.Head:]) {
				return len(p)
			}
		case ws.Data:
			at += piece.N
			if !piece.End || !r.leg.in.MessageEnd() {
				continue
			}
			if r.said++; r.stage == replaying && r.said >= r.awaited {
				r.stage, r.until = standing, 0
				return at + s.proceed(p[at:])
			}
		}
	}
	return len(p)
}

// asideControl answers for the client. It is false when the leg is over.
func (s *session) asideControl(r *relief, payload []byte) bool {
	switch r.leg.in.Header.Opcode {
	case ws.Ping:
		s.inject(r.leg, ws.Pong, payload)
	case ws.CloseFrame:
		if code, reason, err := ws.ParseClose(payload); err == nil && r.lost && s.route.meansClient(code) {
			s.turnedAway(code, string(reason))
		} else {
			s.reliefFailed(upstream.ErrHungUp)
		}
		return false
	}
	return true
}

// turnedAway gives the client what an instance told it that was to go on with its
// session: a close of the application's, for one that it does not want.
func (s *session) turnedAway(code uint16, reason string) {
	r := s.kept.relief
	key := s.loop().MaskKey()
	r.leg.conn.Write(ws.AppendClose(s.loop().Scratch(), code, "", &key))
	r.leg.conn.Close()
	s.giveUpRelief("refused", lastWord{reason: reason, side: "upstream", code: code})
	s.until = s.now()
	s.loop().Arm(&s.timer, s, s.until)
}

// takeOver has the other leg serve the session from now on.
func (s *session) takeOver() {
	k, now := s.kept, s.now()
	r, old := k.relief, s.leg
	skip := max(k.Skips()-r.said, 0)
	if r.leg.in.InMessage() { // half of one went nowhere
		skip = max(skip, 1)
	}
	from := s.inst
	s.leg, s.inst = r.leg, r.inst
	s.leg.messages, s.leg.bytes = s.leg.messages+old.messages, s.leg.bytes+old.bytes
	s.leg.heard = now
	if s.phase == resuming {
		s.phase = open
	}
	if every := s.route.Timeouts.Ping; every > 0 {
		s.leg.pingDue = now + time.Duration(s.loop().Random()%uint64(every))
	}
	s.leg.conn.Write(k.Opening()[min(r.opening, len(k.Opening())):]) // what the client has said of it since
	again, n := k.Switch(s.loop(), skip, r.lost)
	if p := k.plan; p != nil && p.moves != nil && !r.lost {
		p.moves.Done.Add(1)
	}
	s.dropPlan()
	k.relief = nil
	s.answerPing()
	if s.client.frameAt != 0 {
		s.client.frameAt = now // it was not read
	}
	k.clientSpoke, k.legSpoke, k.stood = now, now, now
	if from != nil {
		from.Ended(ws.CodeNormal)
		from.Release()
	}
	if n > 0 {
		s.leg.conn.Write(again)
		s.ping(s.leg)
		s.route.Observe.Unproven(s.route.Name, "resent", uint64(n))
	}
	s.reportMoved(r, now)
	s.stayOrGo(now)
	s.leg.conn.Resume()
	s.readClient()
	s.loop().Arm(&s.timer, s, s.nextDeadline(now))
}

// reportMoved tells that a session has another instance.
func (s *session) reportMoved(r *relief, now time.Duration) {
	if r.lost {
		s.route.Observe.Failover(s.route.Name, r.why, "kept")
	} else {
		s.route.Observe.Moved(s.route.Name, r.why)
	}
	log := s.route.Log.Debug
	if s.route.LogOpen {
		log = s.route.Log.Info
	}
	log("session moved", "session", strconv.FormatUint(s.id, 16), "route", s.route.Name, "from", r.from.Name(), "to", s.inst.Name(),
		"why", r.why, "lost", r.lost, "took", (now - r.began).Round(time.Millisecond))
}
