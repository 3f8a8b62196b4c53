package upstream

import (
	"sync/atomic"

	"github.com/sluice-proxy/sluice/internal/balance"
	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
)

// Pool is a list of upstreams and the instances that they resolve to now.
type Pool struct {
	set     *Set
	name    string                      // set once: the pool's identity
	cfg     atomic.Pointer[config.Pool] // swapped by Update
	members atomic.Pointer[[]member]    // swapped, never changed
	source  atomic.Uint32               // the next source address

	// Guarded by the set's lock.
	stop func() // ends its resolving; nil: there is none
}

// member is an instance as one pool has it.
type member struct {
	*Instance
	cfg *config.Upstream
}

// busy tells whether as many handshakes with the instance are under way as it
// takes.
func (m *member) busy() bool { return m.cfg.MaxHandshakes > 0 && m.Handshakes() >= m.cfg.MaxHandshakes }

func makePool(s *Set, cfg *config.Pool) *Pool {
	p := &Pool{set: s, name: cfg.Name}
	p.cfg.Store(cfg)
	p.members.Store(&[]member{})
	return p
}

// Name is the pool's, from the configuration.
func (p *Pool) Name() string { return p.name }

// Instances gives those that the pool has now.
func (p *Pool) Instances() []*Instance {
	ms := *p.members.Load()
	out := make([]*Instance, len(ms))
	for k, m := range ms {
		out[k] = m.Instance
	}
	return out
}

// Shares gives the instances as a policy would have them if every session that
// is on its way to another were there.
func (p *Pool) Shares() ([]*Instance, []balance.Candidate) {
	ms := *p.members.Load()
	is, cs := make([]*Instance, len(ms)), make([]balance.Candidate, len(ms))
	now := p.set.now()
	for k, m := range ms {
		is[k] = m.Instance
		cs[k] = balance.Candidate{ID: m.id, Weight: max(m.cfg.Weight, 1), Sessions: m.Sessions() - int(m.leaving.Load()),
			Usable: m.Up() && !m.doubtful(now) && !p.ejected(m), Full: m.cfg.MaxSessions > 0 && m.Sessions() >= m.cfg.MaxSessions}
	}
	return is, cs
}

// Views gives the instances as the API shows them.
func (p *Pool) Views() []View {
	ms := *p.members.Load()
	least, out := leastRatio(ms), make([]View, len(ms))
	for k, m := range ms {
		out[k] = m.view(least)
		p.viewOutlier(&out[k], m)
	}
	return out
}

// leastRatio is the lowest ratio of round-trip times among instances that are
// up; 1 when there is none.
func leastRatio(ms []member) float64 {
	least := 0.0
	for _, m := range ms {
		if r := m.slow(); m.Up() && (least == 0 || r < least) {
			least = r
		}
	}
	if least == 0 {
		return 1
	}
	return least
}

// Ready tells whether any instance is up.
func (p *Pool) Ready() bool {
	for _, m := range *p.members.Load() {
		if m.Up() {
			return true
		}
	}
	return false
}

// dial says how to connect to i: from the next source address, if there are
// any.
func (p *Pool) dial(i *Instance) *loop.Dial {
	from := p.cfg.Load().SourceAddresses
	n := len(from)
	if n == 0 || i.dial.Unix != "" {
		return &i.dial
	}
	first := int(p.source.Add(1))
	for k := range n {
		local := from[(first+k)%n]
		if local.Unmap().Is4() == i.dial.Addr.Addr().Unmap().Is4() {
			d := i.dial
			d.Local = local
			return &d
		}
	}
	return &i.dial
}

// host is the Host header towards i for a client that wrote host.
func (p *Pool) host(i *Instance, host string) string {
	for _, m := range *p.members.Load() {
		if m.Instance != i {
			continue
		}
		if m.cfg.Host != "" {
			return m.cfg.Host
		}
		break
	}
	if i.url.Scheme == "wss" {
		return i.url.Host
	}
	return host
}
