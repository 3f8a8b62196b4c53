package relay

import (
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// Shift has sessions of a route move from one instance to another that has fewer
// than its share: so many at the most, within the time given.
type Shift struct {
	Route    string
	From, To *upstream.Instance
	Sessions int
	Over     time.Duration
	Why      string
	Moves    *Moves
}

// Moves counts what became of shifts.
type Moves struct {
	Under atomic.Int64 // sessions on their way
	Done  atomic.Int64 // those that have moved
}

// Shift plans the moves. Sessions that can't move, or whose other leg does not
// come to stand, stay where they are.
func (r *Relay) Shift(w Shift) {
	t := &shiftTask{relay: r, Shift: w}
	t.left.Store(int64(w.Sessions))
	for _, l := range r.group.Loops() {
		l.Post(t)
	}
}

type shiftTask struct {
	relay *Relay
	Shift
	left atomic.Int64 // sessions that loops have yet to choose
}

// Run chooses among the loop's sessions.
func (t *shiftTask) Run(l *loop.Loop) {
	for s := t.relay.fleet[l.Index].first; s != nil && t.left.Load() > 0; s = s.next {
		if s.inst != t.From || s.phase != open || s.kept == nil || s.kept.plan != nil || s.kept.relief != nil || s.route.Name != t.Route || !s.kept.Movable() {
			continue
		}
		if t.left.Add(-1) < 0 {
			return
		}
		s.planMove(plan{why: t.Why, from: t.From, target: t.To, moves: t.Moves, at: l.Now() + s.someOf(t.Over)})
	}
}
