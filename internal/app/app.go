package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/admin"
	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/keep"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/relay"
	"github.com/sluice-proxy/sluice/internal/server"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Options are what does not come from the configuration.
type Options struct {
	Stream  bool      // use the stream transport everywhere
	Log     io.Writer // where log lines go; or
	Logger  slog.Handler
	Version string
	// Embedded leaves what concerns the whole process to the program that
	// this is a part of.
	Embedded bool
}

// App is a running Sluice.
type App struct {
	// Set once, then read-only.
	cfg       *config.Config
	opt       Options
	lines     *queue
	log       *slog.Logger
	started   time.Time
	metrics   *admin.Metrics
	group     *loop.Group
	relay     *relay.Relay
	fanout    *fanout.Fanout
	set       *upstream.Set
	server    *server.Server
	routes    []admin.Route
	listeners []listener
	admin     net.Listener // nil: off

	// Hurry has a drain under way end at once. Any goroutine may call it.
	Hurry     context.CancelFunc
	impatient context.Context // ends with Hurry

	draining atomic.Bool
	wg       sync.WaitGroup
}

type listener struct {
	net.Listener
	cfg   *config.Listener
	certs *server.Certificates
}

// New builds an App and listens. On error nothing is left open.
func New(ctx context.Context, cfg *config.Config, opt Options) (*App, error) {
	a := &App{cfg: cfg, opt: opt, started: time.Now(), metrics: admin.NewMetrics()}
	a.lines = newQueue()
	if opt.Logger == nil {
		opt.Logger = newHandler(cfg.Log, opt.Log)
	}
	a.log = a.lines.logger(opt.Logger)
	a.impatient, a.Hurry = context.WithCancel(context.Background())
	var err error
	a.group, err = loop.Start(loop.Options{Stream: opt.Stream, Panicked: a.panicked})
	if err != nil {
		a.lines.close()
		return nil, err
	}
	if err := a.build(ctx); err != nil {
		a.closeListeners()
		a.group.Stop()
		a.lines.close()
		return nil, err
	}
	return a, nil
}

func (a *App) panicked(v any, stack []byte) {
	a.log.Error("panic in a session; the session is closed", "panic", fmt.Sprint(v), "stack", string(stack))
}

// build makes all parts, from the inside to the outside.
func (a *App) build(ctx context.Context) error {
	a.relay = relay.New(a.group)
	a.fanout = fanout.New(a.group)
	a.set = upstream.NewSet(len(a.group.Loops()), a.log, (*watcher)(a))
	a.server = server.New(server.Config{
		Group: a.group, Relay: a.relay, Fanout: a.fanout, Log: a.log, Observe: a.metrics,
		Limits: a.cfg.Limits, Trusted: a.cfg.TrustedProxies, Listens: len(a.cfg.Listen),
	})
	if err := a.buildRoutes(ctx); err != nil {
		return err
	}
	a.metrics.SetSource(a)
	return a.listen()
}

func (a *App) buildRoutes(ctx context.Context) error {
	pools := map[string]*upstream.Pool{}
	var table server.Table
	for _, rc := range a.cfg.Routes {
		var rt *server.Route
		var err error
		if rc.Fanout != nil {
			rt, err = a.fanoutRoute(rc)
		} else {
			rt, err = a.balanceRoute(ctx, rc, pools)
		}
		if err != nil {
			return fmt.Errorf("route %s: %w", rc.Name, err)
		}
		table = append(table, rt)
	}
	a.server.Swap(table)
	return nil
}

func (a *App) balanceRoute(ctx context.Context, rc *config.Route, pools map[string]*upstream.Pool) (*server.Route, error) {
	b := rc.Balance
	if pools[b.Pool] == nil {
		p, err := a.set.Add(ctx, a.cfg.Pools[b.Pool])
		if err != nil {
			return nil, err
		}
		pools[b.Pool] = p
	}
	rr := &relay.Route{
		Name: rc.Name, Timeouts: rc.Timeouts, Limits: rc.Limits, Failover: b.Failover, Move: b.Move, Keep: keepRules(b),
		Log: a.log, Complain: &upstream.Complaints{Log: a.log}, LogOpen: a.logOpen(), LogClose: a.logClose(),
		Observe: a.metrics, Counters: loop.NewCounters(a.group), Ended: a.server.Ended,
	}
	a.routes = append(a.routes, admin.Route{Name: rr.Name, Counters: rr.Counters})
	return server.NewRoute(rc, rr, upstream.NewBalancer(pools[b.Pool], b.Policy.Kind, b.StickyCookie)), nil
}

// keepRules are those of a route whose clients are kept; nil for others.
func keepRules(b *config.Balance) *keep.Rules {
	f := &b.Failover
	if !f.Keep() {
		return nil
	}
	return &keep.Rules{
		Unproven: f.Unproven, Hold: f.Hold, Buffer: int(f.Buffer), Greeting: b.Greeting, First: f.Replay.First, Swallow: f.Replay.Swallow,
	}
}

func (a *App) fanoutRoute(rc *config.Route) (*server.Route, error) {
	fr, err := a.fanout.NewRoute(fanout.Config{
		Name: rc.Name, Timeouts: rc.Timeouts, Limits: rc.Limits, Fanout: rc.Fanout, Header: rc.Headers.Set,
		Log: a.log, Complain: &upstream.Complaints{Log: a.log}, LogOpen: a.logOpen(), LogClose: a.logClose(),
		Observe: a.metrics, Counters: loop.NewCounters(a.group), Ended: a.server.Unsubscribed,
	})
	if err != nil {
		return nil, err
	}
	a.routes = append(a.routes, admin.Route{Name: rc.Name, Counters: fr.Counters, Fanout: fr})
	return server.NewFanoutRoute(rc, fr), nil
}

func (a *App) logOpen() bool { return a.cfg.Log.Sessions == "both" }

func (a *App) logClose() bool { return a.cfg.Log.Sessions != "none" }

func (a *App) listen() error {
	if a.cfg.Admin.Token == "***" {
		return errors.New("admin.token: *** is how --print-config shows a token; write the token")
	}
	for i := range a.cfg.Listen {
		lc := &a.cfg.Listen[i]
		l := listener{cfg: lc}
		var err error
		if lc.TLS != nil {
			if l.certs, err = server.LoadCertificates(lc.TLS.Cert, lc.TLS.Key, a.log); err != nil {
				return fmt.Errorf("listen %s: tls: %w", lc.Address, err)
			}
		}
		if l.Listener, err = server.Listen(lc.Address); err != nil {
			return err
		}
		a.listeners = append(a.listeners, l)
	}
	if a.cfg.Admin.Address == "" {
		return nil
	}
	var err error
	if a.admin, err = server.Listen(a.cfg.Admin.Address); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

func (a *App) closeListeners() {
	for _, l := range a.listeners {
		l.Close()
	}
	if a.admin != nil {
		a.admin.Close()
	}
}

// Handler serves requests of somebody else's HTTP server while Run runs.
func (a *App) Handler() http.Handler { return a.server }

// Addresses are those of the listeners, in the configuration's order.
func (a *App) Addresses() []net.Addr {
	var out []net.Addr
	for _, l := range a.listeners {
		out = append(out, l.Addr())
	}
	return out
}

// AdminAddress is the admin listener's, or nil.
func (a *App) AdminAddress() net.Addr {
	if a.admin == nil {
		return nil
	}
	return a.admin.Addr()
}

// Run serves until ctx ends, then drains. It returns when everything has
// ended. An error is a listener's.
func (a *App) Run(ctx context.Context) error {
	defer a.lines.close()
	inner, cancel := context.WithCancel(context.Background())
	failed := make(chan error, len(a.listeners)+1)
	a.goDo(func() { a.set.Run(inner) })
	a.goDo(func() { a.keepBalanced(inner) })
	if !a.opt.Embedded {
		a.goDo(func() { a.keepTrim(inner) })
	}
	var web *http.Server
	if a.admin != nil {
		web = &http.Server{Handler: admin.Handler(a.metrics, a.cfg.Admin.Token, a.opt.Version), ReadHeaderTimeout: 5 * time.Second}
		a.goDo(func() { failed <- web.Serve(a.admin) })
		a.log.Info("admin", "address", a.admin.Addr().String())
	}
	for _, l := range a.listeners {
		a.serve(inner, l, failed)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.draining.Store(true)
	a.log.Info("stopping", "sessions", a.server.Sessions(), "drain", a.cfg.Drain)
	a.server.Shutdown(a.impatient, a.cfg.Drain)
	if web != nil {
		web.Close()
	}
	cancel()
	a.fanout.Close()
	a.group.Stop()
	a.wg.Wait()
	a.log.Info("stopped")
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func (a *App) serve(ctx context.Context, l listener, failed chan<- error) {
	if l.certs != nil {
		a.goDo(func() {
			if err := l.certs.Watch(ctx); err != nil {
				a.log.Warn("certificate files not watched; restart to renew", "err", err)
			}
		})
	}
	a.log.Info("listening", "address", l.Addr().String(), "tls", l.certs != nil)
	a.goDo(func() {
		if err := a.server.Serve(l.Listener, l.cfg, l.certs); err != nil {
			failed <- err
		}
	})
}

// goDo runs f in a goroutine that Run waits for.
func (a *App) goDo(f func()) {
	a.wg.Add(1)
	go func() {
		defer a.wg.Done()
		f()
	}()
}

// Routes implements admin.Source.
func (a *App) Routes() []admin.Route { return a.routes }

// Pools implements admin.Source.
func (a *App) Pools() []*upstream.Pool { return a.set.Pools() }

// Draining implements admin.Source.
func (a *App) Draining() bool { return a.draining.Load() }

// Started implements admin.Source.
func (a *App) Started() time.Time { return a.started }

// LogDrops implements admin.Source.
func (a *App) LogDrops() uint64 { return a.lines.drops.Load() }

// downDeadline is how long a session of an instance that is down waits for a
// moment of silence.
const downDeadline = 5 * time.Second

// watcher moves sessions when instances change.
type watcher App

// InstanceDown implements upstream.Observer.
func (w *watcher) InstanceDown(i *upstream.Instance, _ string) {
	w.relay.Leave(relay.Leaving{Instance: i, Code: ws.CodeRestart, Reason: "the instance is down", Failover: true, Move: "down", Deadline: downDeadline})
}

// InstanceUp implements upstream.Observer.
func (w *watcher) InstanceUp(*upstream.Instance) {}

// InstanceRemoved implements upstream.Observer.
func (w *watcher) InstanceRemoved(i *upstream.Instance) {
	w.server.Forget(i)
	w.relay.Leave(relay.Leaving{Instance: i, Code: ws.CodeRestart, Reason: "the instance was removed", Failover: true, Move: "removed", Deadline: downDeadline})
}
