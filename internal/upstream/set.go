package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
)

// Observer is told when an instance's verdict changes and when one leaves.
type Observer interface {
	InstanceDown(i *Instance, why string)
	InstanceUp(i *Instance)
	InstanceRemoved(i *Instance)
	InstanceDraining(i *Instance)
}

// Set keeps every instance once.
type Set struct {
	loops    int
	log      *slog.Logger
	observer Observer
	base     time.Time
	wg       sync.WaitGroup

	mu        sync.Mutex           // guards what follows
	instances map[string]*Instance // by key
	pools     []*Pool
	ctx       context.Context // of Run
	ended     bool            // Run has: nothing is started any more
}

// NewSet makes an empty set for that many loops.
func NewSet(loops int, log *slog.Logger, o Observer) *Set {
	return &Set{loops: loops, log: log, observer: o, base: time.Now(), instances: map[string]*Instance{}}
}

func (s *Set) now() time.Duration { return time.Since(s.base) }

// Add makes a pool from its configuration. Its names are resolved once before
// Add returns; what cannot be is logged and tried again.
func (s *Set) Add(ctx context.Context, cfg *config.Pool) (*Pool, error) {
	if err := verifiable(cfg); err != nil {
		return nil, err
	}
	p := makePool(s, cfg)
	wanted, ok := p.resolve(ctx, cfg)
	if !ok {
		return nil, ctx.Err()
	}
	s.change(p, cfg, true, wanted)
	s.mu.Lock()
	s.pools = append(s.pools, p)
	s.keep(p)
	s.mu.Unlock()
	return p, nil
}

// verifiable checks the TLS settings of a pool's upstreams.
func verifiable(cfg *config.Pool) error {
	for _, u := range cfg.Upstreams {
		if _, err := tlsConfig(u); err != nil {
			return fmt.Errorf("pool %s: %s: %w", cfg.Name, u.URL, err)
		}
	}
	return nil
}

// Pools gives those added.
func (s *Set) Pools() []*Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pools)
}

// Run keeps the set: it probes instances, resolves names again, measures
// traffic and judges by it until ctx ends, and waits for all of that to stop.
func (s *Set) Run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	for _, p := range s.pools {
		for _, m := range *p.members.Load() {
			s.startProbes(m.Instance, p.cfg.Load())
		}
		s.keep(p)
	}
	s.mu.Unlock()
	s.keepSampled(ctx)
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wg.Wait()
}

// keep has the names of a pool looked up again and again, as its configuration
// says now. The caller holds s.mu.
func (s *Set) keep(p *Pool) {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
	if cfg := p.cfg.Load(); s.running() && named(cfg) {
		ctx, cancel := context.WithCancel(s.ctx)
		p.stop = cancel
		s.wg.Add(1)
		go p.keepResolved(ctx, cfg)
	}
}

// running tells whether goroutines may be started. The caller holds s.mu.
func (s *Set) running() bool { return s.ctx != nil && !s.ended }

func (s *Set) keepSampled(ctx context.Context) {
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	last := s.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := s.now()
		for _, i := range s.all() {
			i.sample(now - last)
			i.tellDrained()
		}
		s.judgeOutliers(now)
		last = now
	}
}

func (s *Set) all() []*Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Instance, 0, len(s.instances))
	for _, i := range s.instances {
		out = append(out, i)
	}
	return out
}

// instance gives the one for an address, made if need be. The caller holds
// s.mu.
func (s *Set) instance(u *config.Upstream, addr netip.AddrPort) (i *Instance, made bool) {
	name := instanceName(u.URL, addr)
	key := name
	if u.URL.Scheme == "wss" { // verified in another way, it is another instance
		key += fmt.Sprintf(" %+v", u.TLS)
	}
	if i = s.instances[key]; i != nil {
		return i, false
	}
	tc, err := tlsConfig(u)
	if err != nil { // it was fine when the pool was added: the file is gone since
		s.log.Error("instance without its TLS settings", "instance", name, "err", err)
		tc = &tls.Config{ServerName: u.URL.Hostname(), MinVersion: tls.VersionTLS12}
	}
	i = newInstance(s, u.URL, addr, tc)
	i.key = key
	s.instances[key] = i
	return i, true
}

// change swaps the members of p, starts what is new and lets go of what is
// gone; unless cfg, from which wanted was made, is p's no more.
func (s *Set) change(p *Pool, cfg *config.Pool, first bool, wanted []wantedMember) {
	s.mu.Lock()
	if p.cfg.Load() != cfg {
		s.mu.Unlock()
		return
	}
	gone := s.drop(s.enroll(p, first, wanted))
	s.mu.Unlock()
	s.tellGone(p, gone)
}

// enroll gives p its members. It gives those that p has no more; the caller
// holds s.mu, and drops them.
func (s *Set) enroll(p *Pool, first bool, wanted []wantedMember) (left []member) {
	old := *p.members.Load()
	members := make([]member, 0, len(wanted))
	for _, w := range wanted {
		i, made := s.instance(w.cfg, w.addr)
		had := slices.ContainsFunc(old, func(m member) bool { return m.Instance == i })
		if slices.ContainsFunc(members, func(m member) bool { return m.Instance == i }) {
			continue
		}
		if !had {
			i.pools++
		}
		if made && !first {
			i.given.Store(0) // slow start
			s.log.Info("instance joins", "pool", p.Name(), "instance", i.name)
		}
		s.startProbes(i, p.cfg.Load())
		members = append(members, member{i, w.cfg})
	}
	p.members.Store(&members)
	return slices.DeleteFunc(slices.Clone(old), func(m member) bool {
		return slices.ContainsFunc(members, func(n member) bool { return n.Instance == m.Instance })
	})
}

// drop counts those that have left a pool, and gives those that no pool has any
// more. The caller holds s.mu.
func (s *Set) drop(left []member) (gone []*Instance) {
	for _, m := range left {
		if m.pools--; m.pools == 0 {
			delete(s.instances, m.key)
			m.stopProbes()
			gone = append(gone, m.Instance)
		}
	}
	return gone
}

func (s *Set) tellGone(p *Pool, gone []*Instance) {
	for _, i := range gone {
		s.log.Info("instance leaves", "pool", p.Name(), "instance", i.name)
		s.observer.InstanceRemoved(i)
	}
}

// tlsConfig makes the TLS settings towards an upstream; nil where it speaks
// none.
func tlsConfig(u *config.Upstream) (*tls.Config, error) {
	if u.URL.Scheme != "wss" {
		return nil, nil
	}
	tc := &tls.Config{
		ServerName: u.URL.Hostname(), InsecureSkipVerify: u.TLS.Insecure, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(16),
	}
	if u.TLS.ServerName != "" {
		tc.ServerName = u.TLS.ServerName
	}
	if u.TLS.CA != "" {
		pem, err := os.ReadFile(u.TLS.CA)
		if err != nil {
			return nil, err
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New(u.TLS.CA + ": no certificate in it")
		}
	}
	return tc, nil
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "wss":
		return "443"
	}
	return "80"
}
