//go:build !race

package load_test

import (
	"flag"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

var callersOf = flag.Int("failover.sessions", 100, "how many sessions there are while instances are killed, stopped and deployed")

// grief is a Sluice before instances that come to grief, and its clients.
type grief struct {
	*testing.T
	app      *testkit.App
	children []*child
	ledger   *ledger
	callers  *callers
}

// grieve runs f with rules of failover, once a transport.
func grieve(t *testing.T, failover, balance string, set func(*callers), f func(*grief)) {
	for _, tr := range testkit.Transports {
		t.Run(string(tr), func(t *testing.T) {
			level := testkit.Now()
			g := &grief{T: t, ledger: &ledger{read: map[uint32]map[uint32][]uint32{}}}
			g.children = startChildren(t, 4, g.ledger)
			var urls []string
			for _, c := range g.children {
				urls = append(urls, c.url())
			}
			g.app = testkit.Start(t, tr, testkit.Config{
				Top:       "log: {level: info, sessions: none}\nlimits: {sessions_per_ip: 100000}",
				Upstreams: urls, Failover: failover, Balance: balance,
				Timeouts: "ping: 500ms, pong: 1s, dial: 2s, handshake: 2s",
			}.String())
			g.callers = newCallers(g.app.Addr(), *callersOf)
			set(g.callers)
			g.callers.start()
			g.laps(2)
			f(g)
			g.finish()
			level.WantBack(t, "and nothing is left of it")
		})
	}
}

// until looks again and again whether ok.
func (g *grief) until(what string, ok func() bool) {
	g.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * late); !ok(); <-tick.C {
		if err := g.callers.failure.Load(); err != nil {
			g.Fatal(*err)
		}
		if time.Now().After(end) {
			g.Fatalf("%s: not so, %v later", what, 2*late)
		}
	}
}

// laps waits until each client has been answered so often again.
func (g *grief) laps(n int64) {
	g.Helper()
	var before []int64
	for k := range g.callers.laps {
		before = append(before, g.callers.laps[k].Load())
	}
	g.until("every client is answered", func() bool {
		for k := range g.callers.laps {
			if g.callers.laps[k].Load() < before[k]+n {
				return false
			}
		}
		return true
	})
}

// finish has all clients leave, and holds what they saw against what instances
// read.
func (g *grief) finish() {
	g.Helper()
	close(g.callers.over)
	g.callers.done.Wait()
	if err := g.callers.failure.Load(); err != nil {
		g.Fatal(*err)
	}
	g.app.WantNoSessions(g, "every session is counted out")
	g.app.Stop()
	for _, c := range g.children {
		c.kill()
	}
	var took, outages []time.Duration
	sent, answered, again, doubled, closed := 0, 0, 0, 0, 0
	for _, s := range g.callers.calls {
		n, err := g.ledger.judge(s, g.callers.twice)
		if err != nil {
			g.Errorf("session %d: %v", s.id, err)
		}
		sent, answered, again, doubled = sent+s.sent, answered+s.answered, again+s.again, doubled+n
		took, outages = append(took, s.took...), append(outages, s.outages...)
		if !s.closed.IsZero() {
			closed++
		}
	}
	g.Logf("%d sessions, %d of them closed with 1012; %d requests, %d not answered; %d read twice, %d answered twice",
		len(g.callers.calls), closed, sent, sent-answered, doubled, again)
	g.Logf("requests %s", quantiles(took))
	g.Logf("the first on another leg %s", quantiles(outages))
	if len(outages) == 0 && closed == 0 {
		g.Error("no instance was missed")
	}
}

// killAll kills the instances one after the other and starts each again.
func (g *grief) killAll() {
	for _, c := range g.children {
		c.kill()
		g.laps(2)
		c.start(g.T)
	}
}

// Instances are killed; with state none and resend nobody notices.
func TestKilledUnderLoad(t *testing.T) {
	grieve(t, "client: keep, state: none, unproven: resend", "policy: least_sessions", func(c *callers) { c.twice = true }, (*grief).killAll)
}

// Where nothing may come twice, a client is closed whose requests are in doubt.
func TestKilledInDoubt(t *testing.T) {
	grieve(t, "client: keep, state: none, unproven: close, spread: 200ms", "policy: least_sessions", func(c *callers) { c.closes = true }, (*grief).killAll)
}

// Clients that are not kept are closed, those of the lost instance and no other.
func TestKilledAndClosed(t *testing.T) {
	grieve(t, "client: close, spread: 1s", "policy: least_sessions", func(c *callers) { c.closes = true }, func(g *grief) {
		lost := g.children[1]
		began := time.Now()
		lost.kill()
		g.laps(2)
		g.callers.mu.Lock()
		defer g.callers.mu.Unlock()
		var after []time.Duration
		for _, s := range g.callers.calls {
			if after = append(after, s.closed.Sub(began)); s.instance != lost.index && s.instance != -1 {
				g.Errorf("session %d of instance %d is closed, instance %d was killed", s.id, s.instance, lost.index)
			}
		}
		if len(after) < len(g.callers.laps)/8 {
			g.Errorf("%d sessions are closed: that was no share", len(after))
		}
		g.Logf("closed behind the kill %s; first %v", quantiles(after), slices.Min(after).Round(time.Millisecond))
	})
}

// A deploy: each instance is drained, ended and started again. Nothing is lost
// and nothing comes twice.
func TestRollingDeploy(t *testing.T) {
	grieve(t, "client: keep, state: none, unproven: close", "policy: least_sessions, move: {rate: 2000, quiet: 10ms, rebalance: true}", func(*callers) {}, func(g *grief) {
		for _, c := range g.children {
			began := time.Now()
			if _, err := g.app.Drain(c.url()); err != nil {
				g.Fatal(err)
			}
			had := g.instance(c).Sessions()
			g.until("a drained instance has no session", func() bool { return g.instance(c).Sessions() == 0 })
			g.Logf("instance %d has lost its %d sessions after %v", c.index, had, time.Since(began).Round(time.Millisecond))
			c.signal(g.T, syscall.SIGTERM)
			c.end()
			c.start(g.T)
			if _, err := g.app.Undrain(c.url()); err != nil {
				g.Fatal(err)
			}
			g.laps(1)
		}
		began := time.Now()
		g.until("shares are even", func() bool { return g.even(10) })
		g.Logf("shares %s %v after the last", g.shares(), time.Since(began).Round(time.Millisecond))
	})
}

// instance gives a child as the Sluice knows it.
func (g *grief) instance(c *child) *upstream.Instance {
	for _, i := range g.app.Pools()[0].Instances() {
		if i.Name() == c.url() {
			return i
		}
	}
	g.Fatalf("no instance %s", c.url())
	return nil
}

// even tells whether no share is off by more than so many hundredths.
func (g *grief) even(percent int) bool {
	fair := len(g.callers.laps) * 100 / len(g.children)
	for _, c := range g.children {
		if off := g.instance(c).Sessions()*100 - fair; max(off, -off) > fair*percent/100 {
			return false
		}
	}
	return true
}

func (g *grief) shares() string {
	var all []int
	for _, c := range g.children {
		all = append(all, g.instance(c).Sessions())
	}
	return fmt.Sprint(all)
}

// An instance that is frozen answers no ping, and its sessions go on elsewhere.
func TestFrozenUnderLoad(t *testing.T) {
	grieve(t, "client: keep, state: none, unproven: resend", "policy: least_sessions", func(c *callers) { c.twice = true }, func(g *grief) {
		c := g.children[2]
		had, began := g.instance(c).Sessions(), time.Now()
		c.signal(g.T, syscall.SIGSTOP)
		g.until("a frozen instance has no session", func() bool { return g.instance(c).Sessions() == 0 })
		g.Logf("its %d sessions have left after %v", had, time.Since(began).Round(time.Millisecond))
		g.laps(2)
		c.signal(g.T, syscall.SIGCONT)
		g.laps(1)
	})
}
