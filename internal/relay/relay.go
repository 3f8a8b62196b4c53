package relay

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// Relay runs sessions on the loops of a group.
type Relay struct {
	group *loop.Group
	fleet []fleet     // by the loop's index; each belongs to its loop
	going atomic.Bool // all sessions were told to leave: no more are begun
}

// fleet is the sessions of one loop.
type fleet struct {
	first  *session // the head of their list
	queues map[*Route]*queue
	round  time.Duration // the loop's latest round that began a session
	begun  int           // sessions begun in it
}

// beginAtOnce is how many sessions a loop begins in one round, each for some
// 50 us: in a storm those that are open are served in between.
const beginAtOnce = 8

// full tells whether the loop has begun enough sessions in this round.
func (f *fleet) full(now time.Duration) bool {
	if f.round != now {
		f.round, f.begun = now, 0
	}
	return f.begun >= beginAtOnce
}

// New makes a Relay on g.
func New(g *loop.Group) *Relay {
	return &Relay{group: g, fleet: make([]fleet, len(g.Loops()))}
}

// Request is a client that asked, in a well-formed way, to be upgraded.
type Request struct {
	Route  *Route
	ID     uint64 // the session's, as instances see it in Sluice-Session
	Client loop.Taken
	Addr   netip.Addr // the client's, behind trusted proxies
	Offer  *handshake.Offer
	Target string           // path and query, without the part that the route strips
	Host   string           // as the client wrote it
	Header handshake.Header // what goes on to the instance
	Pick   *upstream.Choice
	Secure bool // the client came over TLS
}

// Start takes the client over. All that can still go wrong is told to the
// client by the session.
func (r *Relay) Start(q *Request) {
	if q.Route.Keep != nil { // what is sent again must not depend on what was sent before
		q.Offer.Deflate = nil
	}
	s := &session{relay: r, route: q.Route, id: q.ID, addr: q.Addr, leg: &side{}, begun: &beginning{req: q}}
	s.client.in.Masked = true
	r.group.Pick().Post((*starting)(s))
}

type starting session

// Run begins the session on its loop.
func (t *starting) Run(l *loop.Loop) {
	s := (*session)(t)
	f := &s.relay.fleet[l.Index]
	if f.full(l.Now()) {
		l.Post(t) // in order: so do all behind it
		return
	}
	f.begun++
	s.started = l.Now()
	s.secret = l.Random()
	f.add(s)
	if err := l.Attach(&s.client.conn, s, s.begun.req.Client); err != nil {
		s.route.Log.Error("client not attached", "route", s.route.Name, "client", s.addr, "err", err)
		s.end()
		return
	}
	s.follow()
	if s.relay.going.Load() || s.route.removed.Load() {
		s.refuse(503, "going_away", "going away")
		return
	}
	s.dial()
}

// Panicked ends a session that could not be begun. It is for the loop.
func (t *starting) Panicked() { (*session)(t).cut() }

func (f *fleet) add(s *session) {
	s.next = f.first
	if f.first != nil {
		f.first.prev = s
	}
	f.first = s
}

func (f *fleet) remove(s *session) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		f.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.next, s.prev = nil, nil
}

// Leaving says which sessions are to end, and how.
type Leaving struct {
	Instance *upstream.Instance // those of this instance; nil: all
	Code     uint16             // what the clients are told
	Reason   string
	Spread   time.Duration // over which they are told; each at a time of its own
	// Failover has the route's own spread used instead of Spread.
	Failover bool
	// Move says why kept sessions move to another instance instead; "": they
	// end too.
	Move string
	// Deadline is from when on a kept session moves even though its instance
	// is not silent; 0: never.
	Deadline time.Duration
	// Paced is how many sessions leave in all: they do at their route's
	// move.rate and by its move.deadline, instead of Spread and Deadline.
	Paced int
	// KeptOnly leaves sessions alone whose clients are not kept.
	KeptOnly bool
}

// Leave ends sessions: their instances are told 1001, and what these still
// send is relayed; then the clients are told.
func (r *Relay) Leave(w Leaving) {
	if w.Instance == nil {
		r.going.Store(true)
	}
	for _, l := range r.group.Loops() {
		l.Post(&leaveTask{r, w})
	}
}

type leaveTask struct {
	relay *Relay
	Leaving
}

// Run walks the loop's sessions.
func (t *leaveTask) Run(l *loop.Loop) {
	for s := t.relay.fleet[l.Index].first; s != nil; {
		next := s.next
		s.bereft(t.Instance)
		if t.KeptOnly && s.kept == nil {
			s = next
			continue
		}
		if t.Instance == nil || s.inst == t.Instance {
			s.schedule(&t.Leaving)
		}
		s = next
	}
}

// Cut ends all sessions at once, and waits until they have been counted out.
func (r *Relay) Cut() {
	var done sync.WaitGroup
	for _, l := range r.group.Loops() {
		done.Add(1)
		l.Post(&cutTask{r, &done})
	}
	done.Wait()
}

type cutTask struct {
	relay *Relay
	done  *sync.WaitGroup
}

// Run cuts the loop's sessions.
func (t *cutTask) Run(l *loop.Loop) {
	f := &t.relay.fleet[l.Index]
	for f.first != nil {
		f.first.cut()
	}
	t.done.Done()
}
