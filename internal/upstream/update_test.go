package upstream

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/health"
)

// poolOf is the configuration of a pool; its upstreams are written as for
// upstreamAt.
func poolOf(t *testing.T, name string, upstreams ...string) *config.Pool {
	t.Helper()
	cfg := &config.Pool{Name: name, Health: config.Health{Probe: "none"}}
	for _, u := range upstreams {
		cfg.Upstreams = append(cfg.Upstreams, upstreamAt(t, u))
	}
	return cfg
}

// updates has the set's pools be these.
func updates(t *testing.T, s *Set, cfgs ...*config.Pool) {
	t.Helper()
	u, err := s.Prepare(t.Context(), cfgs)
	if err != nil {
		t.Fatal(err)
	}
	u.Commit(func() {})
}

func TestUpdateChangesAPoolInPlace(t *testing.T) {
	s, w := newSet()
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.1:9000", "ws://10.0.0.2:9000"))
	p := s.Pools()[0]
	one, two := p.Instances()[0], p.Instances()[1]
	one.acquire()
	one.RTT(time.Second)
	setDown(one)
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.3:9000", "ws://10.0.0.1:9000 weight=3"))
	if s.Pools()[0] != p || names(p) != "3 1" {
		t.Fatalf("the pool is another one, or has %s", names(p))
	}
	if i := p.Instances()[1]; i != one || i.Sessions() != 1 || i.Up() || i.view(1).Load.RTT != 1000 {
		t.Errorf("who stays keeps count, health and past: %+v", i.view(1))
	}
	if i := p.Instances()[0]; i.view(1).State != "starting" {
		t.Errorf("who joins is %s", i.view(1).State)
	}
	wantHeard(t, w, "the update", "removed "+two.Name())
}

// TestUpdateMovesAnInstance to another pool, which is made before its old one
// goes: it is never in none.
func TestUpdateMovesAnInstance(t *testing.T) {
	s, w := newSet()
	updates(t, s, poolOf(t, "a", "ws://10.0.0.1:9000"), poolOf(t, "b", "ws://10.0.0.1:9000", "ws://10.0.0.2:9000"))
	one := s.Pools()[0].Instances()[0]
	b := NewBalancer(s.Pools()[0], "round_robin", "")
	u, err := s.Prepare(t.Context(), []*config.Pool{poolOf(t, "c", "ws://10.0.0.1:9000")})
	if err != nil {
		t.Fatal(err)
	}
	wantHeard(t, w, "preparing")
	u.Commit(func() {
		choose(t, b.For("", "")).Release()
		b.Change(u.Pool("c"), "round_robin", "")
		choose(t, b.For("", "")).Release()
	})
	if got := s.Pools(); len(got) != 1 || got[0].Name() != "c" || got[0].Instances()[0] != one {
		t.Errorf("there are %d pools, the first is %s", len(got), got[0].Name())
	}
	wantHeard(t, w, "the update", "removed ws://10.0.0.2:9000")
	if one.pools != 1 {
		t.Errorf("it counts as in %d pools", one.pools)
	}
}

func TestPrepareChangesNothing(t *testing.T) {
	s, w := newSet()
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.1:9000"))
	bad := poolOf(t, "prices", "ws://10.0.0.2:9000", "wss://10.0.0.3:9000")
	bad.Upstreams[1].TLS.CA = "/nonexistent.pem"
	if _, err := s.Prepare(t.Context(), []*config.Pool{poolOf(t, "other", "ws://10.0.0.4:9000"), bad}); err == nil {
		t.Error("a pool that can't be verified is taken")
	}
	if len(s.Pools()) != 1 || names(s.Pools()[0]) != "1" || len(s.instances) != 1 {
		t.Errorf("%d pools, %d instances", len(s.Pools()), len(s.instances))
	}
	wantHeard(t, w, "nothing")
}

// TestStaleResolving: what was looked up by a configuration that is no more is
// not taken.
func TestStaleResolving(t *testing.T) {
	s, _ := newSet()
	old := poolOf(t, "prices", "ws://10.0.0.1:9000")
	updates(t, s, old)
	p := s.Pools()[0]
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.2:9000"))
	s.change(p, old, false, []wantedMember{{old.Upstreams[0], netip.MustParseAddrPort("10.0.0.1:9000")}})
	if names(p) != "2" {
		t.Errorf("there are %s", names(p))
	}
}

// TestUpdateOfRunningPools: names are resolved again as they come to be, and no
// longer when they are gone.
func TestUpdateOfRunningPools(t *testing.T) {
	s, _ := newSet()
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.1:9000"))
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx // as in Run
	resolving := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.pools[0].stop != nil
	}
	if resolving() {
		t.Error("an address is resolved")
	}
	cfg := poolOf(t, "prices", "ws://localhost:9000")
	cfg.Resolve = time.Hour
	updates(t, s, cfg)
	if !resolving() {
		t.Error("a name that came while it runs is not resolved again")
	}
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.1:9000"))
	if resolving() {
		t.Error("a name that is gone is still resolved")
	}
	cancel()
	s.wg.Wait() // hangs if somebody goes on
}

// TestUpdateOfHealth: other settings begin other probes; with none an instance
// that was down is trusted.
func TestUpdateOfHealth(t *testing.T) {
	s, w := newSet()
	s.ctx = t.Context() // as in Run
	probed := func(every time.Duration) *config.Pool {
		cfg := poolOf(t, "prices", "ws://10.0.0.1:9000")
		cfg.Health = config.Health{Probe: "tcp", Interval: every, Timeout: time.Second, Rise: 1, Fall: 1}
		return cfg
	}
	updates(t, s, probed(time.Hour))
	i := s.Pools()[0].Instances()[0]
	first := i.prober
	updates(t, s, probed(time.Hour))
	if i.prober != first {
		t.Error("settings that have not changed begin other probes")
	}
	updates(t, s, probed(2*time.Hour))
	if i.prober == nil || i.prober == first || i.prober.cfg.Interval != 2*time.Hour {
		t.Errorf("other settings probe with %+v", i.prober)
	}
	setDown(i)
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.1:9000"))
	if i.prober != nil || !i.Up() || i.view(1).State != "starting" {
		t.Errorf("not probed any more it is %+v", i.view(1))
	}
	wantHeard(t, w, "that", "up "+i.Name())
	s.wg.Wait() // hangs if a prober goes on
}

// TestProbeThatComesTooLate: what an ended prober found is not taken.
func TestProbeThatComesTooLate(t *testing.T) {
	s, _ := newSet()
	i := newPool(t, s, "ws://10.0.0.1:9000").Instances()[0]
	if !i.judge(t.Context(), health.Failed, "x", health.Rules{Rise: 1, Fall: 1}) || !i.trust() {
		t.Fatal("it goes down, and is trusted again")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if i.judge(ended, health.Failed, "x", health.Rules{Rise: 1, Fall: 1}) || !i.Up() {
		t.Error("and what an ended prober finds makes it down")
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := newSet()
		p := newPool(t, s, "ws://10.0.0.1:9000", "ws://10.0.0.2:9000")
		one, two := p.Instances()[0], p.Instances()[1]
		b := NewBalancer(p, "round_robin", "c")
		home := cookieValue(one.id)
		if got := choose(t, b.For("", home)); got != one {
			t.Fatalf("a cookie leads to %s", got.Name())
		}
		var unknown *UnknownError
		if _, err := s.Drain("ws://10.0.0.9:9000"); !errors.As(err, &unknown) || !slices.Equal(unknown.Known, []string{one.Name(), two.Name()}) {
			t.Errorf("a name that nobody has: %v", err)
		}
		for range 2 {
			if n, err := s.Drain(one.Name()); n != 1 || err != nil {
				t.Errorf("%d sessions, %v", n, err)
			}
		}
		wantHeard(t, w, "once", "draining "+one.Name())
		if v := one.view(1); v.State != "draining" || v.Why == "" || !p.Ready() {
			t.Errorf("it is %+v", v)
		}
		if got := choose(t, b.For("", home)); got != two {
			t.Error("a cookie still leads there")
		}
		updates(t, s, poolOf(t, "prices", "ws://10.0.0.1:9000 weight=2", "ws://10.0.0.2:9000"))
		wantErr(t, "with the other one tried", b.For("", home), ErrTried, two)
		if _, err := s.Drain(two.Name()); err != nil || p.Ready() {
			t.Errorf("with both drained the pool is ready: %v, %v", p.Ready(), err)
		}
		wantErr(t, "with both drained", b.For("", home), ErrNone)
		if _, err := s.Undrain(one.Name()); err != nil || one.view(1).State != "starting" || !one.Up() {
			t.Errorf("undrained it is %+v, %v", one.view(1), err)
		}
		if got := choose(t, b.For("", "")); got != one {
			t.Errorf("and %s is chosen", got.Name())
		}
	})
}

// TestBalancerChanges for those who hold a choice already.
func TestBalancerChanges(t *testing.T) {
	s, _ := newSet()
	p := newPool(t, s, "ws://10.0.0.1:9000", "ws://10.0.0.2:9000")
	b := NewBalancer(p, "round_robin", "")
	c := b.For("", "")
	first := choose(t, c)
	b.Change(p, "round_robin", "s")
	if second := choose(t, c); second == first {
		t.Error("a policy that stays begins anew")
	}
	if got := c.Cookie(first, false); got == "" || b.CookieName() != "s" {
		t.Errorf("the cookie is %q", got)
	}
	b.Change(makePool(s, poolOf(t, "empty")), "random", "")
	wantErr(t, "of a pool without any", c, ErrNone)
}

// TestPrepareWithoutAddresses: whoever starts may be early; later it is more
// likely a mistake, and would empty the pool.
func TestPrepareWithoutAddresses(t *testing.T) {
	s, _ := newSet()
	nowhere := poolOf(t, "prices", "ws://nowhere.invalid:9000")
	updates(t, s, nowhere)
	if len(s.Pools()) != 1 {
		t.Fatal("at first a pool may be empty")
	}
	updates(t, s, poolOf(t, "prices", "ws://10.0.0.1:9000"))
	if _, err := s.Prepare(t.Context(), []*config.Pool{nowhere}); err == nil || names(s.Pools()[0]) != "1" {
		t.Errorf("later: %v, and it has %s", err, names(s.Pools()[0]))
	}
	if _, err := s.Prepare(t.Context(), []*config.Pool{poolOf(t, "prices", "ws://nowhere.invalid:9000", "ws://10.0.0.2:9000")}); err != nil {
		t.Errorf("with one that is found: %v", err)
	}
}
