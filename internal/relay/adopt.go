package relay

import (
	"slices"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Adopt has the sessions of a route go on under another one, which has taken
// its place: those on instances that its pool has stay where they are, the
// others leave theirs. It waits until all do.
func (r *Relay) Adopt(old, rt *Route, pool *upstream.Pool) {
	old.next.Store(rt)
	var done sync.WaitGroup
	for _, l := range r.group.Loops() {
		done.Add(1)
		l.Post(&adoptTask{r, old, rt, pool, &done})
	}
	done.Wait()
}

type adoptTask struct {
	relay    *Relay
	old, now *Route
	pool     *upstream.Pool
	done     *sync.WaitGroup
}

// Run walks the loop's sessions.
func (t *adoptTask) Run(l *loop.Loop) {
	defer t.done.Done()
	members := t.pool.Instances() // now: none of those that sessions have here is too new to be among them
	for s := t.relay.fleet[l.Index].first; s != nil; {
		next := s.next
		if s.route == t.old {
			s.adopt(t.now)
			if s.kept != nil && s.kept.relief != nil && s.kept.relief.inst != nil && !slices.Contains(members, s.kept.relief.inst) {
				s.bereft(s.kept.relief.inst)
			}
			if s.inst != nil && s.phase <= open && !slices.Contains(members, s.inst) {
				s.schedule(&Leaving{Instance: s.inst, Code: ws.CodeRestart, Reason: "the instance was removed from the route", Move: "removed", Paced: max(s.inst.Sessions(), 1)})
			}
		}
		s = next
	}
}

// follow has a session that was on its way to its loop while its route changed
// begin under the one that there is now.
func (s *session) follow() {
	for next := s.route.next.Load(); next != nil; next = s.route.next.Load() {
		s.route = next
	}
}

// adopt sets the session's clocks by another route.
func (s *session) adopt(rt *Route) {
	old, now := s.route, s.now()
	s.route = rt
	if a, b := &old.Limits, &rt.Limits; a.MessageRate != b.MessageRate || a.MessageBurst != b.MessageBurst || a.PingsPerSecond != b.PingsPerSecond {
		s.tokens, s.pings = limit.Bucket{}, limit.Bucket{} // what it owes is counted by the old rate
		if s.throttled != 0 {
			s.throttled = now
		}
	}
	if every := rt.Timeouts.Ping; every > 0 && s.phase > opening {
		for _, x := range [2]*side{&s.client, s.leg} {
			if due := now + time.Duration(s.loop().Random()%uint64(every)); x.pingDue == 0 || x.pingDue > now+every {
				x.pingDue = due
			}
		}
	}
	if next := s.nextDeadline(now); next > 0 {
		s.loop().Arm(&s.timer, s, next)
	}
}

// Remove ends the sessions of a route that is no more, each at a time of its
// own.
func (r *Relay) Remove(rt *Route, reason string) {
	rt.removed.Store(true)
	for _, l := range r.group.Loops() {
		l.Post(&removeTask{r, rt, reason})
	}
}

type removeTask struct {
	relay  *Relay
	route  *Route
	reason string
}

// Run walks the loop's sessions.
func (t *removeTask) Run(l *loop.Loop) {
	for s := t.relay.fleet[l.Index].first; s != nil; {
		next := s.next
		if s.route == t.route {
			s.schedule(&Leaving{Code: ws.CodeRestart, Reason: t.reason, Failover: true})
		}
		s = next
	}
}
