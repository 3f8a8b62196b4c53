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
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/relay"
	"github.com/sluice-proxy/sluice/internal/scatter"
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
	// File is where the configuration came from; nil: from no file, and
	// there is no reloading it. Watch has it reloaded when it changes.
	File  *File
	Watch bool
}

// App is a running Sluice.
type App struct {
	// Set once, then read-only.
	opt       Options
	lines     *queue
	log       *slog.Logger
	level     *slog.LevelVar
	started   time.Time
	first     *config.Config // that it was started with
	metrics   *admin.Metrics
	group     *loop.Group
	relay     *relay.Relay
	scatter   *scatter.Scatter
	fanout    *fanout.Fanout
	set       *upstream.Set
	server    *server.Server
	listeners []listener
	admin     net.Listener // nil: off
	token     string       // of the admin listener

	// Hurry has a drain under way end at once. Any goroutine may call it.
	Hurry     context.CancelFunc
	impatient context.Context // ends with Hurry

	now       atomic.Pointer[build] // swapped, never changed
	reloading sync.Mutex            // held by a reload; the stop waits for it
	stopping  context.Context       // ends when the stop begins
	stop      context.CancelFunc
	draining  atomic.Bool
	wg        sync.WaitGroup
}

type listener struct {
	net.Listener
	cfg   *config.Listener
	certs *server.Certificates
}

// New builds an App and listens. On error nothing is left open.
func New(ctx context.Context, cfg *config.Config, opt Options) (*App, error) {
	a := &App{opt: opt, first: cfg, started: time.Now(), metrics: admin.NewMetrics(), level: &slog.LevelVar{}}
	a.level.Set(cfg.Log.Level)
	a.lines = newQueue()
	if opt.Logger == nil {
		opt.Logger = newHandler(cfg.Log.Format, a.level, opt.Log)
	}
	a.log = a.lines.logger(opt.Logger)
	a.impatient, a.Hurry = context.WithCancel(context.Background())
	a.stopping, a.stop = context.WithCancel(context.Background())
	var err error
	a.group, err = loop.Start(loop.Options{Stream: opt.Stream, Panicked: a.panicked})
	if err != nil {
		a.lines.close()
		return nil, err
	}
	if err := a.build(ctx, cfg); err != nil {
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
func (a *App) build(ctx context.Context, cfg *config.Config) error {
	a.relay = relay.New(a.group)
	a.scatter = scatter.New(a.group)
	a.fanout = fanout.New(a.group)
	a.set = upstream.NewSet(len(a.group.Loops()), a.log, (*watcher)(a))
	a.server = server.New(server.Config{
		Group: a.group, Relay: a.relay, Scatter: a.scatter, Fanout: a.fanout, Log: a.log, Observe: a.metrics,
		Limits: cfg.Limits, Trusted: cfg.TrustedProxies, Listens: len(cfg.Listen),
	})
	nothing := &build{cfg: &config.Config{}}
	first, update, err := a.prepare(ctx, nothing, cfg)
	if err != nil {
		return err
	}
	a.commit(nothing, first, update)
	a.metrics.SetSource(a)
	return a.listen(cfg)
}

func (a *App) listen(cfg *config.Config) error {
	if cfg.Admin.Token == "***" {
		return errors.New("admin.token: *** is how --print-config shows a token; write the token")
	}
	for i := range cfg.Listen {
		lc := &cfg.Listen[i]
		l := listener{cfg: lc}
		var err error
		if lc.TLS != nil {
			if l.certs, err = server.LoadCertificates(lc.TLS, a.log); err != nil {
				return fmt.Errorf("listen %s: tls: %w", lc.Address, err)
			}
		}
		if l.Listener, err = server.Listen(lc.Address); err != nil {
			return err
		}
		a.listeners = append(a.listeners, l)
	}
	a.token = cfg.Admin.Token
	if cfg.Admin.Address == "" {
		return nil
	}
	var err error
	if a.admin, err = server.Listen(cfg.Admin.Address); err != nil {
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
	if a.opt.File != nil && a.opt.Watch {
		a.goDo(func() { a.watch(inner) })
	}
	var web *http.Server
	if a.admin != nil {
		web = &http.Server{Handler: admin.Handler(a.metrics, a.token, a.opt.Version), ReadHeaderTimeout: 5 * time.Second}
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
	a.stop() // a reload under way comes to its end
	a.reloading.Lock()
	a.draining.Store(true)
	a.reloading.Unlock()
	drain := a.now.Load().cfg.Drain
	a.log.Info("stopping", "sessions", a.server.Sessions(), "drain", drain)
	a.server.Shutdown(a.impatient, drain)
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

// Loaded implements admin.Source.
func (a *App) Loaded() (generation int, at time.Time) {
	b := a.now.Load()
	return b.generation, b.loaded
}

// Drain implements admin.Source.
func (a *App) Drain(name string) (int, error) { return a.set.Drain(name) }

// Undrain implements admin.Source.
func (a *App) Undrain(name string) (int, error) { return a.set.Undrain(name) }

// Pools implements admin.Source.
func (a *App) Pools() []*upstream.Pool { return a.set.Pools() }

// Draining implements admin.Source.
func (a *App) Draining() bool { return a.draining.Load() }

// Sessions counts those under way, with those that are being opened. Any
// goroutine may call it.
func (a *App) Sessions() int { return a.server.Sessions() }

// Started implements admin.Source.
func (a *App) Started() time.Time { return a.started }

// LogDrops implements admin.Source.
func (a *App) LogDrops() uint64 { return a.lines.drops.Load() }

// downDeadline is how long a session of an instance that is down waits for a
// moment of silence.
const downDeadline = 5 * time.Second

// leaveSpread is over how long sessions stop sending messages to an instance that
// is to be left: they open legs elsewhere.
const leaveSpread = time.Second

// watcher moves sessions when instances change.
type watcher App

// InstanceDown implements upstream.Observer.
func (w *watcher) InstanceDown(i *upstream.Instance, _ string) {
	w.relay.Leave(relay.Leaving{Instance: i, Code: ws.CodeRestart, Reason: "the instance is down", Failover: true, Move: "down", Deadline: downDeadline})
	w.scatter.Leave(scatter.Leaving{Instance: i, Down: true})
}

// InstanceUp implements upstream.Observer.
func (w *watcher) InstanceUp(*upstream.Instance) {}

// InstanceRemoved implements upstream.Observer.
func (w *watcher) InstanceRemoved(i *upstream.Instance) {
	w.server.Forget(i)
	w.leave(i, "removed", "the instance was removed")
}

// InstanceDraining implements upstream.Observer.
func (w *watcher) InstanceDraining(i *upstream.Instance) {
	w.leave(i, "drain", "the instance is drained")
}

// leave has the sessions of an instance that is there go at their routes' pace.
func (w *watcher) leave(i *upstream.Instance, why, reason string) {
	n := i.Sessions()
	w.log.Info("sessions leave an instance", "instance", i.Name(), "sessions", n, "why", why)
	w.relay.Leave(relay.Leaving{Instance: i, Code: ws.CodeRestart, Reason: reason, Move: why, Paced: max(n, 1)})
	w.scatter.Leave(scatter.Leaving{Instance: i, Spread: leaveSpread})
}
