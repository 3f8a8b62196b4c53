package upstream

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-proxy/sluice/internal/config"
)

// Update is the next configuration of a set's pools, ready to take effect.
type Update struct {
	set   *Set
	pools []nextPool
}

// nextPool is a pool and what it is to become.
type nextPool struct {
	*Pool
	cfg    *config.Pool
	wanted []wantedMember
	made   bool // by this update
}

// Prepare checks and resolves the next configuration of the pools, each by its
// name. Nothing changes before Commit, and nothing at all on an error. Only one
// Update is made at a time. A pool without any address is an error, save for the
// first update: whoever starts may start before the others.
func (s *Set) Prepare(ctx context.Context, cfgs []*config.Pool) (*Update, error) {
	u := &Update{set: s}
	for _, cfg := range cfgs {
		if err := verifiable(cfg); err != nil {
			return nil, err
		}
	}
	first := len(s.Pools()) == 0
	for _, cfg := range cfgs {
		n := nextPool{Pool: s.pool(cfg.Name), cfg: cfg}
		if n.made = n.Pool == nil; n.made {
			n.Pool = makePool(s, cfg)
		}
		var ok bool
		if n.wanted, ok = n.resolve(ctx, cfg); !ok {
			return nil, fmt.Errorf("pool %s: names not resolved: %w", cfg.Name, ctx.Err())
		}
		if len(n.wanted) == 0 && !first {
			return nil, fmt.Errorf("pool %s: no name of its upstreams could be looked up", cfg.Name)
		}
		u.pools = append(u.pools, n)
	}
	return u, nil
}

// pool gives the one of that name, or nil.
func (s *Set) pool(name string) *Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := slices.IndexFunc(s.pools, func(p *Pool) bool { return p.name == name }); k >= 0 {
		return s.pools[k]
	}
	return nil
}

// Pool gives the pool of that name as it will be; nil for none.
func (u *Update) Pool(name string) *Pool {
	for _, n := range u.pools {
		if n.name == name {
			return n.Pool
		}
	}
	return nil
}

// Commit has the update take effect. Instances that stay in any pool keep their
// sessions, health and past; the observer is told of those that are in none.
// meanwhile is called when all pools are as they will be and none is gone yet:
// whoever chooses from one that goes is to choose from another from there on.
func (u *Update) Commit(meanwhile func()) {
	s := u.set
	left := map[*Pool][]member{}
	s.mu.Lock()
	before := s.pools
	s.pools = make([]*Pool, 0, len(u.pools))
	for _, n := range u.pools {
		n.Pool.cfg.Store(n.cfg)
		s.pools = append(s.pools, n.Pool)
	}
	for _, n := range u.pools { // all join before any is dropped: one may move to another pool
		left[n.Pool] = s.enroll(n.Pool, n.made, n.wanted)
		s.keep(n.Pool)
	}
	s.mu.Unlock()
	meanwhile()
	gone, up := u.let(before, left)
	for p, is := range gone {
		s.tellGone(p, is)
	}
	for _, i := range up {
		s.log.Info("instance up", "instance", i.name)
		s.observer.InstanceUp(i)
	}
}

// let lets go of what the update has no more. It gives the instances that are in
// no pool, and those that count as up because nobody probes them any more.
func (u *Update) let(before []*Pool, left map[*Pool][]member) (gone map[*Pool][]*Instance, up []*Instance) {
	s := u.set
	gone = map[*Pool][]*Instance{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range before {
		if !slices.Contains(s.pools, p) {
			p.cfg.Store(&config.Pool{Name: p.name}) // what is being looked up comes too late
			left[p] = s.enroll(p, false, nil)
			s.keep(p)
		}
	}
	for p, ms := range left {
		gone[p] = s.drop(ms)
	}
	return gone, s.reprobe()
}

// reprobe has every instance probed as the first of its pools says that has it
// probed at all. It gives those that were down and are not probed any more. The
// caller holds s.mu.
func (s *Set) reprobe() (up []*Instance) {
	by := map[*Instance]*config.Pool{}
	for _, p := range s.pools {
		for _, m := range *p.members.Load() {
			if cfg := p.cfg.Load(); by[m.Instance] == nil && proberOf(m.Instance, cfg) != nil {
				by[m.Instance] = cfg
			}
		}
	}
	for _, i := range s.instances {
		cfg := by[i]
		if cfg != nil && i.prober != nil && *i.prober == *proberOf(i, cfg) {
			continue
		}
		probed := i.prober != nil
		i.stopProbes()
		if cfg != nil {
			s.startProbes(i, cfg)
		} else if probed && i.trust() {
			up = append(up, i)
		}
	}
	return up
}
