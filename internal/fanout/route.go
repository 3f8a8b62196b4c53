package fanout

import (
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"text/template"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Fanout runs streams and their subscribers on the loops of a group.
type Fanout struct {
	group *loop.Group
	crews []crew // by the loop's index; each belongs to its loop
	base  time.Time
	wg    sync.WaitGroup // encoders, and those who resolve names
	// deflaters are lent to encoders: each takes 1.2 MiB.
	deflaters sync.Pool
	going     chan struct{} // closed when all are told to leave
	goOnce    sync.Once

	mu    sync.Mutex // guards homes
	homes []*home
}

// New makes a Fanout on g.
func New(g *loop.Group) *Fanout {
	f := &Fanout{group: g, crews: make([]crew, len(g.Loops())), base: time.Now(), going: make(chan struct{})}
	f.deflaters.New = func() any { return new(ws.Deflater) }
	for i, l := range g.Loops() {
		f.crews[i].loop = l
	}
	return f
}

// now is the streams' time, which nobody sets: since the Fanout was made.
func (f *Fanout) now() time.Duration { return time.Since(f.base) }

// clock is the same in milliseconds. It wraps after 49 days, so only differences
// mean something.
func (f *Fanout) clock() uint32 { return uint32(f.now().Milliseconds()) }

// Observer is told of what is rare enough to be counted by name. It must not
// block; any goroutine may call it.
type Observer interface {
	// Handshake tells how one ended: 101, 200 for SSE and NDJSON, or the
	// reason for which none came to be; and what it took.
	Handshake(route, result string, took time.Duration)
	// Closed tells which side ended a session and with which code; 0 is
	// none.
	Closed(route, side string, code uint16)
	// Lost tells of messages that did not reach a client, or never came
	// from the source, and why.
	Lost(route, reason string, messages uint64)
	// SourceLost tells that an open connection to a source has ended, and
	// why.
	SourceLost(route, reason string)
	// Delivered tells how long a message took from the source's socket to
	// the last subscriber of a loop that could take it.
	Delivered(took time.Duration)
	// DialError tells why a source could not be reached.
	DialError(reason string)
}

// Config is what a Route is made of.
type Config struct {
	Name     string
	Timeouts config.Timeouts
	Limits   config.RouteLimits
	Fanout   *config.Fanout
	Header   map[string]string // towards the source
	Log      *slog.Logger
	Complain *upstream.Complaints
	LogOpen  bool
	LogClose bool
	Observe  Observer
	Counters *loop.Counters
	// Ended is called once for each subscriber that was started, on its
	// loop, when it is no more. It must not block.
	Ended func(client netip.Addr)
}

// Route is the streams of one route. Join and the methods that show what it
// does may be called by any goroutine.
//
// A Route is read-only. Another takes its place with Replace, and its streams.
type Route struct {
	Config
	*home
	endpoints []*upstream.Endpoint
	header    handshake.Header
	notice    *template.Template // nil: none
	wrap      *template.Template
	envelope  *template.Template // of merged sources' messages
	staleText *template.Template
	seed      maphash.Seed
	answers   map[string]string
	longest   int // bytes of the longest message that has an answer
}

// home is the streams of a route, whatever it is configured to be.
type home struct {
	// Set once, then read-only.
	fanout *Fanout

	now     atomic.Pointer[Route] // the route as it is configured now
	removed atomic.Bool           // it is no more: nobody is let in
	gaps    atomic.Uint64         // stretches of numbers that no source had

	mu      sync.Mutex // guards what follows; now is stored under it
	streams map[target]*Stream
	tallies map[string]*tally // of sources by name, streams together
	closed  bool              // no stream is begun any more
}

// NewRoute makes a route, which costs nothing before somebody joins.
func (f *Fanout) NewRoute(cfg Config) (*Route, error) {
	h := &home{fanout: f, streams: map[target]*Stream{}, tallies: map[string]*tally{}}
	r := &Route{Config: cfg, home: h, seed: maphash.MakeSeed(), answers: map[string]string{}}
	h.now.Store(r)
	for _, u := range cfg.Fanout.Source {
		e, err := upstream.NewEndpoint(u)
		if err != nil {
			return nil, err
		}
		r.endpoints = append(r.endpoints, e)
	}
	r.header = handshake.Header{}
	for name, value := range cfg.Header {
		r.header[name] = []string{value}
	}
	for _, t := range []struct {
		text string
		dst  **template.Template
	}{{cfg.Fanout.Slow.Notice, &r.notice}, {cfg.Fanout.ClientMessages.Template, &r.wrap}, {cfg.Fanout.StaleNotice, &r.staleText}, {cfg.Fanout.Wrap, &r.envelope}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.dst, err = config.ParseTemplate(t.text); err != nil {
			return nil, err
		}
	}
	for _, a := range cfg.Fanout.Answers {
		r.answers[a.Match] = a.Send
		r.longest = max(r.longest, len(a.Match))
	}
	f.mu.Lock()
	f.homes = append(f.homes, h)
	f.mu.Unlock()
	return r, nil
}

// all gives the streams that there are.
func (f *Fanout) all() (all []*Stream) {
	f.mu.Lock()
	homes := f.homes
	f.mu.Unlock()
	for _, h := range homes {
		all = append(all, h.all()...)
	}
	return all
}

// all gives the streams that there are.
func (h *home) all() (all []*Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams {
		all = append(all, s)
	}
	return all
}

// close has no stream begun any more.
func (h *home) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
}

// keyed tells whether messages are told apart by what they are about.
func (r *Route) keyed() bool { return r.Fanout.Slow.Policy == "latest" }

// lag is how many bytes a client may be behind.
func (r *Route) lag() int64 { return r.Fanout.Slow.After.Bytes }

func (r *Route) limits() limits {
	h := r.Fanout.History
	return limits{messages: h.Messages, bytes: h.Bytes, age: h.Age}
}

// Close ends the connections to all sources, and waits for what runs beside
// the loops. No subscriber is left by then.
func (f *Fanout) Close() {
	f.mu.Lock()
	homes := f.homes
	f.mu.Unlock()
	for _, h := range homes {
		h.close()
	}
	var removed sync.WaitGroup
	for _, s := range f.all() {
		s.remove(&removed)
	}
	removed.Wait() // from here on nobody begins to look anything up
	f.wg.Wait()
}
