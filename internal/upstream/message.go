package upstream

import "slices"

// Message chooses the instance for one message of a session that has
// connections to the instances own already, whose session caps don't stand
// against those therefore. Those of avoid are chosen only where there is no
// other. Nobody is counted in: who connects for it does that with Choice.Take.
func (b *Balancer) Message(key uint64, own, avoid []*Instance) (*Instance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	members := *b.pool.members.Load()
	b.own = own
	err := b.snapshot(members, avoid)
	if err == ErrTried && len(avoid) > 0 {
		err = b.snapshot(members, nil)
	}
	b.own = nil
	if err != nil {
		return nil, err
	}
	if k := b.policy.Pick(b.cs, key, b.rng); k >= 0 {
		return members[k].Instance, nil
	}
	return nil, ErrNone
}

// Take is Instance for one that is chosen already, whatever speaks for others.
func (c *Choice) Take(i *Instance) error {
	c.Settled()
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range *b.pool.members.Load() {
		switch {
		case m.Instance != i:
		case !m.Up():
			return ErrNone
		case m.cfg.MaxSessions != 0 && m.Sessions() >= m.cfg.MaxSessions:
			return ErrFull
		case m.busy():
			return ErrBusy
		default:
			i.acquire()
			i.asking.Add(1)
			c.asked = i
			return nil
		}
	}
	return ErrNone
}

// Each gives the instances of the pool, in its order, to be asked all: here tells
// which of them are up, those that are ejected too: whoever asks all wants to hear
// of each as soon as it is there. Those that are drained are left out. What it is
// given is room for that.
func (b *Balancer) Each(is []*Instance, here []bool) ([]*Instance, []bool) {
	is, here = is[:0], here[:0]
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range *b.pool.members.Load() {
		if m.draining.Load() {
			continue
		}
		is = append(is, m.Instance)
		here = append(here, m.Up())
	}
	return is, here
}

// Has tells whether the pool has the instance.
func (b *Balancer) Has(i *Instance) bool {
	return slices.ContainsFunc(*b.Pool().members.Load(), func(m member) bool { return m.Instance == i })
}

// Awaits counts messages that the instance was sent and has yet to answer, more
// with n, or fewer. Each counts as a session does.
func (i *Instance) Awaits(n int64) { i.awaited.Add(n) }

// Awaited is how many messages the instance has yet to answer.
func (i *Instance) Awaited() int64 { return i.awaited.Load() }
