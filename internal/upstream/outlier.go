package upstream

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-proxy/sluice/internal/health"
)

// signs are what the traffic of an instance tells of its health, since it was
// judged last. Any loop writes them; the set's sampling reads them.
type signs struct {
	dials atomic.Uint32 // that came to nothing, and
	pings atomic.Uint32 // without an answer, since the last sign of life
	fault atomic.Pointer[string]

	ended, abnormal atomic.Uint64 // sessions, ever
}

// outlier is an instance as passive health sees it.
type outlier struct {
	ejected atomic.Bool

	// Owned by the set's sampling.
	state           health.Outlier
	ended, abnormal uint64 // at the last judgement

	// Guarded by the instance's mu: state as the API shows it.
	shown     health.Outlier
	ejections map[string]uint64 // by reason, ever
}

// Unreachable tells that a dial or a handshake came to nothing: for a moment
// others are asked first. A fault of our own machine does not count.
func (i *Instance) Unreachable(err error) {
	if localFault(err) {
		return
	}
	i.avoid.Store(int64(i.set.now() + avoidFor))
	if i.Up() {
		why := rootOf(err)
		i.signs.fault.Store(&why)
		i.signs.dials.Add(1)
	}
}

// rootOf says err without the addresses in front of it.
func rootOf(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no.Error()
	}
	return err.Error()
}

// Silent tells that a ping to the instance went unanswered.
func (i *Instance) Silent() {
	if i.Up() {
		i.signs.pings.Add(1)
	}
}

// Reached tells that the instance has answered a handshake.
func (i *Instance) Reached() {
	if i.avoid.Load() != 0 {
		i.avoid.Store(0)
	}
	i.Alive()
}

// Alive tells of a sign of life. It costs two loads as long as nothing fails.
func (i *Instance) Alive() {
	if i.signs.dials.Load() != 0 {
		i.signs.dials.Store(0)
	}
	if i.signs.pings.Load() != 0 {
		i.signs.pings.Store(0)
	}
}

// Ended tells that an open session's leg has ended: by the code that the
// instance closed with, 1006 where it broke without a close, or 1000 where it
// was not the instance that ended it.
func (i *Instance) Ended(code uint16) {
	i.signs.ended.Add(1)
	if health.AbnormalEnd(code) {
		i.signs.abnormal.Add(1)
	}
}

// judgeOutliers holds all that was learnt since the last time against the
// instances. Only the set's sampling calls it.
func (s *Set) judgeOutliers(now time.Duration) {
	all := s.all()
	for _, i := range all {
		i.note(now)
	}
	var pools [][]*health.Outlier
	for _, p := range s.Pools() {
		if !p.cfg.Load().Health.Outliers {
			continue
		}
		var of []*health.Outlier
		for _, m := range *p.members.Load() {
			of = append(of, &m.outlier.state)
		}
		pools = append(pools, of)
	}
	health.JudgeOutliers(pools, now)
	for _, i := range all {
		i.sentence(now)
	}
}

// note gathers the signs for the judgement.
func (i *Instance) note(now time.Duration) {
	o := &i.outlier
	abnormal := i.signs.abnormal.Load() // first, so that it is never more than all
	ended := i.signs.ended.Load()
	s := health.Signs{
		Down: !i.Up(), Dials: int(i.signs.dials.Load()), Pings: int(i.signs.pings.Load()), Open: uint64(max(i.Sessions(), 0)),
		Ends: health.Ends{All: ended - o.ended, Abnormal: abnormal - o.abnormal},
	}
	if why := i.signs.fault.Load(); why != nil {
		s.Fault = *why
	}
	o.ended, o.abnormal = ended, abnormal
	o.state.Note(s, now)
}

// sentence carries the judgement out.
func (i *Instance) sentence(now time.Duration) {
	o := &i.outlier
	if o.state.Ejected == o.ejected.Load() {
		return
	}
	i.mu.Lock()
	o.shown = o.state
	if o.state.Ejected {
		if o.ejections == nil {
			o.ejections = map[string]uint64{}
		}
		o.ejections[o.state.Reason]++
	}
	i.mu.Unlock()
	if !o.state.Ejected {
		i.Alive() // what failed before is paid for
		i.given.Store(0)
	}
	o.ejected.Store(o.state.Ejected)
	if o.state.Ejected {
		i.set.log.Warn("instance ejected", "instance", i.name, "why", o.state.Why, "for", o.state.Until-now)
		return
	}
	i.set.log.Info("instance comes back", "instance", i.name)
}

// ejected tells whether m is to take no new sessions of the pool.
func (p *Pool) ejected(m member) bool {
	return p.cfg.Load().Health.Outliers && m.outlier.ejected.Load()
}

// viewOutlier adds to v what passive health says.
func (p *Pool) viewOutlier(v *View, m member) {
	if !p.cfg.Load().Health.Outliers {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for reason, n := range m.outlier.ejections {
		if v.Ejections == nil {
			v.Ejections = map[string]uint64{}
		}
		v.Ejections[reason] = n
	}
	if o := &m.outlier.shown; o.Ejected && v.State != "down" {
		left := max(o.Until-m.set.now(), 0)
		v.State, v.Why, v.Until = "ejected", o.Why, left.Round(100*time.Millisecond).String()
	}
}
