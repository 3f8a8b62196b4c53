package fanout

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// Transport is how a client wants its messages.
type Transport int

// The transports.
const (
	WebSocket Transport = iota
	Events              // Server-Sent Events (WHATWG HTML, section 9.2)
	Lines               // NDJSON
)

// Want is what a client asks for.
type Want struct {
	Transport   Transport
	Compress    bool   // WebSocket: permessage-deflate was negotiated
	Path, Query string // what chooses the stream, as it goes on to the source
	From        string // EPOCH-N, the next message wanted; oldest; or "" for the live end
	Seen        string // Last-Event-ID: EPOCH-N, the last message seen; or ""
	Announce    bool   // the first message says where the client begins
	Sluice      bool   // the client is a Sluice
	Retry       int    // SSE: milliseconds until the client comes again; 0: it is not told
}

// Ticket is a client's place in a stream. It must be started or dropped.
type Ticket struct {
	// Offset is the message that comes next, EPOCH-N.
	Offset string
	// Greeting counts the messages ahead of that which have no number: what
	// the source said first.
	Greeting int
	// Behind counts the messages from there to the live end.
	Behind uint64
	// Epochs are those that begin behind Offset, for a client that is a
	// Sluice.
	Epochs string

	sub   *subscriber
	names uint32 // renames of the stream that it knows of
	log   *log
	first []byte // what comes before the messages
}

// announcement is the first message to those who asked for it, and what SSE and
// NDJSON clients are told of a gap.
type announcement struct {
	Offset   string  `json:"offset"`
	Gap      *uint64 `json:"gap"`                // messages missed since what was asked for; null: not known
	Greeting int     `json:"greeting,omitempty"` // messages without a number that come first
}

type announced struct {
	Sluice announcement `json:"sluice"`
}

// Join gives a client a place in its stream, which it opens if need be. It
// blocks until the source has been reached once, or ctx ends.
func (r *Route) Join(ctx context.Context, w *Want) (*Ticket, *handshake.Refusal) {
	s, a, refusal := r.stream(target{w.Path, w.Query})
	if refusal != nil {
		return nil, refusal
	}
	t, refusal := s.join(ctx, w, a)
	if refusal != nil {
		s.release()
	}
	return t, refusal
}

// stream gives the stream for t, with the joiner counted in, and the attempt at
// its source that the joiner waits for: nil where it is open.
func (r *Route) stream(t target) (*Stream, *attempt, *handshake.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed.Load() {
		return nil, nil, upstream.Unavailable(503, "the route was removed")
	}
	if s := r.streams[t]; s != nil && s.acquire() {
		return s, s.pending(), nil
	}
	switch {
	case r.closed:
		return nil, nil, upstream.Unavailable(503, "going away")
	case len(r.streams) >= r.now.Load().Fanout.Streams && r.streams[t] == nil:
		return nil, nil, upstream.Unavailable(503, "too many streams")
	}
	s := newStream(r.home, t)
	s.refs.Store(1)
	r.streams[t] = s
	a := s.attempt // before it begins: it may fail before we look again
	s.loop.Post((*opening)(s))
	return s, a, nil
}

func (s *Stream) pending() *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempt
}

type opening Stream

// Run connects to the sources.
func (t *opening) Run(l *loop.Loop) {
	s := (*Stream)(t)
	for _, src := range s.sources {
		src.begin()
	}
	s.rearm(l.Now())
}

// join waits for the source and finds the client's place.
func (s *Stream) join(ctx context.Context, w *Want, a *attempt) (*Ticket, *handshake.Refusal) {
	from, refusal := s.awaitOpen(ctx, a)
	if refusal != nil {
		return nil, refusal
	}
	f := w.form()
	g, err := s.read(ctx, f)
	if err != nil {
		return nil, upstream.Unavailable(503, "the stream is no more")
	}
	p, refusal := s.place(w, g, f, from)
	if refusal != nil {
		s.unread(f)
		return nil, refusal
	}
	return s.ticket(w, g, f, p), nil
}

func (w *Want) form() form {
	switch {
	case w.Transport == Events:
		return events
	case w.Transport == Lines:
		return lines
	case w.Compress:
		return deflated
	}
	return plain
}

// awaitOpen waits until the source has been connected once. Those who waited
// begin with what it said first.
func (s *Stream) awaitOpen(ctx context.Context, a *attempt) (from cursor, refusal *handshake.Refusal) {
	if a == nil {
		return cursor{}, nil
	}
	s.loop.Post((*hurrying)(s))
	ctx, cancel := context.WithTimeout(ctx, s.route().Timeouts.Handshake)
	defer cancel()
	select {
	case <-a.done:
	case <-s.route().fanout.going:
		return cursor{}, upstream.Unavailable(503, "going away")
	case <-ctx.Done():
		return cursor{}, unreached(os.ErrDeadlineExceeded)
	}
	if a.err != nil {
		return cursor{}, unreached(a.err)
	}
	return a.from, nil
}

func unreached(err error) *handshake.Refusal {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return upstream.Unavailable(504, "the source was not reached in time")
	}
	return upstream.Unavailable(502, "the source could not be reached")
}

// hurrying is a client that waits for a source that was not reached lately.
type hurrying Stream

// Run tries again now, unless that was done a moment ago.
func (t *hurrying) Run(l *loop.Loop) {
	for _, s := range (*Stream)(t).sources {
		if s.state == idle && s.retry != 0 && l.Now() > s.failedAt+hurryAfter {
			s.begin()
		}
	}
}

// hurryAfter is how often joiners may have a source tried that is not there.
const hurryAfter = time.Second

// place is where a client begins.
type place struct {
	n       uint64
	at      cursor  // in the plain log, where that is known and may not be in the history
	asked   bool    // it asked for a place
	gap     *uint64 // what lies between that and n; nil: not known, or not asked
	greeted bool    // it has what the source said first, or gets it from the log
}

// place finds where a client begins, in numbers of the log.
func (s *Stream) place(w *Want, g *log, f form, from cursor) (place, *handshake.Refusal) {
	past := g
	if f == deflated {
		past = s.plain
	}
	past.trim(s.route().fanout.clock())
	oldest := max(past.start().number(), s.epochs.oldest())
	if w.Sluice {
		oldest = max(oldest, s.epochs.tellable())
	}
	head := max(g.live().number(), s.plain.live().number())
	if w.From == "" && w.Seen == "" {
		live := head
		if f == deflated {
			live = g.live().number()
		}
		p := place{n: live}
		s.mu.Lock()
		if greet := &s.greeting; !s.arbitrated() && len(greet.messages) < s.route().Fanout.Greeting && s.attempt == nil {
			p.n = min(p.n, greet.first) // it is under way
		}
		s.mu.Unlock()
		if from.seg != nil {
			p.n, p.at = from.number(), from
		}
		if n := max(p.n-min(p.n, uint64(s.route().Fanout.Backlog)), oldest); n < p.n {
			p.n, p.at = n, cursor{}
		}
		return p, nil
	}
	n, known, refusal := s.asked(w, oldest)
	switch {
	case refusal != nil:
		return place{}, refusal
	case known && n >= oldest && (n <= head || w.Sluice && n <= head+aheadMost):
		return place{n: n, asked: true, gap: new(uint64), greeted: true}, nil
	}
	return s.gone(w, n, known, oldest, head)
}

// aheadMost is how far ahead of this Sluice another one may be that had a faster
// source in the same tree. What it has already it does not get again.
const aheadMost = 10_000

// asked reads which message a client wants next.
func (s *Stream) asked(w *Want, oldest uint64) (n uint64, known bool, refusal *handshake.Refusal) {
	if w.From == "oldest" {
		return oldest, true, nil
	}
	text, after := w.From, uint64(0)
	if text == "" {
		text, after = w.Seen, 1
	}
	epoch, number, ok := parseOffset(text)
	if !ok && w.From == "" {
		return 0, false, nil // an EventSource that is refused does not come again
	}
	if !ok {
		return 0, false, &handshake.Refusal{Status: 400, What: strconv.Quote(text) + " is not an offset; write EPOCH-N, as Sluice-Offset has it, or oldest"}
	}
	n, known = s.epochs.number(epoch, number+after)
	return n, known, nil
}

// gone is a client whose place is not there any more.
func (s *Stream) gone(w *Want, n uint64, known bool, oldest, head uint64) (place, *handshake.Refusal) {
	p := place{n: head, asked: true}
	policy := s.route().Fanout.OnGone
	if w.Sluice {
		policy = "oldest"
	}
	switch policy {
	case "refuse":
		return p, &handshake.Refusal{Status: 410, What: "the messages from there on are gone; the oldest is " + s.epochs.offset(oldest)}
	case "oldest":
		p.n = oldest
	}
	if known && n <= p.n {
		gap := p.n - n
		p.gap = &gap
		s.route().Observe.Lost(s.route().Name, lostGone, gap)
	}
	return p, nil
}

// ticket makes a place out of a number. What has gone from the history
// meanwhile is a matter of moments: the client begins with what is there.
func (s *Stream) ticket(w *Want, g *log, f form, p place) *Ticket {
	sub := &subscriber{aud: s.audience(s.route().fanout.group.Pick(), f)}
	if w.Sluice {
		sub.flags |= flagSluice
	}
	sub.frame.Masked, sub.frame.Deflate = true, f == deflated
	live := g.live()
	at, ok := g.at(p.n)
	switch {
	case ok:
	case f == plain && p.at.seg != nil:
		at = p.at
	case p.n > live.number():
		at = live
		sub.aside().skip = p.n - live.number()
	case f == deflated:
		if at, ok = s.plain.at(p.n); p.at.seg != nil {
			at = p.at
		} else if !ok {
			at = s.plain.start()
		}
		if at.number() < live.number() {
			sub.aside().then = live
			break
		}
		at, sub.more = live, nil
	default:
		at = g.start()
	}
	sub.at = at
	if n := at.number(); n > p.n && sub.more.skips() == 0 { // trimmed meanwhile
		if p.gap != nil {
			*p.gap += n - p.n
			s.route().Observe.Lost(s.route().Name, lostGone, n-p.n)
		}
		p.n = n
	}
	sub.first = p.n
	if at.number() < live.number() {
		sub.aside().floor = live
		if sub.more.then.seg != nil {
			sub.more.floor = s.plain.live()
		}
	}
	t := &Ticket{names: s.renames.Load(), sub: sub, log: g}
	t.Offset = s.epochs.offset(p.n)
	if w.Sluice {
		t.Epochs = s.epochs.behind(p.n)
	}
	if head := s.plain.live().number(); head > p.n {
		t.Behind = head - p.n
	}
	greeting := s.greets(p)
	t.Greeting = len(greeting)
	t.first = s.foreword(w, f, p, t.Offset, greeting)
	return t
}

// greets gives what the source said first and the client is not to get from the
// log.
func (s *Stream) greets(p place) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.greeted {
		return nil
	}
	list := s.greeting.messages
	return list[:sort.Search(len(list), func(i int) bool { return list[i].at >= p.n })]
}

// foreword is what a client gets before the messages of the log.
func (s *Stream) foreword(w *Want, f form, p place, offset string, greeting []message) (b []byte) {
	if f == events && w.Retry > 0 {
		b = appendRetry(b, w.Retry)
	}
	told := announcement{offset, p.gap, len(greeting)}
	if !p.asked {
		told.Gap = new(uint64)
	}
	switch {
	case f <= deflated && w.Announce:
		b = f.word(b, "", announced{told})
	case f > deflated && (w.Announce || told.Gap == nil || *told.Gap > 0):
		b = f.word(b, "sluice", told)
	}
	for _, m := range greeting {
		b = f.frame(b, m.op, m.payload)
	}
	return b
}

// Start hands a connection to the stream. head is the answer to its request;
// addr is the client's, for logs and limits.
func (t *Ticket) Start(taken loop.Taken, head []byte, id uint64, addr netip.Addr) {
	t.sub.id, t.sub.addr = id, addr
	t.sub.aud.crew.loop.Post(&starting{sub: t.sub, taken: taken, log: t.log, names: t.names, first: append(head, t.first...)})
}

// Drop gives the place up.
func (t *Ticket) Drop() {
	s := t.sub.aud.stream
	s.unread(t.sub.aud.form)
	s.release()
}

// newEpoch names a new life of a stream.
func newEpoch() string { return strings.ToLower(rand.Text()[:12]) }

// Protocol is the subprotocol that the source speaks; "" for none.
func (t *Ticket) Protocol() string {
	if p := t.sub.aud.stream.protocol.Load(); p != nil {
		return *p
	}
	return ""
}
