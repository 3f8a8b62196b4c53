package scatter

import (
	"net/netip"
	"time"

	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/rule"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// phase is where a session is in its life.
type phase uint8

const (
	opening  phase = iota // home is asked
	refusing              // an HTTP refusal is under way to the client
	open                  // messages go to and fro
	parting               // the client is not read any more; what it was promised is awaited
	lost                  // no instance is left; the client is closed at its time
	closing               // the client was told; its end is awaited
	ended
)

// session is one client and its legs. It belongs to one loop.
type session struct {
	// Set once, then read-only.
	scatter *Scatter
	crew    *crew
	id      uint64
	secret  uint64
	addr    netip.Addr
	files   int64
	asked   *rule.Request
	started time.Duration

	// Owned by the loop.
	route      *Route
	client     end
	legs       []*leg
	home       *leg // the first of them, or what has taken its place; nil: none has
	saved      handshake.Saved
	book       gather.Book
	begun      *beginning // what only the opening needs; nil afterwards
	parked     *mail      // a message that can't go anywhere yet; nil: none
	shunned    []shunned
	timer      loop.Timer
	next, prev *session      // the loop's sessions
	active     time.Duration // when a message last came, either way
	until      time.Duration // the phase's deadline; 0 for none
	leaveAt    time.Duration // when the session is to end; 0: not yet
	retry      time.Duration // when what can't be sent is tried again; 0: nothing is
	tokens     limit.Bucket  // client messages
	pings      limit.Bucket  // client pings
	throttled  time.Duration // the client is not read until then; 0 for no such wait
	told       int           // bytes of our own answers since the client last took what waited for it
	numbers    uint32        // of legs, the latest
	vain       int           // legs that came to nothing since one stood
	last       lastWord
	parting    lastWord // what it will be from leaveAt on
	phase      phase
	deflate    bool // permessage-deflate was agreed on with the client
}

// lastWord is what the client is told at the end, and who caused it.
type lastWord struct {
	reason string
	side   string // client, upstream or proxy
	code   uint16 // 0: none was or can be told
}

// shunned is an instance that a leg was lost to: others are asked first for a
// while.
type shunned struct {
	inst  *upstream.Instance
	until time.Duration
	vain  bool // it never stood
}

// shunFor is how long.
const shunFor = time.Second

func (s *session) loop() *loop.Loop   { return s.client.conn.Loop() }
func (s *session) now() time.Duration { return s.loop().Now() }
func (s *session) room() *room        { return &s.crew.room }

// Data takes what the client says.
func (s *session) Data(c *loop.Conn, p []byte) int {
	s.client.heard = s.now()
	switch {
	case s.phase == opening:
		c.Pause() // what follows the request waits for the answer
		return 0
	case s.client.deaf, s.phase == refusing:
		return len(p)
	}
	n := s.client.read(s, s.room(), s.route.Limits.MessageSizeClient, p)
	s.room().tidy()
	s.arm()
	return n
}

// EOF is the client's last byte.
func (s *session) EOF(*loop.Conn) {
	s.client.gotEOF = true
	_, waits := s.client.conn.Stalled()
	switch {
	case s.phase == opening || s.phase == refusing:
		s.abandon()
	case s.phase == closing:
		s.hangUp()
	case s.phase == parting: // what is awaited ends it
	case s.phase == lost && !waits:
		s.blame(lastWord{reason: "the client hung up", side: "client"})
		s.finish()
	default: // it may still read what it has asked for, or was answered
		s.client.deaf = true
		s.part(lastWord{reason: "the client hung up", side: "client", code: ws.CodeNormal}, s.route.Timeouts.Close)
	}
}

// Failed is the end of the client's connection that nobody ended in good order.
func (s *session) Failed(*loop.Conn, error) {
	if s.phase == opening || s.phase == refusing {
		s.abandon()
		return
	}
	s.clientGone("the client's connection broke")
}

// clientGone ends a session whose client is no more.
func (s *session) clientGone(reason string) {
	if s.phase < closing {
		s.last = lastWord{reason: reason, side: "client"}
	}
	s.finish()
}

// Drained lets the legs be read again.
func (s *session) Drained(*loop.Conn) {
	s.client.drained()
	if s.client.conn.Full() {
		return
	}
	if s.hangUp(); s.phase == ended {
		return
	}
	s.readLegs()
	s.told = 0
	s.unclog()
}

// readLegs lets the legs be read again that what was in the way of is gone.
func (s *session) readLegs() {
	if s.client.conn.Full() {
		return
	}
	for _, g := range s.legs {
		if g.stage >= standing && !s.book.Crowded(g.number) {
			g.conn.Resume()
		}
	}
}

// begins judges whether the client's next message is taken now. Once the client is
// to be told the end, its messages are passed over: its close is behind them.
func (s *session) begins() verdict {
	switch {
	case s.phase >= lost:
		return pass
	case s.phase != open || s.clogged():
		return wait
	}
	limits := &s.route.Limits
	if limits.MessageRate == 0 {
		return pass
	}
	ready, at := s.tokens.Take(s.now(), limits.MessageRate, limits.MessageBurst)
	switch {
	case ready:
		return pass
	case limits.MessageOver == "close":
		s.leave(lastWord{reason: "too many messages", side: "proxy", code: ws.CodePolicy})
		return s.begins()
	}
	s.throttled = at
	return wait
}

// clogged tells whether the client's next message has to wait for an instance:
// one that is behind with what it was sent, or that owes too many answers; or
// until it reads what it was told in their place.
func (s *session) clogged() bool {
	if s.parked != nil || s.throttled != 0 || s.told >= mostTold || s.book.Full() {
		return true
	}
	for _, g := range s.legs {
		if g.queued >= int(s.route.Scatter.Buffer) {
			return true
		}
	}
	return false
}

// unclog lets the client be read again where nothing is in the way any more.
func (s *session) unclog() {
	if p := s.parked; p != nil && s.phase <= parting {
		s.parked = nil
		s.deliver(p)
	}
	if s.client.conn.Paused() && s.phase == open && !s.clogged() {
		s.client.conn.Resume()
	}
}

// mayPing takes a token for a client's ping.
func (s *session) mayPing() bool {
	most := s.route.Limits.PingsPerSecond
	if most == 0 {
		return true
	}
	ready, _ := s.pings.Take(s.now(), float64(most), most)
	return ready
}

// control treats a control frame of the client's. Pings and pongs are between two
// neighbours here: there is no one instance to pass them to.
func (s *session) control(op ws.Opcode, payload []byte) error {
	switch op {
	case ws.Ping:
		if !s.mayPing() {
			s.leave(lastWord{reason: "too many pings", side: "proxy", code: ws.CodePolicy})
			return nil
		}
		s.client.pinged(payload)
	case ws.Pong:
		s.client.ponged(payload)
	case ws.CloseFrame:
		return s.closed(payload)
	}
	return nil
}
