package upstream

import "slices"

// Message chooses the instance for one message of a session that has
// connections to the instances own already, whose session caps don't stand
// against those therefore. Those of avoid are chosen only where there is no
// other. Nobody is counted in: who connects for it does that with Choice.This.
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

// Each gives the instances of the pool, in its order, to be asked all: here tells
// which of them are up. Those that are drained are left out. What it is given is
// room for that.
func (b *Balancer) Each(is []*Instance, here []bool) ([]*Instance, []bool) {
	is, here = is[:0], here[:0]
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range *b.pool.members.Load() {
		if m.draining.Load() {
			continue
		}
		is = append(is, m.Instance)
		here = append(here, m.Up() && !b.pool.ejected(m))
	}
	if !slices.Contains(here, true) { // those that are ejected are better than none
		for k, i := range is {
			here[k] = i.Up()
		}
	}
	return is, here
}

// Leg counts a session in, and a handshake, with the instance that a message goes
// to, as Instance does. What speaks for others was weighed when it was chosen: it
// need only be up, and have room.
func (c *Choice) Leg(i *Instance) error {
	c.Settled()
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range *b.pool.members.Load() {
		if m.Instance != i {
			continue
		}
		switch against := b.against(m, nil, b.pool.set.now()); {
		case against == down:
			return ErrNone
		case against.isFull():
			return ErrFull
		case m.busy():
			return ErrBusy
		}
		i.acquire()
		i.asking.Add(1)
		c.asked = i
		return nil
	}
	return ErrNone
}

// Has tells whether the pool has the instance.
func (b *Balancer) Has(i *Instance) bool {
	return slices.ContainsFunc(*b.Pool().members.Load(), func(m member) bool { return m.Instance == i })
}

// Awaits counts messages that the instance was sent and has yet to answer, more
// with n, or fewer. Each counts as a session does.
func (i *Instance) Awaits(n int64) { i.awaited.Add(n) }

// Awaited counts them.
func (i *Instance) Awaited() int64 { return i.awaited.Load() }
