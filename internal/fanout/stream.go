package fanout

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"

	"github.com/sluice-proxy/sluice/internal/arbiter"
	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// form is what messages look like on the wire.
type form uint8

const (
	plain    form = iota // frames as they are
	deflated             // frames, compressed where that pays
	events               // Server-Sent Events
	lines                // NDJSON
	forms
)

func (f form) String() string {
	return [forms]string{"websocket", "websocket-deflate", "sse", "ndjson"}[f]
}

// dead is a stream's count of references once it is no more.
const dead = -1 << 32

// Stream is one source's messages and those who get them.
type Stream struct {
	// Set once, then read-only.
	home      *home // of its route
	target    target
	loop      *loop.Loop // the source's, and the writer of the plain log
	plain     *log
	epochs    epochs
	audiences []audience    // by the loop's index, then by form
	kick      chan struct{} // wakes the encoder

	refs     atomic.Int64 // subscribers and those about to be
	latest   atomic.Int64 // when the latest message came, by the Fanout's clock
	up       atomic.Bool  // the source is connected
	stale    atomic.Bool
	encoding atomic.Bool            // there is an encoder
	held     atomic.Bool            // the source is not read because others can't follow
	renames  atomic.Uint32          // epochs that began while it was open
	queued   atomic.Int64           // bytes of client messages that the source has yet to take
	protocol atomic.Pointer[string] // the source's subprotocol
	name     atomic.Pointer[string] // the source's URL, as logs have it

	mu       sync.Mutex // guards what follows
	attempt  *attempt   // nil once the source has been connected
	derived  [forms]*derived
	greeting greeting
	over     *ending   // the source has ended it
	sources  []*source // one, or one for each URL; loop sets it, and reads it without mu

	// Owned by loop.
	judge    *arbiter.Arbiter // of redundant sources; nil: they aren't
	seeds    [2]maphash.Seed
	queue    [][]byte // clients' messages that wait for a source
	flusher  loop.Timer
	flushing bool // a flush interval is under way
	clock    loop.Timer
	lingers  time.Duration // when the stream ends if nobody comes; 0: somebody is there
	staleAt  time.Duration // it was called stale then; 0: it is not
	ended    bool          // no source will be connected any more
}

// target is what a stream asks of its source, behind the source's own URL.
type target struct{ path, query string }

// attempt is a try of all of a source's URLs, which joiners wait for while the
// stream has never been open.
type attempt struct {
	done chan struct{}
	// What follows is set before done is closed.
	err  error
	from cursor // where those begin who waited
}

// greeting is what the source said first, for those who join later.
type greeting struct {
	first    uint64    // number of its first message; of one source
	messages []message // by number
}

type message struct {
	op      ws.Opcode
	payload []byte
	at      uint64 // its number in the log
	of      *source
}

// ending is how the source has ended a stream.
type ending struct {
	code   uint16
	reason string
}

// route is the stream's as it is configured now.
func (s *Stream) route() *Route { return s.home.now.Load() }

// newStream makes a stream of a home, whose lock the caller holds.
func newStream(h *home, t target) *Stream {
	r := h.now.Load()
	f := r.fanout
	s := &Stream{
		home: h, target: t, loop: f.group.Pick(), kick: make(chan struct{}, 1),
		plain: newLog(0, r.limits(), r.lag(), r.keyed()), attempt: &attempt{done: make(chan struct{})},
	}
	s.audiences = make([]audience, len(f.crews)*int(forms))
	for i := range s.audiences {
		s.audiences[i] = audience{stream: s, route: r, form: form(i % int(forms)), crew: &f.crews[i/int(forms)]}
	}
	s.epochs.begin(newEpoch(), 0, 0)
	s.arrange(r)
	s.latest.Store(int64(f.now()))
	return s
}

func (s *Stream) audience(l *loop.Loop, f form) *audience {
	return &s.audiences[l.Index*int(forms)+int(f)]
}

// acquire counts a joiner in; false when the stream is no more.
func (s *Stream) acquire() bool {
	for {
		n := s.refs.Load()
		if n < 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release counts a subscriber out. The last one leaves the stream to linger.
func (s *Stream) release() {
	if s.refs.Add(-1) == 0 {
		s.loop.Post((*lingering)(s))
	}
}

type lingering Stream

// Run begins the time that a stream without subscribers has left.
func (t *lingering) Run(l *loop.Loop) { (*Stream)(t).linger(l.Now()) }

// expire ends a stream that has lingered without a subscriber. It tells
// whether it did.
func (s *Stream) expire() bool {
	if !s.refs.CompareAndSwap(0, dead) {
		return false
	}
	s.unlist()
	s.wakeEncoder()
	return true
}

// unlist has the next client begin another stream.
func (s *Stream) unlist() {
	h := s.home
	h.mu.Lock()
	if h.streams[s.target] == s {
		delete(h.streams, s.target)
	}
	h.mu.Unlock()
}

// remove ends the stream, and its source's connection, whoever is there.
func (s *Stream) remove(done *sync.WaitGroup) {
	s.unlist()
	s.refs.Store(dead)
	s.wakeEncoder()
	done.Add(1)
	s.loop.Post(&removing{s, done})
}

type removing struct {
	stream *Stream
	done   *sync.WaitGroup
}

// Run lets go of the sources.
func (t *removing) Run(*loop.Loop) {
	defer t.done.Done()
	t.stream.leave(ws.CodeGoingAway)
}

// append publishes a message that came from the source: head and payload are
// its frame as clients get it. It belongs to the stream's loop.
func (s *Stream) append(head, payload []byte) {
	var key uint64
	if s.plain.latest != nil {
		key = s.route().key(payload)
	}
	s.plain.append(s.route().fanout.clock(), key, head, payload)
}

// key tells messages about different things apart; 0 is about nothing.
func (r *Route) key(payload []byte) uint64 {
	v := gjson.GetBytes(payload, r.Fanout.Slow.Key)
	if !v.Exists() {
		return 0
	}
	return hash(r.seed, v.Raw) | 1
}

// publish tells everybody that there is more, at once or when the flush interval
// has passed. It belongs to the stream's loop.
func (s *Stream) publish() {
	if s.judge != nil {
		for _, src := range s.sources {
			s.tell(src.line)
		}
	}
	if every := s.route().Fanout.FlushInterval; every == 0 {
		s.flush()
	} else if !s.flushing {
		s.flushing = true
		s.loop.Arm(&s.flusher, (*flushing)(s), s.loop.Now()+every)
	}
	s.restrain()
}

type flushing Stream

// Expire ends a flush interval.
func (t *flushing) Expire(time.Duration) time.Duration {
	(*Stream)(t).flush()
	return 0
}

// flush tells everybody that there is more.
func (s *Stream) flush() {
	s.flushing = false
	now := s.route().fanout.now()
	s.plain.trim(s.route().fanout.clock())
	for i := range s.route().fanout.crews {
		s.audiences[i*int(forms)].wake(now)
	}
	s.wakeEncoder()
}

// restrain stops reading the sources while a loop or the encoder can't follow.
func (s *Stream) restrain() {
	if s.crowded() {
		s.held.Store(true)
		if s.crowded() { // still, now that they see held
			for _, src := range s.sources {
				if src.state == open {
					src.conn.Pause()
				}
			}
		} else {
			s.held.Store(false)
		}
	}
}

func (s *Stream) wakeEncoder() {
	if s.encoding.Load() {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
}

// crowded tells whether a loop or the encoder is so far behind that the source
// must wait. A slow client is none of its business: it is written as far as it
// takes, and judged.
func (s *Stream) crowded() bool {
	limit := uint64(s.route().lag()) / 2
	for i := range s.audiences {
		if s.audiences[i].behind() > limit {
			return true
		}
	}
	return s.encoderBehind() > limit
}

// relieve lets the source be read again, if it need not wait any more. Any
// goroutine may call it.
func (s *Stream) relieve() {
	if s.held.Load() && !s.crowded() && s.held.CompareAndSwap(true, false) {
		s.loop.Post((*relieving)(s))
	}
}

type relieving Stream

// Run reads the sources again.
func (t *relieving) Run(*loop.Loop) {
	for _, src := range (*Stream)(t).sources {
		src.conn.Resume()
	}
}

// age tells how long ago the latest message came, or else the stream began.
func (s *Stream) age() time.Duration {
	return s.route().fanout.now() - time.Duration(s.latest.Load())
}

// isOpen tells whether the source has been connected once.
func (s *Stream) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempt == nil
}

// rename has the messages from the log's number at on be called by an epoch, or
// by one of our own if they were called by that before, elsewhere.
func (s *Stream) rename(epoch string, first, at uint64) {
	if !s.epochs.begin(epoch, first, at) {
		s.epochs.begin(newEpoch(), 0, at)
	}
	s.tellRenamed()
}

// tellRenamed tells every audience that a new epoch has begun.
func (s *Stream) tellRenamed() {
	s.renames.Add(1)
	for i := range s.audiences {
		a := &s.audiences[i]
		a.crew.loop.Post(renamed{a})
	}
}

// tellStale sends subscribers the notice that nothing has come for so long.
func (s *Stream) tellStale(ago time.Duration) {
	t := s.route().staleText
	if t == nil {
		return
	}
	text := render(t, config.StaleFields{Seconds: ago.Seconds()})
	for i := range s.audiences {
		a := &s.audiences[i]
		a.crew.loop.Post(&remark{a, a.form.frame(nil, ws.Text, text)})
	}
}

// finish ends the stream as the source has: every subscriber gets what there
// is, and then the source's close.
func (s *Stream) finish(code uint16, reason string) {
	s.unlist()
	s.flush()
	s.mu.Lock()
	s.over = &ending{code, reason}
	s.mu.Unlock()
	s.tellOver(plain)
	s.wakeEncoder()
}

// tellOver tells the subscribers of a form that its log is whole.
func (s *Stream) tellOver(f form) {
	for i := range s.route().fanout.crews {
		a := &s.audiences[i*int(forms)+int(f)]
		a.crew.loop.Post(&finishing{a, s.over})
	}
}
