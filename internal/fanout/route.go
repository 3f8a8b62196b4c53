package fanout

import (
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
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

	mu     sync.Mutex // guards routes
	routes []*Route
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
type Route struct {
	Config
	fanout    *Fanout
	endpoints []*upstream.Endpoint
	header    handshake.Header
	notice    *template.Template // nil: none
	wrap      *template.Template
	staleText *template.Template
	seed      maphash.Seed
	answers   map[string]string
	longest   int // bytes of the longest message that has an answer

	mu      sync.Mutex // guards what follows
	streams map[target]*Stream
	closed  bool
}

// NewRoute makes a route.
func (f *Fanout) NewRoute(cfg Config) (*Route, error) {
	r := &Route{Config: cfg, fanout: f, seed: maphash.MakeSeed(), streams: map[target]*Stream{}, answers: map[string]string{}}
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
	}{{cfg.Fanout.Slow.Notice, &r.notice}, {cfg.Fanout.ClientMessages.Template, &r.wrap}, {cfg.Fanout.StaleNotice, &r.staleText}} {
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
	f.routes = append(f.routes, r)
	f.mu.Unlock()
	return r, nil
}

// all gives the streams that there are.
func (f *Fanout) all() (all []*Stream) {
	f.mu.Lock()
	routes := f.routes
	f.mu.Unlock()
	for _, r := range routes {
		r.mu.Lock()
		for _, s := range r.streams {
			all = append(all, s)
		}
		r.mu.Unlock()
	}
	return all
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
	routes := f.routes
	f.mu.Unlock()
	for _, r := range routes {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
	}
	var removed sync.WaitGroup
	for _, s := range f.all() {
		s.remove(&removed)
	}
	removed.Wait() // from here on nobody begins to look anything up
	f.wg.Wait()
}
