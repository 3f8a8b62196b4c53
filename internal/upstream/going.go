package upstream

import (
	"sync/atomic"
	"time"
)

const (
	goingFor   = 3 * time.Second // others are asked first after an instance told a session that it goes away
	goingLook  = time.Second     // in which it tells so many that all are to leave:
	goingLeast = 3               // so many at least, or
	goingShare = 10              // one in so many of its sessions, or
	goingMost  = 20              // so many
)

// going counts the sessions that an instance has ended because it ends itself.
// One may be an application's way to end a session that is idle; some at once
// are not. Any loop may use it.
type going struct {
	since atomic.Int64 // the set's time
	n     atomic.Int64
	told  atomic.Bool
}

// GoingAway tells that the instance has ended a session because it ends itself:
// others are asked first until it has gone, or has turned out to stay. The answer
// is true once when so many have been ended that the others had better leave.
func (i *Instance) GoingAway() (leave bool) {
	now, g := i.set.now(), &i.going
	i.avoid.Store(int64(now + goingFor))
	if since := g.since.Load(); now-time.Duration(since) > goingLook && g.since.CompareAndSwap(since, int64(now)) {
		g.n.Store(0)
		g.told.Store(false)
	}
	need := min(max(i.sessions.Load()/goingShare, goingLeast), goingMost)
	return g.n.Add(1) >= need && g.told.CompareAndSwap(false, true)
}
