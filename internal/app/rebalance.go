package app

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/sluice-proxy/sluice/internal/balance"
	"github.com/sluice-proxy/sluice/internal/relay"
	"github.com/sluice-proxy/sluice/internal/server"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// rebalanceEvery is how often shares are looked at.
const rebalanceEvery = 250 * time.Millisecond

// rebalancer keeps the shares of a pool's instances even by moving sessions of
// the routes that say so (move.rebalance), of each in turn. Run owns it.
type rebalancer struct {
	route    *relay.Route // whose turn it is
	pool     *upstream.Pool
	shifts   balance.Shifts
	moving   bool
	began    time.Time
	moves    *relay.Moves // since it began
	fraction float64      // of a session that the rate has left
}

// keepBalanced looks at the shares until ctx ends.
func (a *App) keepBalanced(ctx context.Context) {
	t := time.NewTicker(rebalanceEvery)
	defer t.Stop()
	known := map[string]*rebalancer{}
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		pools := a.rebalanced()
		for name, routes := range pools {
			b := known[name]
			if b == nil {
				b = &rebalancer{moves: new(relay.Moves)}
				known[name] = b
			}
			b.route, b.pool = routes[turn%len(routes)].Balanced()
			b.step(a.relay, a.log)
		}
		maps.DeleteFunc(known, func(name string, _ *rebalancer) bool { return pools[name] == nil })
	}
}

// rebalanced gives the routes whose sessions are to be where their share is, by
// their pools.
func (a *App) rebalanced() map[string][]*server.Route {
	pools := map[string][]*server.Route{}
	for _, rt := range a.server.Routes() {
		if rr, pool := rt.Balanced(); rr != nil && rr.Keep != nil && rr.Move.Rebalance {
			pools[pool.Name()] = append(pools[pool.Name()], rt)
		}
	}
	return pools
}

// step moves what the rate allows.
func (b *rebalancer) step(r *relay.Relay, log *slog.Logger) {
	most := 0
	if rate := b.route.Move.Rate; rate > 0 {
		b.fraction = min(b.fraction+rate*rebalanceEvery.Seconds(), max(rate, 1))
		if most = int(b.fraction); most == 0 {
			return
		}
	}
	is, cs := b.pool.Shares()
	planned := 0
	for _, s := range b.shifts.Next(cs, most) {
		r.Shift(relay.Shift{Route: b.route.Name, From: is[s.From], To: is[s.To], Sessions: s.Sessions, Over: rebalanceEvery, Why: "rebalance", Moves: b.moves})
		planned += s.Sessions
	}
	b.fraction = max(b.fraction-float64(planned), 0)
	b.tell(log)
}

// tell logs when moving begins, and when the last session that was to move has,
// or stays.
func (b *rebalancer) tell(log *slog.Logger) {
	if b.shifts.Moving == b.moving || b.moving && b.moves.Under.Load() > 0 {
		return
	}
	if b.moving = b.shifts.Moving; b.moving {
		b.began = time.Now()
		log.Info("rebalancing: shares of instances differ by more than a tenth", "pool", b.pool.Name())
		return
	}
	log.Info("rebalanced", "pool", b.pool.Name(), "sessions", b.moves.Done.Load(), "took", time.Since(b.began).Round(time.Millisecond))
	b.moves.Done.Store(0)
}
