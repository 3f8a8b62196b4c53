package scatter

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/rule"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Scatter runs sessions on the loops of a group.
type Scatter struct {
	group *loop.Group
	crews []crew      // by the loop's index; each belongs to its loop
	going atomic.Bool // all sessions were told to leave: no more are begun
}

// crew is the sessions of one loop, and what they share.
type crew struct {
	first *session // the head of their list
	room  room
}

// room is what a message is worked on in. Nothing in it outlives the call that it
// was made for.
type room struct {
	control  [ws.MaxControl]byte
	plain    []byte // a client's message, unmasked
	inflated []byte
	frame    []byte // on its way to an instance
	answer   []byte // what is collected
	out      []byte // on its way to the client
	key, id  []byte
	stuck    []uint64 // keys of messages that can't be sent again yet: others wait behind them
	own      []*upstream.Instance
	avoid    []*upstream.Instance
	all      []*upstream.Instance
	here     []bool
	inflate  ws.Inflater
	deflate  ws.Deflater
	input    rule.Input
}

// keptRoom is how large a buffer may be that stays between messages.
const keptRoom = 256 << 10

// tidy lets go of what a large message has left.
func (r *room) tidy() {
	for _, b := range []*[]byte{&r.plain, &r.inflated, &r.frame, &r.answer, &r.out, &r.key, &r.id} {
		if cap(*b) > keptRoom {
			*b = nil
		}
	}
}

// New makes a Scatter on g.
func New(g *loop.Group) *Scatter { return &Scatter{group: g, crews: make([]crew, len(g.Loops()))} }

// Request is a client that asked, in a well-formed way, to be upgraded.
type Request struct {
	Route  *Route
	ID     uint64 // the session's, as instances see it in Sluice-Session
	Client loop.Taken
	Addr   netip.Addr // the client's, behind trusted proxies
	Files  int64      // descriptors that the session was counted in with
	Offer  *handshake.Offer
	Target string           // path and query, without the part that the route strips
	Host   string           // as the client wrote it
	Header handshake.Header // what goes on to instances
	Asked  *rule.Request    // what rules see of it
}

// Start takes the client over. All that can still go wrong is told to the client
// by the session.
func (sc *Scatter) Start(q *Request) {
	s := &session{scatter: sc, route: q.Route, id: q.ID, addr: q.Addr, files: q.Files, asked: q.Asked, begun: &beginning{req: q}}
	s.client.in.Masked = true
	sc.group.Pick().Post((*starting)(s))
}

type starting session

// Run begins the session on its loop.
func (t *starting) Run(l *loop.Loop) {
	s := (*session)(t)
	s.crew = &s.scatter.crews[l.Index]
	s.started = l.Now()
	s.secret = l.Random()
	s.client.secret = s.secret
	s.crew.add(s)
	if err := l.Attach(&s.client.conn, s, s.begun.req.Client); err != nil {
		s.route.Log.Error("client not attached", "route", s.route.Name, "client", s.addr, "err", err)
		s.finish()
		return
	}
	s.follow()
	s.book.Rules, s.book.Owner = &s.route.book, s
	if s.scatter.going.Load() || s.route.removed.Load() {
		s.refuse(503, "going_away", "going away")
		return
	}
	s.enter()
}

// Panicked ends a session that could not be begun. It is for the loop.
func (t *starting) Panicked() { (*session)(t).cut() }

// follow has a session that was on its way to its loop while its route changed
// begin under the one that there is now.
func (s *session) follow() {
	for next := s.route.next.Load(); next != nil; next = s.route.next.Load() {
		s.route = next
	}
}

func (c *crew) add(s *session) {
	s.next = c.first
	if c.first != nil {
		c.first.prev = s
	}
	c.first = s
}

func (c *crew) remove(s *session) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		c.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.next, s.prev = nil, nil
}

// Leaving says which legs are to be left, or which sessions are to end, and how.
type Leaving struct {
	Instance *upstream.Instance // legs to it; nil: all sessions end
	Route    *Route             // sessions of it alone; nil: of all
	Code     uint16             // what clients are told whose session ends
	Reason   string
	Down     bool          // the instance is: what it owes is lost
	Spread   time.Duration // over which this is done; each at a time of its own
}

// Leave has sessions leave an instance: what it owes is awaited for a while, and
// no new message goes there. Or it ends sessions.
func (sc *Scatter) Leave(w Leaving) {
	if w.Instance == nil && w.Route == nil {
		sc.going.Store(true)
	}
	if w.Route != nil {
		w.Route.removed.Store(true)
	}
	sc.each(nil, func(s *session) {
		switch {
		case w.Route != nil && s.route != w.Route:
		case w.Instance != nil:
			s.leaveInstance(w.Instance, w.Down, w.Spread)
		default:
			s.schedule(&w)
		}
	})
}

// Adopt has the sessions of a route go on under another one, which has taken its
// place. It waits until all do.
func (sc *Scatter) Adopt(old, now *Route) {
	old.next.Store(now)
	var done sync.WaitGroup
	sc.each(&done, func(s *session) {
		if s.route == old {
			s.adopt(now)
		}
	})
	done.Wait()
}

// Cut ends all sessions at once, and waits until they have been counted out.
func (sc *Scatter) Cut() {
	var done sync.WaitGroup
	sc.each(&done, (*session).cut)
	done.Wait()
}

// each has f called with every session, on its loop.
func (sc *Scatter) each(done *sync.WaitGroup, f func(*session)) {
	for _, l := range sc.group.Loops() {
		if done != nil {
			done.Add(1)
		}
		l.Post(&eachTask{sc, f, done})
	}
}

type eachTask struct {
	scatter *Scatter
	f       func(*session)
	done    *sync.WaitGroup
}

// Run walks the loop's sessions.
func (t *eachTask) Run(l *loop.Loop) {
	if t.done != nil {
		defer t.done.Done()
	}
	for s := t.scatter.crews[l.Index].first; s != nil; {
		next := s.next
		t.f(s)
		s = next
	}
}

// adopt sets the session's clocks by another route, and leaves the instances that
// this one has not.
func (s *session) adopt(rt *Route) {
	old, now := s.route, s.now()
	s.route, s.book.Rules = rt, &rt.book
	if a, b := &old.Limits, &rt.Limits; a.MessageRate != b.MessageRate || a.MessageBurst != b.MessageBurst || a.PingsPerSecond != b.PingsPerSecond {
		s.tokens, s.pings = limit.Bucket{}, limit.Bucket{} // what it owes is counted by the old rate
		if s.throttled != 0 {
			s.throttled = now
		}
	}
	for _, g := range slices.Clone(s.legs) {
		if !rt.has(g.inst) {
			s.leaveLeg(g, 0)
		}
	}
	s.unclog() // there may be more room than there was
	s.arm()
}
