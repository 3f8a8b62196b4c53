package fanout

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Replaces tells whether r can go on with old's streams. It can't where they
// were made for something else: what is kept of each key, how many messages a
// greeting has, and what sources are to each other.
func (r *Route) Replaces(old *Route) bool {
	a, b := r.Fanout, old.Fanout
	was, is := b.Slow, a.Slow
	was.Notice, is.Notice = "", ""
	keyed := r.keyed() || old.keyed()
	return a.Greeting == b.Greeting && a.Arbitration == b.Arbitration && a.Dedupe.Key == b.Dedupe.Key && !(keyed && was != is)
}

// Replace has r take old's place: its streams and their subscribers are r's from
// here on. It waits until all follow it. The caller has asked Replaces, and
// nobody has joined r yet.
func (r *Route) Replace(old *Route) {
	r.fanout.forget(r.home)
	h := old.home
	r.home, r.seed = h, old.seed
	h.mu.Lock()
	h.now.Store(r)
	h.mu.Unlock()
	var done sync.WaitGroup
	for _, s := range h.all() {
		s.adopt(r, &done)
	}
	done.Wait()
}

// Discard takes back a route that nobody has joined.
func (r *Route) Discard() { r.fanout.forget(r.home) }

// Fade leaves the route to those who are there: no stream is begun any more.
func (r *Route) Fade() { r.close() }

// Remove ends the route: nobody is let in, and its subscribers are told to
// leave.
func (r *Route) Remove(w Leaving) {
	r.removed.Store(true)
	r.close()
	for _, s := range r.all() {
		for i := range s.audiences {
			a := &s.audiences[i]
			a.crew.loop.Post(&removal{a, w})
		}
		s.loop.Post((*lonely)(s))
	}
}

// Sweep forgets the routes that are no more, once their streams aren't either.
func (f *Fanout) Sweep() {
	f.mu.Lock()
	homes := f.homes
	f.mu.Unlock()
	for _, h := range homes {
		if h.Over() {
			f.forget(h)
		}
	}
}

// Over tells whether no stream is left and none will be begun.
func (h *home) Over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed && len(h.streams) == 0
}

func (f *Fanout) forget(h *home) {
	f.mu.Lock()
	f.homes = slices.DeleteFunc(slices.Clone(f.homes), func(o *home) bool { return o == h })
	f.mu.Unlock()
}

// removal tells an audience that its route is no more.
type removal struct {
	audience *audience
	Leaving
}

// Run schedules its subscribers, and those on their way.
func (t *removal) Run(l *loop.Loop) {
	a := t.audience
	a.stopping = &leaving{t.Leaving, l.Now() + t.Spread}
	a.each(func(s *subscriber) { s.schedule(a.stopping) })
}

// lonely is a stream whose route is no more. Without a subscriber it ends.
type lonely Stream

// Run has it linger no longer.
func (t *lonely) Run(l *loop.Loop) {
	s := (*Stream)(t)
	if s.refs.Load() == 0 && !s.ended {
		s.linger(l.Now())
	}
}

// adopt has all parts of a stream follow a route that has taken another's place.
func (s *Stream) adopt(r *Route, done *sync.WaitGroup) {
	s.plain.bound(r.limits())
	s.mu.Lock()
	for f, d := range s.derived {
		if d != nil && form(f) != deflated { // whose past goes out plain
			d.log.bound(r.limits())
		}
	}
	s.mu.Unlock()
	for i := range s.audiences {
		a := &s.audiences[i]
		done.Add(1)
		a.crew.loop.Post(&adopting{a, r, done})
	}
	done.Add(1)
	s.loop.Post(&renewing{s, done})
}

// adopting tells an audience of the route that is its stream's now.
type adopting struct {
	audience *audience
	route    *Route
	done     *sync.WaitGroup
}

// Run has its subscribers follow.
func (t *adopting) Run(*loop.Loop) {
	defer t.done.Done()
	a := t.audience
	old := a.route
	a.route = t.route
	a.each(func(s *subscriber) { s.adopt(old) })
}

// adopt sets the subscriber's clocks by a route that has taken old's place.
func (s *subscriber) adopt(old *Route) {
	r, now := s.route(), s.loop().Now()
	every, before := r.Timeouts.Ping, old.Timeouts.Ping
	switch {
	case every == before:
	case every > 0 && s.has(flagAsked) && s.heard < s.due-before: // one is out, and its clock runs
		s.due += every - before
	default:
		s.flags &^= flagAsked
		if next := now + time.Duration(s.loop().Random()%uint64(max(every, 1))); before == 0 || next < s.due {
			s.due = next
		}
	}
	if a := s.more; a != nil && r.Limits != old.Limits {
		a.tokens, a.pings = limit.Bucket{}, limit.Bucket{} // what it owes is counted by the old rate
		if a.throttle != 0 {
			a.throttle = now
		}
	}
	messages := reflect.DeepEqual(r.Fanout.ClientMessages, old.Fanout.ClientMessages) && reflect.DeepEqual(r.answers, old.answers)
	if s.frame.InMessage() && !messages {
		s.flags |= flagUnheard
	}
	s.arm()
}

// renewing is a stream whose source's route has changed.
type renewing struct {
	stream *Stream
	done   *sync.WaitGroup
}

// Run has the sources follow.
func (t *renewing) Run(l *loop.Loop) {
	defer t.done.Done()
	s := t.stream
	if s.ended {
		return
	}
	s.rearrange()
	for _, src := range s.sources {
		src.adopt()
	}
	s.rearm(l.Now())
}

// adopt sets the source's clocks by the route that is the stream's now, and goes
// to another URL where the present one is not named any more.
func (s *source) adopt() {
	if s.state == over {
		return
	}
	l, r := s.stream.loop, s.stream.route()
	now := l.Now()
	if s.due == 0 || s.due > now+r.Timeouts.Ping {
		s.due = now + r.Timeouts.Ping
	}
	if every := r.Fanout.Keepalive.Every; s.keep > now+every || s.keep < now && every > 0 {
		s.keep = now + every
	}
	switch {
	case s.state == idle:
		if s.retry != 0 && !r.names(s.endpoints...) {
			s.begin()
		}
	case !r.names(s.endpoints[s.url]):
		s.moveOn()
	}
	if next := s.nextDeadline(now); next > 0 && s.state != over {
		l.Arm(&s.timer, s, next)
	}
}

// names tells whether all of these are among the route's URLs.
func (r *Route) names(endpoints ...*upstream.Endpoint) bool {
	return !slices.ContainsFunc(endpoints, func(e *upstream.Endpoint) bool { return !slices.ContainsFunc(r.endpoints, e.Same) })
}

// renew takes the URLs from the route, and goes on from the same one if that is
// among them.
func (s *source) renew() {
	list := s.stream.route().endpoints
	if s.line != nil {
		list = []*upstream.Endpoint{s.line.endpoint}
	}
	at := 0
	if s.endpoints != nil {
		at = max(slices.IndexFunc(list, s.endpoints[s.url].Same), 0)
	}
	s.endpoints, s.url = list, at
}

// moveOn leaves a URL that the route does not name any more.
func (s *source) moveOn() {
	if s.state == open {
		s.letGo(ws.CodeNormal)
		s.lose("unlisted", errUnlisted)
	} else {
		if s.conn.Live() {
			s.conn.Abort()
		}
		s.fresh()
		s.state, s.until, s.dials = idle, 0, nil
	}
	s.endpoints, s.url = nil, 0
	s.begin()
}
