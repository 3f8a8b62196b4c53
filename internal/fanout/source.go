package fanout

import (
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/health"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// state is where a source's connection is in its life.
type state uint8

const (
	idle    state = iota // nothing is under way
	looking              // a name is looked up
	dialing              // connecting, or waiting for the answer
	open
	over // the stream is no more
)

// source is a stream's connection, and the next one when that is lost. It
// belongs to the stream's loop.
type source struct {
	stream *Stream
	line   *line      // nil: it is the only one, and has all of the route's URLs
	conn   *loop.Conn // of leg
	leg    *leg
	in     ws.Parser
	timer  loop.Timer
	state  state

	// The search for a connection.
	endpoints []*upstream.Endpoint // the URLs, as they were when the round began
	url       int                  // which of them is tried
	tried     int                  // URLs of this round
	dials     []*loop.Dial         // ways to the URL that are left
	key       string
	offer     *handshake.Offer
	waits     handshake.Waiter
	err       error // the last that went wrong
	backoff   health.Backoff
	// failedAt is when the last round came to nothing, and attempt what it
	// was part of.
	failedAt time.Duration
	attempt  *attempt
	retry    time.Duration // when the next round is; 0 for none
	until    time.Duration // when what is under way must be over; 0 for nothing
	answer   time.Duration // dialing: when the whole answer is due

	// The connection.
	opened  time.Duration
	heard   time.Duration // when the last byte came
	asked   time.Duration // when the last unanswered ping was sent; 0 for none
	due     time.Duration // when our next ping is
	keep    time.Duration // when the next keepalive is
	frameAt time.Duration // when the frame under way began; 0 for none
	message []byte        // of the message under way, what has come
	op      ws.Opcode
	deflate bool // the message under way is compressed
	inflate ws.Inflater
	plain   []byte
	greeted int    // messages since it was opened, up to those of the greeting
	pong    []byte // the answer to its latest ping, when that waits for room
	ponging bool

	// A source that is a Sluice.
	epoch string  // its name for the messages; "" for any other source
	next  uint64  // and the number of the one to come
	known uint64  // messages to come that the log has already
	late  uint64  // messages until those begin who wait for the live end
	turns []epoch // that are to begin, by the log's numbers
}

// leg is one connection to the source. One that was told a close is read on
// without its source, so that what it still sends does not eat that.
type leg struct {
	conn   loop.Conn
	source *source // nil: it was let go
	timer  loop.Timer
}

// Data shows the source what came.
func (g *leg) Data(c *loop.Conn, p []byte) int {
	if g.source == nil {
		return len(p)
	}
	return g.source.Data(c, p)
}

// EOF is the connection's last byte.
func (g *leg) EOF(c *loop.Conn) {
	if g.source == nil {
		g.conn.Close()
		return
	}
	g.source.EOF(c)
}

// Drained lets more be written.
func (g *leg) Drained(c *loop.Conn) {
	if g.source != nil {
		g.source.Drained(c)
	}
}

// Failed is a connection that broke, or was never made.
func (g *leg) Failed(c *loop.Conn, err error) {
	if g.source != nil {
		g.source.Failed(c, err)
	}
}

// Expire ends a connection whose end does not come.
func (g *leg) Expire(time.Duration) time.Duration {
	g.conn.Close()
	return 0
}

// fresh makes place for another connection.
func (s *source) fresh() {
	s.leg = &leg{source: s}
	s.conn = &s.leg.conn
}

// Drained has the source get what waits for it.
func (s *source) Drained(*loop.Conn) {
	if s.ponging && s.state == open && !s.conn.Full() {
		s.ponging = false
		s.inject(ws.Header{Fin: true, Opcode: ws.Pong}, s.pong)
	}
	if s.stream.speaker() == s {
		s.stream.unqueue(s)
	}
}

// Data reads the answer, then messages.
func (s *source) Data(_ *loop.Conn, p []byte) (taken int) {
	s.heard = s.stream.loop.Now()
	if s.state == dialing {
		n, done := s.answered(p)
		if !done {
			return n
		}
		taken = n
	}
	if s.state != open {
		return len(p)
	}
	taken += s.read(p[taken:])
	s.stream.publish()
	return taken
}

// read walks the frames at the start of p and puts whole messages into the log.
//
// Fast path: a message that came in one frame is copied once.
func (s *source) read(p []byte) (taken int) {
	for taken < len(p) && s.state == open {
		piece, err := s.in.Next(p[taken:])
		if err != nil {
			s.violated(err)
			return len(p)
		}
		b := p[taken : taken+piece.N]
		taken += piece.N
		switch piece.Kind {
		case ws.More:
			s.pace(true, false)
			return taken
		case ws.Control:
			s.hear(b[piece.Head:])
		case ws.Data:
			err = s.data(&piece, b)
		}
		if err != nil {
			s.violated(err)
			return len(p)
		}
		s.pace(s.in.InFrame(), piece.End)
	}
	return taken
}

// pace keeps the clock of a frame that is not whole; edge tells that another
// one has ended.
func (s *source) pace(partial, edge bool) {
	switch {
	case !partial:
		s.frameAt = 0
	case s.frameAt == 0 || edge:
		s.frameAt = s.stream.loop.Now()
		s.wake(s.frameAt, s.stream.route().Timeouts.Frame)
	}
}

// data takes a piece of a message.
func (s *source) data(piece *ws.Piece, b []byte) error {
	h := &s.in.Header
	if piece.Start {
		if h.Opcode != ws.Continuation {
			s.op, s.deflate, s.message = h.Opcode, h.RSV == ws.RSV1, s.message[:0]
		}
		if most := s.most(); h.Length > most || uint64(len(s.message))+h.Length > most {
			return errTooBig
		}
	}
	payload := b[piece.Head:]
	whole := piece.End && s.in.MessageEnd()
	if whole && piece.Start && h.Opcode != ws.Continuation && !s.deflate {
		return s.took(s.op, b[:piece.Head], payload)
	}
	s.message = append(s.message, payload...)
	if !whole {
		return nil
	}
	text := s.message
	if s.deflate {
		var err error
		if s.plain, err = s.inflate.Append(s.plain[:0], s.message, int(s.most())); err != nil {
			return err
		}
		text = s.plain
	}
	var room [ws.MaxHeader]byte
	err := s.took(s.op, ws.AppendHeader(room[:0], ws.Header{Fin: true, Opcode: s.op, Length: uint64(len(text))}), text)
	if cap(s.message) > keptRest {
		s.message = nil
	}
	if cap(s.plain) > keptRest {
		s.plain = nil
	}
	return err
}

// most is how large a message may be: what a slow client may be behind, so that
// one that waits for it is not too slow by that alone.
func (s *source) most() uint64 {
	if n := s.stream.route().Limits.MessageSizeUpstream; n > 0 {
		return min(uint64(n), mostMessage)
	}
	return min(uint64(s.stream.route().lag()), mostMessage)
}

// mostMessage is the largest message of all, in bytes: a place in a segment has
// 32 bits, and other forms may be six times as large.
const mostMessage = 256 << 20

// took is a whole message.
func (s *source) took(op ws.Opcode, head, payload []byte) error {
	if op == ws.Text && !validText(payload) {
		return errText
	}
	if s.line != nil {
		s.contribute(op, head, payload)
		return nil
	}
	if s.known > 0 {
		s.known--
		s.next++
		s.arrived()
		return nil
	}
	t := s.stream
	s.greet(op, payload)
	t.append(head, payload)
	t.latest.Store(int64(t.route().fanout.now()))
	s.next++
	if len(s.turns) > 0 {
		s.turn()
	}
	s.arrived()
	return nil
}

// greet keeps a message that the source begins with.
func (s *source) greet(op ws.Opcode, payload []byte) {
	t := s.stream
	if s.greeted >= t.route().Fanout.Greeting {
		return
	}
	s.greeted++
	t.mu.Lock()
	t.greeting.messages = append(t.greeting.messages, message{op, slices.Clone(payload), t.plain.live().number(), s})
	t.mu.Unlock()
}

// arrived lets those in who wait for the live end, once it is there.
func (s *source) arrived() {
	if s.late > 0 {
		if s.late--; s.late == 0 {
			s.ready()
		}
	}
}

// hear treats a control frame.
func (s *source) hear(payload []byte) {
	switch s.in.Header.Opcode {
	case ws.Ping:
		s.pinged(payload)
	case ws.Pong:
		s.asked = 0
	case ws.CloseFrame:
		s.closed(payload)
	}
}

// pinged answers a ping: at once, or when there is room for it, then the latest
// alone (RFC 6455, section 5.5.3). One that pings and does not read would have
// its pongs pile up here.
func (s *source) pinged(payload []byte) {
	if s.conn.Full() {
		s.pong, s.ponging = append(s.pong[:0], payload...), true
		return
	}
	s.inject(ws.Header{Fin: true, Opcode: ws.Pong}, payload)
	s.awaitRoom()
}

// awaitRoom sets the clock of output that waits.
func (s *source) awaitRoom() {
	if since, waits := s.conn.Stalled(); waits {
		s.wake(since, s.stream.route().Timeouts.Write)
	}
}

func (s *source) inject(h ws.Header, payload []byte) {
	h.Masked, h.Key = true, s.stream.loop.MaskKey()
	s.conn.Write(ws.AppendFrame(nil, h, payload))
}
