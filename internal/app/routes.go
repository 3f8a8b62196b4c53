package app

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/admin"
	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/keep"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/relay"
	"github.com/sluice-proxy/sluice/internal/scatter"
	"github.com/sluice-proxy/sluice/internal/server"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// build is what was made of one configuration. It is read-only.
type build struct {
	cfg        *config.Config
	generation int
	loaded     time.Time
	routes     []*route
}

// route is a route of one configuration. What outlives that it shares with the
// route of its name before and after.
type route struct {
	cfg      *config.Route
	server   *server.Route
	fanout   *fanout.Route // or
	relay    *relay.Route  // or
	scatter  *scatter.Route
	balancer *upstream.Balancer
	pool     *upstream.Pool
	choosers map[string]*upstream.Balancer // scatter: by pool and policy
	counters *loop.Counters
	complain *upstream.Complaints
	made     bool // fanout was made for this one

	// Owned by the reload under way.
	faded []*fanout.Route // of the same name, with settings that those who are there keep
	old   *route          // the one whose place it takes; nil for none
}

// prepare makes the next build and what it needs of pools. Nothing changes
// before the caller commits both.
func (a *App) prepare(ctx context.Context, old *build, cfg *config.Config) (*build, *upstream.Update, error) {
	update, err := a.set.Prepare(ctx, pooled(cfg))
	if err != nil {
		return nil, nil, err
	}
	next := &build{cfg: cfg, generation: old.generation + 1, loaded: time.Now()}
	for _, rc := range cfg.Routes {
		rt := &route{cfg: rc, old: old.route(rc)}
		rt.inherit(a)
		switch {
		case rc.Fanout != nil:
			err = a.fanoutRoute(cfg, old.cfg, rt)
		case rc.Scatter != nil:
			err = a.scatterRoute(cfg, rt, update)
		default:
			a.balanceRoute(cfg, rt, update)
		}
		if err != nil {
			next.discard()
			return nil, nil, fmt.Errorf("route %s: %w", rc.Name, err)
		}
		next.routes = append(next.routes, rt)
	}
	return next, update, nil
}

// pooled gives the pools that routes use, each once.
func pooled(cfg *config.Config) (pools []*config.Pool) {
	seen := map[string]bool{}
	for _, rc := range cfg.Routes {
		for _, name := range rc.Pools() {
			if !seen[name] {
				seen[name] = true
				pools = append(pools, cfg.Pools[name])
			}
		}
	}
	return pools
}

// route gives the one whose place rc takes: of the same name and mode.
func (b *build) route(rc *config.Route) *route {
	for _, rt := range b.routes {
		if rt.cfg.Name == rc.Name && rt.cfg.Mode() == rc.Mode() {
			return rt
		}
	}
	return nil
}

// inherit takes over what does not depend on the configuration.
func (rt *route) inherit(a *App) {
	if rt.old != nil {
		rt.counters, rt.complain = rt.old.counters, rt.old.complain
		rt.faded = slices.DeleteFunc(slices.Clone(rt.old.faded), (*fanout.Route).Over)
		return
	}
	rt.counters, rt.complain = loop.NewCounters(a.group), &upstream.Complaints{Log: a.log}
}

func (a *App) balanceRoute(cfg *config.Config, rt *route, update *upstream.Update) {
	rc := rt.cfg
	rt.pool = update.Pool(rc.Balance.Pool)
	rt.relay = &relay.Route{
		Name: rc.Name, Timeouts: rc.Timeouts, Limits: rc.Limits, Failover: rc.Balance.Failover, Move: rc.Balance.Move, Keep: keepRules(rc.Balance),
		Log: a.log, Complain: rt.complain, LogOpen: logOpen(cfg), LogClose: logClose(cfg),
		Observe: a.metrics, Counters: rt.counters, Ended: a.server.Ended,
	}
	if rt.old != nil {
		rt.balancer = rt.old.balancer
	} else {
		rt.balancer = upstream.NewBalancer(rt.pool, rc.Balance.Policy.Kind, rc.Balance.StickyCookie)
	}
	rt.server = server.NewRoute(rc, rt.relay, rt.balancer)
}

// scatterRoute makes a route. Whoever chooses from a pool goes on where it was.
func (a *App) scatterRoute(cfg *config.Config, rt *route, update *upstream.Update) (err error) {
	rc := rt.cfg
	rt.choosers = map[string]*upstream.Balancer{}
	rt.scatter, err = scatter.NewRoute(scatter.Config{
		Name: rc.Name, Timeouts: rc.Timeouts, Limits: rc.Limits, Scatter: rc.Scatter,
		Log: a.log, Complain: rt.complain, LogOpen: logOpen(cfg), LogClose: logClose(cfg),
		Observe: a.metrics, Counters: rt.counters, Ended: a.server.Left,
		Balancer: func(pool, policy string) *upstream.Balancer { return rt.chooser(update.Pool(pool), policy) },
	})
	if err != nil {
		return err
	}
	instances := 0
	for _, name := range rc.Pools() {
		instances += max(len(update.Pool(name).Instances()), len(cfg.Pools[name].Upstreams))
	}
	rt.server = server.NewScatterRoute(rc, rt.scatter, min(instances+1, rc.Scatter.MaxLegs))
	return nil
}

// chooser gives the balancer of a pool and a policy, made if there was none.
func (rt *route) chooser(pool *upstream.Pool, policy string) *upstream.Balancer {
	key := policy + " " + pool.Name()
	if rt.choosers[key] == nil && rt.old != nil {
		rt.choosers[key] = rt.old.choosers[key]
	}
	if rt.choosers[key] == nil {
		rt.choosers[key] = upstream.NewBalancer(pool, policy, "")
	}
	return rt.choosers[key]
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

// fanoutRoute makes a route, or keeps the one there is where nothing of it has
// changed.
func (a *App) fanoutRoute(cfg, before *config.Config, rt *route) (err error) {
	rc, old := rt.cfg, rt.old
	if old != nil && reflect.DeepEqual(rc, old.cfg) && cfg.Log.Sessions == before.Log.Sessions {
		rt.fanout = old.fanout
	} else {
		rt.made = true
		rt.fanout, err = a.fanout.NewRoute(fanout.Config{
			Name: rc.Name, Timeouts: rc.Timeouts, Limits: rc.Limits, Fanout: rc.Fanout, Header: rc.Headers.Set,
			Log: a.log, Complain: rt.complain, LogOpen: logOpen(cfg), LogClose: logClose(cfg),
			Observe: a.metrics, Counters: rt.counters, Ended: a.server.Unsubscribed,
		})
	}
	if err != nil {
		return err
	}
	rt.server = server.NewFanoutRoute(rc, rt.fanout)
	return nil
}

// discard takes back what was made for a build that comes to nothing.
func (b *build) discard() {
	for _, rt := range b.routes {
		if rt.made {
			rt.fanout.Discard()
		}
	}
}

func logOpen(cfg *config.Config) bool { return cfg.Log.Sessions == "both" }

func logClose(cfg *config.Config) bool { return cfg.Log.Sessions != "none" }

// commit has the build take the place of old.
func (a *App) commit(old, next *build, update *upstream.Update) {
	update.Commit(func() { a.enter(next) })
	for _, rt := range next.routes {
		if rt.relay != nil && rt.old != nil {
			a.relay.Adopt(rt.old.relay, rt.relay, rt.pool)
		}
		if rt.scatter != nil && rt.old != nil {
			a.scatter.Adopt(rt.old.scatter, rt.scatter)
		}
		if rt.made && rt.old != nil && !rt.fanout.Replaces(rt.old.fanout) {
			rt.old.fanout.Fade()
			rt.faded = append(rt.faded, rt.old.fanout)
		}
	}
	for _, gone := range old.routes {
		if next.route(gone.cfg) == nil {
			a.remove(gone)
		}
	}
	for _, rt := range next.routes {
		rt.old = nil // or all that ever were would be kept
	}
	a.fanout.Sweep()
}

// enter lets clients in by the build.
func (a *App) enter(next *build) {
	var table server.Table
	for _, rt := range next.routes {
		switch {
		case rt.old == nil:
		case rt.balancer != nil:
			rt.balancer.Change(rt.pool, rt.cfg.Balance.Policy.Kind, rt.cfg.Balance.StickyCookie)
		case rt.made && rt.fanout.Replaces(rt.old.fanout):
			rt.fanout.Replace(rt.old.fanout)
		}
		table = append(table, rt.server)
	}
	a.server.Swap(table)
	a.server.Admit(next.cfg.Limits, next.cfg.TrustedProxies)
	a.now.Store(next)
}

const (
	removedReason = "the route was removed"
	removedSpread = 2 * time.Second // of a fan-out's closes
)

// remove ends the sessions of a route that is no more.
func (a *App) remove(rt *route) {
	switch {
	case rt.relay != nil:
		a.relay.Remove(rt.relay, removedReason)
		return
	case rt.scatter != nil:
		a.scatter.Leave(scatter.Leaving{Route: rt.scatter, Code: ws.CodeRestart, Reason: removedReason, Spread: rt.cfg.Scatter.Failover.Spread})
		return
	}
	for _, f := range append(slices.Clone(rt.faded), rt.fanout) {
		f.Remove(fanout.Leaving{Code: ws.CodeRestart, Reason: removedReason, Spread: removedSpread})
	}
}

// Routes implements admin.Source.
func (a *App) Routes() (out []admin.Route) {
	for _, rt := range a.now.Load().routes {
		out = append(out, admin.Route{Name: rt.cfg.Name, Counters: rt.counters, Fanout: rt.fanout})
	}
	return out
}
