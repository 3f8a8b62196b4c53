package upstream

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/health"
)

// witness hears what a set has to say.
type witness chan string

func (w witness) InstanceDown(i *Instance, why string) { w <- "down " + i.Name() }
func (w witness) InstanceUp(i *Instance)               { w <- "up " + i.Name() }
func (w witness) InstanceRemoved(i *Instance)          { w <- "removed " + i.Name() }
func (w witness) InstanceDraining(i *Instance)         { w <- "draining " + i.Name() }

// heard gives what was said and not yet asked for.
func (w witness) heard() (said []string) {
	for {
		select {
		case s := <-w:
			said = append(said, s)
		default:
			return said
		}
	}
}

func newSet() (*Set, witness) {
	w := make(witness, 100)
	return NewSet(2, slog.New(slog.DiscardHandler), w), w
}

// upstreamAt is the upstream of that URL; options follow it as in
// "ws://10.0.0.1:9000 weight=3 max=2 host=chat.example.com".
func upstreamAt(t *testing.T, s string) *config.Upstream {
	t.Helper()
	words := strings.Fields(s)
	u, err := url.Parse(words[0])
	if err != nil {
		t.Fatal(err)
	}
	c := &config.Upstream{URL: u, Weight: 1}
	for _, option := range words[1:] {
		switch name, value, _ := strings.Cut(option, "="); name {
		case "weight":
			fmt.Sscan(value, &c.Weight)
		case "max":
			fmt.Sscan(value, &c.MaxSessions)
		case "handshakes":
			fmt.Sscan(value, &c.MaxHandshakes)
		case "host":
			c.Host = value
		default:
			t.Fatalf("no option %s", name)
		}
	}
	return c
}

func newPool(t *testing.T, s *Set, upstreams ...string) *Pool {
	t.Helper()
	cfg := &config.Pool{Name: "prices", Health: config.Health{Probe: "none"}}
	for _, u := range upstreams {
		cfg.Upstreams = append(cfg.Upstreams, upstreamAt(t, u))
	}
	p, err := s.Add(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// resolves changes a pool as if its first upstream's name had come to mean
// these addresses.
func resolves(p *Pool, addrs ...string) {
	var wanted []wantedMember
	for _, a := range addrs {
		wanted = append(wanted, wantedMember{p.cfg.Load().Upstreams[0], netip.MustParseAddrPort(a)})
	}
	p.set.change(p, p.cfg.Load(), false, wanted)
}

// names are the last numbers of the pool's addresses, in order.
func names(p *Pool) string {
	var s []string
	for _, i := range p.Instances() {
		s = append(s, strings.TrimSuffix(strings.TrimPrefix(i.Name(), "ws://10.0.0."), ":9000"))
	}
	return strings.Join(s, " ")
}

func wantHeard(t *testing.T, w witness, what string, want ...string) {
	t.Helper()
	if got := w.heard(); !slices.Equal(got, want) {
		t.Errorf("%s: the observer hears %q, want %q", what, got, want)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	s, w := newSet()
	p := newPool(t, s, "ws://10.0.0.1:9000")
	if got := names(p); got != "1" {
		t.Fatalf("at first there is %s", got)
	}
	one := p.Instances()[0]
	one.acquire()

	resolves(p, "10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.2:9000")
	if got := names(p); got != "1 2" || p.Instances()[0] != one || one.Sessions() != 1 {
		t.Errorf("when 2 joins there are %s, the first with %d sessions", got, one.Sessions())
	}
	wantHeard(t, w, "joining")

	resolves(p, "10.0.0.2:9000", "10.0.0.1:9000")
	if got := names(p); got != "2 1" || p.Instances()[1] != one {
		t.Errorf("in another order there are %s", got)
	}
	wantHeard(t, w, "another order")

	resolves(p, "10.0.0.2:9000", "10.0.0.3:9000")
	if got := names(p); got != "2 3" {
		t.Errorf("when 3 takes 1's place there are %s", got)
	}
	wantHeard(t, w, "leaving", "removed ws://10.0.0.1:9000")

	resolves(p)
	if p.Ready() || names(p) != "" {
		t.Errorf("with no address there are %q", names(p))
	}
	wantHeard(t, w, "all leave", "removed ws://10.0.0.2:9000", "removed ws://10.0.0.3:9000")
	if len(s.instances) != 0 {
		t.Errorf("the set still keeps %v", s.instances)
	}
}

// TestSharedInstance: one address in two pools is one instance with one count,
// and is gone when both have let it go (so counts survive a reload).
func TestSharedInstance(t *testing.T) {
	s, w := newSet()
	a, b := newPool(t, s, "ws://10.0.0.1:9000"), newPool(t, s, "ws://10.0.0.1:9000 weight=5", "ws://10.0.0.2:9000")
	if a.Instances()[0] != b.Instances()[0] {
		t.Fatal("two pools have an instance each for one address")
	}
	a.Instances()[0].acquire()
	resolves(a)
	wantHeard(t, w, "one pool lets go")
	if got := b.Instances()[0].Sessions(); got != 1 {
		t.Errorf("the other pool counts %d sessions of it, want 1", got)
	}
	resolves(b, "10.0.0.2:9000")
	wantHeard(t, w, "so does the other", "removed ws://10.0.0.1:9000")
}

// TestSlowStart: who is there from the start is trusted; who joins later, or
// comes back, is not flooded at first.
func TestSlowStart(t *testing.T) {
	s, _ := newSet()
	p := newPool(t, s, "ws://10.0.0.1:9000", "ws://10.0.0.9:9000")
	resolves(p, "10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.3:9000", "10.0.0.4:9000")
	first, late := p.Instances()[0], p.Instances()[3]
	if first.ramp(4) != 1 || first.view(1).State != "up" {
		t.Errorf("the first is %s with a chance of %v", first.view(1).State, first.ramp(4))
	}
	if late.ramp(4) != 0.25 || late.view(1).State != "starting" {
		t.Errorf("the late one is %s with a chance of %v, want a fair share", late.view(1).State, late.ramp(4))
	}
	for range 50 {
		late.acquire()
	}
	if got := late.ramp(4); got != 0.5 {
		t.Errorf("half-way it has a chance of %v", got)
	}
	for range 50 {
		late.acquire()
	}
	if late.ramp(4) != 1 || late.view(1).State != "up" {
		t.Errorf("after %d sessions it is %s with a chance of %v", rampOver, late.view(1).State, late.ramp(4))
	}

	rules := health.Rules{Rise: 1, Fall: 1}
	first.judge(t.Context(), health.Failed, "no answer", rules)
	if v := first.view(1); first.Up() || v.State != "down" || v.Why != "no answer" {
		t.Errorf("a failed probe makes it %+v", v)
	}
	first.judge(t.Context(), health.Passed, "", rules)
	if !first.Up() || first.view(1).State != "starting" {
		t.Errorf("back again it is %s", first.view(1).State)
	}
}

// TestLateJoinerIsNotFlooded: empty beside full ones, it gets about its chance.
func TestLateJoinerIsNotFlooded(t *testing.T) {
	s, _ := newSet()
	p := newPool(t, s, "ws://10.0.0.1:9000")
	resolves(p, "10.0.0.1:9000", "10.0.0.2:9000")
	p.Instances()[0].sessions.Store(1000)
	b := NewBalancer(p, "least_sessions", "")
	b.rng = rand.New(rand.NewPCG(1, 2))
	for range 40 {
		if _, err := b.For("", "").Instance(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Instances()[1].Sessions(); got < 10 || got > 30 {
		t.Errorf("of the first 40 sessions the joiner gets %d, want about its half", got)
	}
}

// TestJoinerIsProbed: whoever knew the instance before.
func TestJoinerIsProbed(t *testing.T) {
	s, _ := newSet()
	s.ctx = t.Context() // as in Run
	newPool(t, s, "ws://10.0.0.1:9000")
	probed := newPool(t, s, "ws://10.0.0.9:9000")
	probed.cfg.Load().Health = config.Health{Probe: "tcp", Interval: time.Hour}
	resolves(probed, "10.0.0.1:9000")
	i := probed.Instances()[0]
	if i.stop == nil {
		t.Error("its pool asks for probes, and there are none")
		return
	}
	i.stop()
	s.wg.Wait()
}

func TestLookUp(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"ws://10.0.0.1:9000", "10.0.0.1:9000"},
		{"ws://10.0.0.1", "10.0.0.1:80"},
		{"wss://10.0.0.1", "10.0.0.1:443"},
		{"wss://[2001:db8::1]:9000/path", "[2001:db8::1]:9000"},
	} {
		got, err := lookUp(t.Context(), upstreamAt(t, c.url))
		if err != nil || len(got) != 1 || got[0].String() != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.url, got, err, c.want)
		}
	}
}

// TestTraffic: what passes counts towards the load, and is forgotten.
func TestTraffic(t *testing.T) {
	s, _ := newSet()
	i := newPool(t, s, "ws://10.0.0.1:9000").Instances()[0]
	i.acquire()
	for range 20 {
		i.Traffic(0, 60, 16<<10)
		i.Traffic(1, 40, 16<<10)
		i.sample(time.Second)
	}
	v := i.view(1)
	if got := i.load(1); got < 12.9 || got > 13.1 {
		t.Errorf("a session with 100 messages and 32 KiB a second counts %v, want 1+10+2: %+v", got, v.Load)
	}
	if d := v.Load.Score - i.load(1); d < -0.01 || d > 0.01 {
		t.Errorf("the API shows a score of %v, the policies see %v", v.Load.Score, i.load(1))
	}
	for range 20 {
		i.sample(time.Second)
	}
	if got := i.load(1); got < 1 || got > 1.1 {
		t.Errorf("20 s after the last message it counts %v, want 1", got)
	}
}

func TestSlowRoundTripCounts(t *testing.T) {
	s, _ := newSet()
	i := newPool(t, s, "ws://10.0.0.1:9000").Instances()[0]
	i.acquire()
	for range 10 {
		i.RTT(10 * time.Millisecond)
	}
	if got := i.load(1); got != 1 {
		t.Errorf("answering as usual it counts %v, want 1", got)
	}
	for range 20 {
		i.RTT(100 * time.Millisecond)
	}
	if got := i.load(1); got < 50 {
		t.Errorf("ten times slower than usual it counts %v, want many times as much", got)
	}
	if got := i.load(i.slow()); got != 1 {
		t.Errorf("no slower than all the others it counts %v, want 1", got)
	}
}
