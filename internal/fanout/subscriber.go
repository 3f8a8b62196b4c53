package fanout

import (
	"net/netip"
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

const (
	flagInside    uint16 = 1 << iota // the peer has half of a message
	flagSluice                       // the client is a Sluice, and counts
	flagPing                         // a ping is due and waits for a message's end
	flagSentClose                    // the client was told that it is over
	flagGotClose
	flagDeaf     // what comes is read and thrown away
	flagConflate // latest: superseded messages are passed over until it has caught up
	flagEnded
	flagScheduled // it is to leave at until
	flagAsked     // a ping is out
	flagUnheard   // what becomes of clients' messages has changed inside one: it is not kept
	flagHungUp    // the client says nothing more; it is yet to get its close
)

// unsent is how many bytes of a subscriber may wait in the system, beyond what
// is on its way.
const unsent = 128 << 10

// subscriber is a client of a stream. It belongs to one loop.
type subscriber struct {
	conn  loop.Conn
	aud   *audience
	next  *subscriber
	prev  *subscriber
	at    cursor
	timer loop.Timer
	more  *aside // what is rare; nil for most
	frame ws.Parser

	id    uint64
	addr  netip.Addr
	first uint64 // number of the message that it began with
	began time.Duration
	heard time.Duration // when the last byte came
	due   time.Duration // when our next ping is; the last was an interval before
	flags uint16
	seat  seat
}

// aside is what few subscribers have, and those not for long.
type aside struct {
	then  cursor // deflated: where to go on when the past has been sent plain; else nowhere
	skip  uint64 // messages that it has already, and its log has yet to get
	floor cursor // the log's end when it began in the past: lag counts from there

	pong    []byte // an answer that waits for the end of a message, or for room
	ponging bool
	answer  string // and one to a text ping; "" is none

	client   []byte // the message of the client that is under way
	size     uint64 // its payload so far, kept or not
	frameAt  time.Duration
	tokens   limit.Bucket
	op       ws.Opcode
	deflated bool
	throttle time.Duration // the client is not read until then

	until time.Duration // when what is under way must be over; 0 for nothing
	pings limit.Bucket

	lost   uint64        // messages that it did not get
	passed uint64        // messages passed over that no notice has told of
	why    string        // they were
	digest *digest       // latest: what is sent before the log goes on
	read   int           // bytes of it that went
	told   time.Duration // when the last notice was
	last   lastWord      // what it is told at the end
}

// lastWord is what a client is told at the end, and who caused it.
type lastWord struct {
	reason string
	side   string // client, upstream or proxy
	code   uint16 // 0: none can be told
}

// skips counts the messages to skip.
func (a *aside) skips() uint64 {
	if a == nil {
		return 0
	}
	return a.skip
}

func (s *subscriber) aside() *aside {
	if s.more == nil {
		s.more = &aside{}
	}
	return s.more
}

func (s *subscriber) route() *Route { return s.aud.route }

func (s *subscriber) loop() *loop.Loop { return s.conn.Loop() }

func (s *subscriber) has(flag uint16) bool { return s.flags&flag != 0 }

// webSocket tells whether frames are spoken, not HTTP.
func (s *subscriber) webSocket() bool { return s.aud.form <= deflated }

// starting is a subscriber on its way to its loop.
type starting struct {
	sub   *subscriber
	taken loop.Taken
	names uint32 // renames of the stream that its offset knows of
	log   *log
	first []byte
}

// Run begins the subscriber's life on its loop.
func (t *starting) Run(l *loop.Loop) {
	s := t.sub
	s.began, s.heard = l.Now(), l.Now()
	if err := l.Attach(&s.conn, s, t.taken); err != nil {
		s.route().Log.Error("client not attached", "route", s.route().Name, "client", s.addr, "err", err)
		s.forget()
		return
	}
	giveUp := time.Duration(0)
	if !s.webSocket() {
		giveUp = s.route().Timeouts.Write // nobody answers our comments
	}
	s.conn.Tune(unsent, giveUp)
	s.conn.Write(t.first)
	s.route().Counters.Opened(l)
	s.reportOpen()
	if every := s.route().Timeouts.Ping; every > 0 {
		// The first falls anywhere in the interval, so that those of
		// clients that came together don't.
		s.due = l.Now() + every/2 + time.Duration(l.Random()%uint64(every))/2
	}
	s.aud.join(s, t.log)
	if s.has(flagSluice) && t.names != s.aud.stream.renames.Load() {
		s.rename()
	}
	w := s.aud.crew.stopping
	if w == nil {
		w = s.aud.stopping
	}
	if w != nil && !s.has(flagEnded) {
		s.schedule(w)
	}
	s.arm()
}

// Panicked ends a subscriber that could not be begun. It is for the loop.
func (t *starting) Panicked() {
	if t.sub.conn.Loop() == nil { // not even attached
		t.taken.Drop()
		t.sub.forget()
		return
	}
	t.sub.Panicked()
}

// flush writes what the log has for the subscriber, as far as its peer takes
// it.
//
// Fast path: one system call.
func (s *subscriber) flush() {
	if s.flags&(flagInside|flagPing|flagConflate) != 0 || s.more != nil {
		if !s.flushAside() {
			return
		}
	}
	for {
		p, n := s.at.chunk()
		if p == nil {
			s.caughtUp()
			return
		}
		if !s.write(p, n) {
			return
		}
	}
}

// write sends p, which ends behind so many messages of the cursor's segment. It
// tells whether all of it went.
func (s *subscriber) write(p []byte, messages uint32) bool {
	n := s.conn.TryWrite(p)
	before := s.at.idx
	inside := s.at.advance(n, len(p), messages)
	s.aud.served.bytes += uint64(n)
	s.aud.served.messages += uint64(s.at.idx - before)
	if n == len(p) {
		s.flags &^= flagInside
		return true
	}
	if s.flags &^= flagInside; inside {
		s.flags |= flagInside
	}
	s.block()
	return false
}

// block puts the subscriber among those whose sockets are full.
func (s *subscriber) block() {
	if s.seat == writable {
		s.aud.move(s, waiting)
	}
	if since, waits := s.conn.Stalled(); waits {
		s.wake(since, s.route().Timeouts.Write)
	}
	s.wake(s.loop().Now(), s.route().Fanout.Slow.After.Age)
}

// caughtUp is called when the subscriber has all that there is.
func (s *subscriber) caughtUp() {
	if s.seat == waiting {
		s.aud.move(s, writable)
	}
	if o := s.aud.over; o != nil && s.seat == writable && (s.more == nil || s.more.then.seg == nil) {
		s.part(lastWord{code: o.code, reason: o.reason, side: "upstream"})
	}
}

// flushAside does what is not ordinary, and tells whether the ordinary is to
// follow.
func (s *subscriber) flushAside() bool {
	if !s.control() {
		return false
	}
	a := s.more
	if a != nil && a.then.seg != nil && !s.flushPast() {
		return false
	}
	if a != nil && a.skip > 0 && !s.skipOwn() {
		return false
	}
	if a != nil && a.digest != nil && !s.flushDigest() {
		return false
	}
	if s.has(flagConflate) && !s.conflate() {
		return false
	}
	s.notify(false)
	if a != nil && a.floor.seg != nil && s.at.bytes() >= a.floor.bytes() {
		a.floor = cursor{}
	}
	s.tidy()
	return true
}

// tidy drops the aside when nothing is in it.
func (s *subscriber) tidy() {
	if a := s.more; a != nil && a.then.seg == nil && a.skip == 0 && a.floor.seg == nil && !a.ponging && a.answer == "" &&
		a.client == nil && a.size == 0 && a.frameAt == 0 && a.tokens == (limit.Bucket{}) && a.throttle == 0 && a.passed == 0 && a.digest == nil && a.last == (lastWord{}) &&
		a.lost == 0 && a.until == 0 && a.pings.Full(s.loop().Now()) {
		s.more = nil
	}
}

// flushPast sends the past, in plain frames, up to where the form's own log
// begins for this subscriber.
func (s *subscriber) flushPast() bool {
	a := s.more
	for s.at.number() < a.then.number() {
		p, n := s.at.chunk()
		if p == nil {
			return false
		}
		if end := a.then.number() - s.at.seg.first; end < uint64(n) {
			n = uint32(end)
			p = s.at.seg.buf[s.at.pos:s.at.seg.index[n].start]
		}
		if !s.write(p, n) {
			return false
		}
	}
	s.at, a.then, a.floor = a.then, cursor{}, cursor{}
	return true
}

// skipOwn passes over messages that the subscriber has already.
func (s *subscriber) skipOwn() bool {
	for a := s.more; a.skip > 0; a.skip-- {
		if p, _ := s.at.chunk(); p == nil {
			return false
		}
		s.at.step()
	}
	return true
}

// control sends control frames that wait for the end of a message, ahead of
// the next one. It tells whether messages may follow.
func (s *subscriber) control() bool {
	ponging := s.more != nil && s.more.ponging
	answer := ""
	if s.more != nil {
		answer = s.more.answer
	}
	if !ponging && answer == "" && !s.has(flagPing) {
		return true
	}
	if !s.round() {
		return false
	}
	if ponging {
		s.more.ponging = false
		s.inject(ws.Header{Fin: true, Opcode: ws.Pong}, s.more.pong)
	}
	if answer != "" {
		s.more.answer = ""
		s.conn.Write(ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text}, []byte(answer)))
	}
	if s.has(flagPing) {
		s.ping()
	}
	return true
}

// inject writes a control frame. The caller knows that the client is between
// messages.
func (s *subscriber) inject(h ws.Header, payload []byte) {
	s.conn.Write(ws.AppendFrame(s.loop().Scratch(), h, payload))
}

// ping asks the client for a sign of life, or gives one, where the client is
// between messages; else at the end of the one under way.
func (s *subscriber) ping() {
	if s.flags |= flagPing; s.has(flagInside) || s.has(flagSentClose) {
		return
	}
	s.flags &^= flagPing
	switch s.aud.form {
	case events:
		s.conn.Write(appendComment(s.loop().Scratch()))
	case lines:
		s.conn.Write(append(s.loop().Scratch(), '\n'))
	default:
		s.ask(s.loop().Now())
		s.inject(ws.Header{Fin: true, Opcode: ws.Ping}, nil)
		s.wake(s.asked(), s.route().Timeouts.Pong)
	}
}

// Drained has the subscriber written again.
func (s *subscriber) Drained(*loop.Conn) {
	switch {
	case s.has(flagHungUp) && !s.full():
		s.gone("the client hung up")
	case s.seat == parted:
		s.settle()
	case s.seat != unseated:
		s.flush()
		if s.seat == waiting && !s.full() {
			s.aud.move(s, writable)
		}
		s.aud.count()
	}
}

// full tells whether output waits for the peer.
func (s *subscriber) full() bool {
	_, waits := s.conn.Stalled()
	return waits
}
