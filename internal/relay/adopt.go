package relay

import (
	"slices"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Adopt has the sessions of a route go on under another one, which has taken
// its place: those on instances that are among members stay where they are, the
// others leave theirs. It waits until all do.
func (r *Relay) Adopt(old, rt *Route, members []*upstream.Instance) {
	old.next.Store(rt)
	var done sync.WaitGroup
	for _, l := range r.group.Loops() {
		done.Add(1)
		l.Post(&adoptTask{r, old, rt, members, &done})
	}
	done.Wait()
}

type adoptTask struct {
	relay    *Relay
	old, now *Route
	members  []*upstream.Instance
	done     *sync.WaitGroup
}

// Run walks the loop's sessions.
func (t *adoptTask) Run(l *loop.Loop) {
	defer t.done.Done()
	for s := t.relay.fleet[l.Index].first; s != nil; {
		next := s.next
		if s.route == t.old {
			s.adopt(t.now)
			if s.inst != nil && s.phase <= open && !slices.Contains(t.members, s.inst) {
				s.schedule(&Leaving{Instance: s.inst, Code: ws.CodeRestart, Reason: "the instance was removed from the route", Failover: true})
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
	s.route = rt
	now := s.now()
	if every := rt.Timeouts.Ping; every > 0 && s.phase > opening {
		for _, x := range [2]*side{&s.client, &s.leg} {
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
