package relay

import (
	"net/netip"
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// phase is where a session is in its life.
type phase uint8

const (
	opening   phase = iota // dialling, or waiting for the instance's answer
	refusing               // an HTTP refusal is under way to the client
	open                   // frames are relayed
	resuming               // the leg is gone and another instance is asked; the client waits
	scheduled              // open, and to be ended at a time already chosen
	parting                // the instance was told 1001; what it still says is relayed
	lost                   // the leg is gone; the client will be closed at its time
	closing                // the client was told; both ends are awaited
	ended
)

// side is one leg of a session and the direction that comes from it.
type side struct {
	conn loop.Conn
	in   ws.Parser

	heard    time.Duration // when the last byte came
	frameAt  time.Duration // when the frame under way began; 0 for none
	pingDue  time.Duration // when our next ping is due; 0 for never
	pingSent time.Duration // when the last unanswered one was sent; 0 for none
	size     int64         // payload bytes of the message under way, from its frames' headers
	messages uint64        // whole messages that came from it
	bytes    uint64        // bytes of data frames that came from it
	pingSeq  uint32        // how many pings of ours it has been sent
	ended    uint16        // the code it closed with of its own accord, 1006 for none; 0: it has not ended it

	sentClose bool
	gotClose  bool
	gotEOF    bool
	wantPing  bool // a ping is due and waits for the end of a frame
	fairPing  bool // nothing waited before the last ping: its pong measures the peer
	deaf      bool // what comes is read and thrown away
}

// session is one client and its instance. It belongs to one loop.
type session struct {
	// Set once, then read-only.
	relay   *Relay
	route   *Route
	id      uint64
	secret  uint64 // our pings carry secret+n: only their pongs stop here
	addr    netip.Addr
	started time.Duration

	// Owned by the loop.
	client     side
	leg        *side // its Conn can't move in memory, so another leg is another side
	inst       *upstream.Instance
	begun      *beginning // what only the opening needs; nil afterwards
	kept       *kept      // what keeping the client needs; nil where it is not kept
	timer      loop.Timer
	next, prev *session      // the loop's sessions
	active     time.Duration // when data last came, either way
	until      time.Duration // the phase's deadline; 0 for none
	tokens     limit.Bucket  // client messages
	pings      limit.Bucket  // client pings
	throttled  time.Duration // the client is not read until then; 0 for no such wait
	last       lastWord
	phase      phase
}

// lastWord is what the client is told at the end, and who caused it.
type lastWord struct {
	reason string
	side   string // client, upstream or proxy
	code   uint16 // 0: none was or can be told
}

// sides gives the side that c is, and the other one.
func (s *session) sides(c *loop.Conn) (from, to *side) {
	if c == &s.client.conn {
		return &s.client, s.leg
	}
	return s.leg, &s.client
}

// relieves tells whether c is another leg's, which has yet to take over.
func (s *session) relieves(c *loop.Conn) bool {
	return s.kept != nil && s.kept.relief != nil && s.kept.relief.leg != nil && c == &s.kept.relief.leg.conn
}

// loop gives the session's loop. It is valid once the client is attached.
func (s *session) loop() *loop.Loop { return s.client.conn.Loop() }

func (s *session) now() time.Duration { return s.loop().Now() }

// Data relays what came, or treats it as the phase asks.
func (s *session) Data(c *loop.Conn, p []byte) int {
	if s.relieves(c) {
		return s.reliefData(p)
	}
	from, to := s.sides(c)
	from.heard = s.now()
	switch {
	case (s.phase == opening || s.phase == resuming) && from == &s.client:
		c.Pause() // what follows the request waits for the answer
		return 0
	case s.phase == opening:
		return s.answered(p)
	case from.deaf || s.phase == refusing:
		return len(p)
	}
	return s.relayFrom(from, to, p)
}

// EOF is a peer's last byte.
func (s *session) EOF(c *loop.Conn) {
	if s.relieves(c) {
		s.reliefFailed(upstream.ErrHungUp)
		return
	}
	from, to := s.sides(c)
	from.gotEOF = true
	from.heard = s.now()
	switch {
	case s.phase == opening && from == &s.client:
		s.abandon()
	case s.phase == opening:
		s.hungUp()
	case s.phase == lost && from == &s.client:
		s.tellClient()
	case s.phase == resuming && from == &s.client:
		s.clientGone(false, "the client hung up")
	case s.changes() && from == s.leg:
		s.changeOver()
	case s.phase == refusing || s.phase >= lost || from.gotClose || from.sentClose && from == &s.client:
		s.answerFor(from)
		s.settle(from)
		s.settle(to)
	case from == &s.client && s.phase == parting: // it is told why all the same
	case from == &s.client:
		s.halfClosed()
	default:
		s.legEnded("hung_up", "the instance hung up")
	}
}

// Drained lets the other side be read again.
func (s *session) Drained(c *loop.Conn) {
	if s.relieves(c) {
		return
	}
	to, from := s.sides(c)
	if from == &s.client {
		s.readClient()
	} else if s.phase != opening {
		from.conn.Resume()
	}
	if s.phase != open {
		s.settle(to)
	}
}

// Failed is the end of a connection that nobody ended in good order.
func (s *session) Failed(c *loop.Conn, err error) {
	if s.relieves(c) {
		s.reliefFailed(err)
		return
	}
	from, _ := s.sides(c)
	switch {
	case s.phase == opening && from == s.leg:
		s.legFailed(err)
	case s.phase == opening || s.phase == refusing:
		s.abandon()
	case from == &s.client:
		s.clientGone(loop.IsReset(err), "the client's connection broke")
	case s.changes():
		s.changeOver()
	case s.phase >= lost || s.leg.gotClose:
		s.answerFor(from)
		s.settle(from)
	default:
		s.legEnded("broken", "the instance's connection broke")
	}
}
