package fanout

import (
	"hash/maphash"
	"slices"

	"github.com/sluice-proxy/sluice/internal/arbiter"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// line is what a source has that is one of several, all of them connected.
type line struct {
	// Set once, then read-only.
	name     string
	endpoint *upstream.Endpoint
	place    *arbiter.Line // of redundant ones
	all      *tally        // of this name, streams together

	tally // read by any goroutine
	// Owned by the stream's loop.
	counted arbiter.Counts // what the tallies have
}

// arbitrated tells whether the stream's sources are all connected.
func (s *Stream) arbitrated() bool { return s.route().arbitrated() }

func (r *Route) arbitrated() bool {
	return r.Fanout.Arbitration == "merge" || r.Fanout.Arbitration == "first"
}

func (r *Route) rules() arbiter.Rules {
	return arbiter.Rules{Window: r.Fanout.Dedupe.Window, Bytes: r.Fanout.Dedupe.Bytes}
}

// arrange makes the stream's sources. The caller holds the lock of its home.
func (s *Stream) arrange(r *Route) {
	if !r.arbitrated() {
		src := &source{stream: s}
		src.fresh()
		s.sources = []*source{src}
		return
	}
	if r.Fanout.Arbitration == "first" {
		s.judge = &arbiter.Arbiter{Rules: r.rules()}
		s.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	}
	for i, e := range r.endpoints {
		s.sources = append(s.sources, s.newLine(r.Fanout.Source[i].Name, e))
	}
}

// newLine makes one of several sources. The caller holds the lock of the home.
func (s *Stream) newLine(name string, e *upstream.Endpoint) *source {
	src := &source{stream: s, line: &line{name: name, endpoint: e}}
	all := s.home.tallies[name]
	if all == nil {
		all = &tally{}
		s.home.tallies[name] = all
	}
	src.line.all = all
	if s.judge != nil {
		src.line.place = s.judge.Line()
	}
	src.fresh()
	return src
}

// rearrange follows a route that has taken another's place: sources that are
// still named stay, others are left, and new ones connected.
func (s *Stream) rearrange() {
	r := s.route()
	if !r.arbitrated() {
		return
	}
	var next, begun []*source
	s.home.mu.Lock()
	for i, e := range r.endpoints {
		k := slices.IndexFunc(s.sources, func(src *source) bool { return src.line.endpoint.Same(e) })
		if k >= 0 {
			next = append(next, s.sources[k])
			continue
		}
		src := s.newLine(r.Fanout.Source[i].Name, e)
		next, begun = append(next, src), append(begun, src)
	}
	s.home.mu.Unlock()
	was := s.sources
	s.mu.Lock()
	s.sources = next
	s.mu.Unlock()
	if s.judge != nil {
		s.judge.Rules = r.rules()
	}
	for _, src := range begun {
		src.begin()
	}
	for _, src := range was {
		if !slices.Contains(next, src) {
			s.part(src)
		}
	}
}

// forward passes a client's message on to the first source that is open, or
// keeps it until one takes it.
func (s *Stream) forward(frame []byte) {
	to := s.speaker()
	switch {
	case s.ended:
		s.drop(frame)
	case to != nil && len(s.queue) == 0 && !to.conn.Full():
		s.queued.Add(-int64(len(frame)))
		to.conn.Write(frame)
		to.awaitRoom()
	default:
		s.queue = append(s.queue, frame)
	}
}

// drop gives up a client's message that no source will take.
func (s *Stream) drop(frame []byte) {
	s.queued.Add(-int64(len(frame)))
	s.route().Observe.Lost(s.route().Name, lostUnsent, 1)
}

// speaker gives the source that clients' messages go to, or nil.
func (s *Stream) speaker() *source {
	for _, src := range s.sources {
		if src.state == open {
			return src
		}
	}
	return nil
}

// unqueue writes what waits for a source that is open.
func (s *Stream) unqueue(to *source) {
	for len(s.queue) > 0 && to.state == open && !to.conn.Full() {
		frame := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.queued.Add(-int64(len(frame)))
		to.conn.Write(frame)
	}
	if len(s.queue) == 0 {
		s.queue = nil
	}
}
