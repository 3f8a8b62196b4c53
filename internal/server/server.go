package server

import (
	"context"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/relay"
	"github.com/sluice-proxy/sluice/internal/rule"
	"github.com/sluice-proxy/sluice/internal/scatter"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Config is what a Server is made of.
type Config struct {
	Group   *loop.Group
	Relay   *relay.Relay
	Scatter *scatter.Scatter
	Fanout  *fanout.Fanout
	Log     *slog.Logger
	Observe Observer
	Limits  config.Limits
	Trusted []netip.Prefix // proxies whose X-Forwarded-* is believed
	Listens int            // how many listeners there will be
}

// Observer is told how handshakes end that no mode has seen. It must not block.
type Observer interface {
	Handshake(route, result string, took time.Duration)
}

// Server takes connections in.
type Server struct {
	cfg       Config
	trusted   atomic.Pointer[[]netip.Prefix] // swapped, never changed
	gate      *gate
	storm     *storm
	admission admission
	table     atomic.Pointer[Table] // swapped, never changed
	http      *http.Server
	closing   atomic.Bool
}

const (
	fileReserve = 512 // descriptors for everything but sessions
	idleHTTP    = 2 * time.Minute
)

// New makes a server that refuses everything until Swap gives it routes.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg}
	s.gate = newGate(cfg.Limits.HandshakesPending, cfg.Listens)
	s.storm = newStorm()
	s.admission.files = int64(max(openFiles()-fileReserve, 64))
	s.admission.countIP = cfg.Limits.SessionsPerIP > 0
	s.Admit(cfg.Limits, cfg.Trusted)
	s.admission.perIP = map[netip.Addr]int{}
	s.table.Store(&Table{})
	s.http = &http.Server{
		Handler: s, ConnState: connState, ConnContext: connContext, ReadHeaderTimeout: headTimeout, IdleTimeout: idleHTTP,
		MaxHeaderBytes: handshake.MaxHead - 4<<10, // net/http allows 4 KiB more
		ErrorLog:       log.New(&quiet{cfg.Log}, "", 0),
	}
	return s
}

// quiet logs what net/http has to say about bad peers where only those see it
// who ask.
type quiet struct{ log *slog.Logger }

func (q *quiet) Write(p []byte) (int, error) {
	q.log.Debug("http", "err", string(p[:max(len(p)-1, 0)]))
	return len(p), nil
}

// Swap puts new routes in place of the old ones.
func (s *Server) Swap(t Table) { s.table.Store(&t) }

// Routes gives the present ones.
func (s *Server) Routes() Table { return *s.table.Load() }

// Admit has other bounds hold for who comes from here on, and other proxies be
// believed. A bound by address needs the addresses of those who are there: it
// can't begin where there was none from the start. Nor does the gate change.
func (s *Server) Admit(l config.Limits, trusted []netip.Prefix) {
	s.admission.most.Store(int64(l.Sessions))
	s.admission.mostPerIP.Store(int64(l.SessionsPerIP))
	s.storm.set(l.HandshakesPerSecond)
	s.trusted.Store(&trusted)
}

// Sessions counts those under way.
func (s *Server) Sessions() int { return int(s.admission.sessions.Load()) }

// Forget drops what is kept for an instance that is no more.
func (s *Server) Forget(i *upstream.Instance) {
	for _, rt := range *s.table.Load() {
		if rt.plain != nil {
			rt.plain.forget(i)
		}
	}
}

// What sessions have, in descriptors: two legs, or one.
const (
	filesBalanced   = 2
	filesSubscribed = 1
)

// Ended counts a balanced session out; it is for relay.Route.Ended.
func (s *Server) Ended(client netip.Addr) { s.admission.leave(client, filesBalanced) }

// Left counts a scattered session out; it is for scatter.Config.Ended.
func (s *Server) Left(client netip.Addr, files int64) { s.admission.leave(client, files) }

// Unsubscribed counts a subscriber out; it is for fanout.Config.Ended.
func (s *Server) Unsubscribed(client netip.Addr) { s.admission.leave(client, filesSubscribed) }

// ServeHTTP judges a request and gives it to its route's mode.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch rt := s.table.Load().match(r); {
	case s.closing.Load():
		refuse(w, goingAway())
	case r.Method == http.MethodConnect:
		refuse(w, &handshake.Refusal{Status: 405, What: "no CONNECT here"})
	case rt == nil:
		refuse(w, &handshake.Refusal{Status: 404, What: "no route for " + strconv.Quote(r.Host+r.URL.Path)})
	case handshake.Meant(r.Header):
		s.upgrade(w, r, rt)
	case rt.fanout != nil:
		s.listen(w, r, rt)
	default:
		s.plain(w, r, rt)
	}
}

// upgrade judges a WebSocket handshake and hands the connection over.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, rt *Route) {
	began := time.Now()
	offer, refusal := judge(r)
	if refusal == nil {
		refusal = rt.forbidden(r)
	}
	p := s.peerOf(r)
	result := ""
	if refusal == nil {
		refusal, result = s.admit(r, rt, p)
	}
	switch {
	case refusal != nil:
		s.refusedAs(result, w, rt, p, refusal, began)
	case rt.fanout != nil:
		s.subscribe(w, r, rt, p, offer, began)
	default:
		s.takeOver(w, r, rt, p, offer)
	}
}

func judge(r *http.Request) (*handshake.Offer, *handshake.Refusal) {
	return handshake.Judge(&handshake.Request{
		Method: r.Method, Major: r.ProtoMajor, Minor: r.ProtoMinor, Header: r.Header,
		ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding,
	})
}

// admit counts a session in, once it is its turn, or tells why not and what
// metrics call that; "" is the status.
func (s *Server) admit(r *http.Request, rt *Route, p peer) (refusal *handshake.Refusal, result string) {
	if refusal = s.admission.admit(p.client, rt.files); refusal != nil {
		return refusal, ""
	}
	c, _ := r.Context().Value(connKey{}).(*conn)
	if refusal, result = s.storm.pace(c, r.Context().Done()); refusal != nil {
		s.admission.leave(p.client, rt.files)
	}
	return refusal, result
}

// refused answers a handshake that comes to nothing, and counts it.
func (s *Server) refused(w http.ResponseWriter, rt *Route, p peer, refusal *handshake.Refusal, began time.Time) {
	s.refusedAs("", w, rt, p, refusal, began)
}

// refusedAs is refused for what metrics call result; "" is the status.
func (s *Server) refusedAs(result string, w http.ResponseWriter, rt *Route, p peer, refusal *handshake.Refusal, began time.Time) {
	if result == "" {
		result = strconv.Itoa(refusal.Status)
	}
	s.cfg.Observe.Handshake(rt.cfg.Name, result, time.Since(began))
	told := []any{"route", rt.cfg.Name, "client", p.name(), "status", refusal.Status, "why", refusal.What}
	if refusal.Status == http.StatusForbidden { // a browser tells its page nothing
		rt.complain().Warn("handshake refused", told...)
	} else {
		s.cfg.Log.Debug("handshake refused", told...)
	}
	refuse(w, refusal)
}

// takeOver hands an admitted client to its mode.
func (s *Server) takeOver(w http.ResponseWriter, r *http.Request, rt *Route, p peer, offer *handshake.Offer) {
	start := s.prepare(r, rt, p, offer)
	taken, err := s.hijack(w)
	if err != nil {
		s.notTaken(w, rt, p, err, time.Now())
		s.admission.leave(p.client, rt.files)
		return
	}
	start(taken)
}

// prepare reads what the mode needs of a request, and gives the mode's start: it
// takes the client.
func (s *Server) prepare(r *http.Request, rt *Route, p peer, offer *handshake.Offer) (start func(loop.Taken)) {
	id := rand.Uint64()
	h := rt.forwardHeader(r, p)
	h.Set("Sluice-Session", strconv.FormatUint(id, 16))
	if rt.scatter != nil {
		q := &scatter.Request{
			Route: rt.scatter, ID: id, Addr: p.client, Files: rt.files, Offer: offer, Target: rt.target(r), Host: r.Host, Header: h,
		}
		if rt.scatter.Ruled() {
			fields := r.Header.Clone()
			fields.Set("Host", r.Host) // net/http takes it out
			q.Asked = &rule.Request{Path: r.URL.Path, Query: r.URL.Query(), Headers: fields, Client: p.name()}
		}
		return func(t loop.Taken) {
			q.Client = t
			s.cfg.Scatter.Start(q)
		}
	}
	q := &relay.Request{
		Route: rt.relay, ID: id, Addr: p.client, Offer: offer, Target: rt.target(r), Host: r.Host,
		Header: h, Pick: rt.choice(r, p.name()), Secure: p.secure,
	}
	return func(t loop.Taken) {
		q.Client = t
		s.cfg.Relay.Start(q)
	}
}

// hijack takes the connection from net/http, with what was read ahead.
func (s *Server) hijack(w http.ResponseWriter) (loop.Taken, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return loop.Taken{}, err
	}
	var rest []byte
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n)
		rest = append(rest, b...)
	}
	return s.cfg.Group.Take(nc, rest)
}

// refuse answers a request and closes its connection: nothing behind a
// refused upgrade is taken as a request.
func refuse(w http.ResponseWriter, f *handshake.Refusal) {
	for _, field := range f.Header {
		w.Header().Set(field[0], field[1])
	}
	w.Header()["Connection"] = f.Connection() // net/http closes when the first value is close
	http.Error(w, f.What, f.Status)
}

// Shutdown ends the server: nothing is accepted any more, and every session is
// closed with 1001 at a time of its own within drain. A little after drain, or
// when ctx ends, those that are left are cut.
func (s *Server) Shutdown(ctx context.Context, drain time.Duration) {
	if !s.closing.Swap(true) {
		close(s.storm.ending)
	}
	ctx, cancel := context.WithTimeout(ctx, drain+lastCall)
	defer cancel()
	web := make(chan struct{})
	go s.shutdownHTTP(ctx, web)
	s.cfg.Relay.Leave(relay.Leaving{Code: ws.CodeGoingAway, Reason: "going away", Spread: drain})
	s.cfg.Scatter.Leave(scatter.Leaving{Code: ws.CodeGoingAway, Reason: "going away", Spread: drain})
	s.cfg.Fanout.Leave(fanout.Leaving{Code: ws.CodeGoingAway, Reason: "going away", Spread: drain})
	empty := make(chan struct{})
	go s.awaitSessions(empty)
	select {
	case <-empty:
	case <-ctx.Done():
		s.cfg.Relay.Cut()
		s.cfg.Scatter.Cut()
		s.cfg.Fanout.Cut()
	}
	<-web
}

// lastCall is for the closing handshakes of the last sessions.
const lastCall = 2 * time.Second

func (s *Server) shutdownHTTP(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

func (s *Server) awaitSessions(empty chan<- struct{}) {
	s.admission.wg.Wait()
	close(empty)
}
