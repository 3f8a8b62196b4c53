package scatter

import (
	"errors"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// stage is how far a leg is.
type stage uint8

const (
	waiting  stage = iota // for its instance to have room for a handshake
	asking                // dialled, or its answer is awaited
	standing              // messages go to and fro
	leaving               // no new message goes there; what it owes is awaited
)

// leg is a session's connection to an instance. One that was let go is read on
// without its session, so that what it still sends does not eat our close.
type leg struct {
	end
	session *session // nil: it was let go
	number  uint32   // among the session's
	inst    *upstream.Instance
	from    *upstream.Balancer // that chose it
	pick    *upstream.Choice
	key     string // our Sec-WebSocket-Key
	waits   handshake.Waiter
	stage   stage
	queue   []item        // what it has yet to be sent
	queued  int           // bytes of that
	owes    int           // answers
	used    time.Duration // when a message last came or went
	until   time.Duration // the stage's deadline; 0 for none
	answer  time.Duration // asking: when the whole answer is due
	counted bool          // in the instance's sessions
	denied  bool          // its instance is there, and refused the client
	behind  bool          // it owes too much that comes too late: it is to be lost
	sent    uint64        // messages of the client's that went to it
	ended   uint16        // the code it closed with of its own accord, 1006 for none; 0: it has not ended it
	timer   loop.Timer    // of one that was let go
}

// item is a message that waits for its leg.
type item struct {
	frame []byte
	entry *gather.Entry // nil: it has no id
	seq   uint64        // of entry: that may be another message's by now
	to    *destination
	key   uint64 // what it is about, if keyed
	keyed bool
	tries int
}

var (
	errRefused  = errors.New("the instance refuses the session")
	errMismatch = errors.New("the instance does not agree to what was negotiated with the client")
)

// newLeg makes a leg to an instance.
func (s *session) newLeg(inst *upstream.Instance, from *upstream.Balancer, pick *upstream.Choice) *leg {
	s.numbers++
	g := &leg{session: s, number: s.numbers, inst: inst, from: from, pick: pick, key: handshake.NewKey(s.loop().Nonce()), used: s.now()}
	g.secret = s.secret
	s.legs = append(s.legs, g)
	return g
}

// dial asks the instance.
func (g *leg) dial(head []byte) {
	s := g.session
	l, t := s.loop(), &s.route.Timeouts
	g.stage = asking
	g.answer = l.Now() + t.Handshake
	g.until = min(l.Now()+t.Dial, g.answer)
	l.Dial(&g.conn, g, g.pick.Dial(g.inst), head)
}

// openLeg makes a leg to an instance that the session has none to.
func (s *session) openLeg(to *upstream.Balancer, inst *upstream.Instance) (*leg, error) {
	if !s.makeRoom() {
		return nil, errLegs
	}
	pick := to.For("", "")
	err := pick.Take(inst)
	if err != nil && err != upstream.ErrBusy {
		return nil, err
	}
	g := s.newLeg(inst, to, pick)
	if s.home == nil && (to.Pool() == s.route.home.Pool() || s.route.Scatter.MaxLegs == 1) {
		s.home = g
	}
	if err == upstream.ErrBusy {
		g.stage, g.until, g.answer = waiting, s.now()+busyEvery, s.now()+patience
		return g, nil
	}
	g.counted = true
	g.ask()
	return g, nil
}

// ask asks the instance for the session that the client has already.
func (g *leg) ask() {
	s := g.session
	g.dial(s.saved.Append(nil, &handshake.Forward{
		Target: g.inst.Target(s.saved.Target()), Host: g.pick.Host(g.inst, s.saved.Host()), Key: g.key,
	}))
}

// askAgain asks an instance that had no room for a handshake.
func (g *leg) askAgain(now time.Duration) {
	err := g.pick.Take(g.inst)
	switch {
	case err == upstream.ErrBusy && now < g.answer:
		g.until = now + busyEvery
	case err != nil:
		g.failed(err)
	default:
		g.counted = true
		g.ask()
	}
}

// makeRoom tells whether one leg more is allowed. One that nobody waits for may
// have to go for it, the one that was used least lately; home only where there
// can be no other.
func (s *session) makeRoom() bool {
	if len(s.legs) < s.route.Scatter.MaxLegs {
		return true
	}
	var idle *leg
	for _, g := range s.legs {
		if s.idle(g) && s.quiet(g) && (g != s.home || s.route.Scatter.MaxLegs == 1) && (idle == nil || g.used < idle.used) {
			idle = g
		}
	}
	if idle == nil {
		return false
	}
	s.letGo(idle, ws.CodeNormal, "")
	return true
}

// idle tells whether nobody waits for anything of a leg that stands.
func (s *session) idle(g *leg) bool {
	return g.stage >= standing && len(g.queue) == 0 && !g.in.InMessage() && (g.owes == 0 || !s.book.Owes(g.number))
}

// quiet tells whether nothing more is to be expected of a leg. Where answers aren't
// paired with messages that is one which has said as much as it was told, or nothing
// for as long as answers are awaited.
func (s *session) quiet(g *leg) bool {
	timeout := s.route.Scatter.Gather.Timeout
	return !s.route.id.Zero() || g.messages >= g.sent || timeout > 0 && s.now() >= g.used+timeout
}

// Data takes what the instance says.
func (g *leg) Data(c *loop.Conn, p []byte) (taken int) {
	s := g.session
	if s == nil {
		return len(p)
	}
	g.heard = s.now()
	if g.stage == asking {
		var stands bool
		if taken, stands = g.answered(p); !stands {
			s.arm()
			return taken
		}
	}
	if g.deaf {
		return len(p)
	}
	taken += g.read(g, s.room(), s.route.most(), p[taken:])
	s.room().tidy()
	s.arm()
	return taken
}

// answered reads the instance's answer. stands tells that it is a good 101: what
// is not taken are frames.
func (g *leg) answered(p []byte) (taken int, stands bool) {
	s := g.session
	home := s.phase == opening
	skip, n, status, err := g.waits.Next(p)
	switch rest := p[skip:]; {
	case err == nil && n == 0:
		return skip, false
	case err == nil && status == 101:
		if home {
			err = s.welcomed(g, rest[:n])
		} else {
			err = g.welcomed(rest[:n])
		}
		if err == nil {
			return skip + n, true
		}
	case err == nil && home:
		return skip + s.refused(g, rest, false), false
	case err == nil:
		g.inst.Reached()
		err, g.denied = errRefused, status < 500
		s.route.Complain.Warn("instance refuses a leg", "route", s.route.Name, "instance", g.inst.Name(), "status", strconv.Itoa(status))
	}
	if home {
		s.badGateway(g, err)
	} else {
		g.failed(err)
	}
	return len(p), false
}

// welcomed judges the 101 of a leg behind the first.
func (g *leg) welcomed(head []byte) error {
	s := g.session
	answer, err := s.saved.Offer().Accept(head, g.key)
	if err != nil {
		return err
	}
	if !s.saved.Fits(answer) {
		return errMismatch
	}
	g.inst.Reached()
	g.pick.Settled()
	g.stands()
	return nil
}

// stands starts the leg's clocks and sends what has waited for it.
func (g *leg) stands() {
	s := g.session
	now := s.now()
	g.stage, g.until, g.heard, g.used, s.vain = standing, 0, now, now, 0
	if every := s.route.Timeouts.Ping; every > 0 {
		g.due = now + time.Duration(s.loop().Random()%uint64(every))
		if g.inst.WantsRTT() {
			g.due = now
		}
	}
	g.flush()
	s.unclog() // the client may have waited for that
	s.conclude()
}

// send has a message go to the instance, as soon as that takes it.
func (g *leg) send(it item) {
	s := g.session
	g.used = s.now()
	if g.stage >= standing && len(g.queue) == 0 && !g.conn.Full() {
		g.write(&it)
		return
	}
	it.frame = append([]byte(nil), it.frame...)
	g.queue = append(g.queue, it)
	g.queued += len(it.frame)
}

// write sends a message, unless its client has been told meanwhile that it came to
// nothing.
func (g *leg) write(it *item) {
	s := g.session
	if e := it.entry; e != nil {
		if e.Seq != it.seq || e.Over() {
			if e.Seq == it.seq {
				s.book.Unsent(e, g.number)
			}
			return
		}
		e.Out = true
	}
	g.sent++
	g.conn.Write(it.frame)
	s.route.Counters.Count(s.loop(), loop.ToUpstream, 1, uint64(len(it.frame)))
	g.inst.Traffic(s.loop().Index, 1, uint64(len(it.frame)))
}

// flush sends what waits, as far as the instance takes it.
func (g *leg) flush() {
	for len(g.queue) > 0 && !g.conn.Full() {
		it := g.queue[0]
		g.queue[0] = item{}
		g.queue = g.queue[1:]
		g.queued -= len(it.frame)
		g.write(&it)
	}
	if len(g.queue) == 0 {
		g.queue = nil
	}
}

// Drained has the instance get what waits.
func (g *leg) Drained(*loop.Conn) {
	s := g.session
	if s == nil {
		return
	}
	g.drained()
	if g.stage >= standing {
		g.flush()
		s.unclog()
		s.conclude()
		s.arm()
	}
}

// EOF is the instance's last byte.
func (g *leg) EOF(c *loop.Conn) {
	s := g.session
	switch {
	case s == nil:
		c.Loop().Disarm(&g.timer)
		g.conn.Close()
	case g.stage == asking && s.phase == opening:
		if p := c.Kept(); len(p) > 0 {
			if status, err := handshake.Status(p); err == nil && status >= 200 {
				s.refused(g, p, true)
				return
			}
		}
		g.failed(upstream.ErrHungUp)
	default:
		g.failed(upstream.ErrHungUp)
	}
}

// Failed is a connection that broke, or was never made.
func (g *leg) Failed(_ *loop.Conn, err error) {
	if g.session != nil {
		g.failed(err)
	}
}

// Expire ends a connection whose end does not come.
func (g *leg) Expire(time.Duration) time.Duration {
	g.conn.Close()
	return 0
}

// Panicked is for the loop.
func (g *leg) Panicked() { g.conn.Abort() }

// begins lets a message in while the client takes what it is sent.
func (g *leg) begins() verdict {
	if s := g.session; s.client.conn.Full() || s.book.Crowded(g.number) {
		return wait
	}
	return pass
}

// control treats a control frame of the instance's.
func (g *leg) control(op ws.Opcode, payload []byte) error {
	switch op {
	case ws.Ping:
		g.pinged(payload)
	case ws.Pong:
		g.inst.Alive()
		if rtt, ok := g.ponged(payload); ok {
			g.inst.RTT(rtt)
		}
	case ws.CloseFrame:
		return g.closed(payload)
	}
	return nil
}

// violated ends a leg that broke the protocol: it is told so.
func (g *leg) violated(err error) {
	code := ws.CodeProtocolError
	var v *ws.Violation
	if errors.As(err, &v) {
		code = v.Code
	}
	g.close(code, "")
	g.ended = code
	g.session.lose(g, "violation", err.Error())
}
