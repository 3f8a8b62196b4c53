package faults_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

var (
	scatterClients  = flag.Int("scatter.clients", 12, "clients at a time, where messages are scattered")
	scatterRequests = flag.Int("scatter.requests", 100, "requests of each")
)

// gathering is how a run scatters and gathers.
type gathering struct {
	name, yaml string
	ordered    bool // answers about one thing come in the order of the questions
	collects   bool
}

var gatherings = []gathering{
	{name: "error", yaml: `send: {hash: key}, on_lost: error, gather: {id: id, timeout: 1s}`, ordered: true},
	{name: "resend", yaml: `send: {hash: key}, on_lost: resend, gather: {id: id, timeout: 1s}`, ordered: true},
	{name: "all", yaml: `send: all, gather: {policy: first, id: id, timeout: 1s}`},
	{name: "hedged", yaml: `send: {hash: key}, gather: {policy: first, id: id, hedge_after: 5ms, timeout: 1s}`, ordered: true},
	{name: "both", yaml: `send: {hash: key}, on_lost: resend, gather: {policy: first, id: id, timeout: 1s}`, ordered: true},
	{name: "collect", yaml: `send: all, gather: {policy: collect, id: id, timeout: 1s}`, collects: true},
	{name: "narrow", yaml: `send: {hash: key}, max_legs: 2, on_lost: resend, gather: {id: id, timeout: 1s, outstanding: {messages: 20}}`, ordered: true},
}

// scatterTimes are timeouts of a run. What has vanished is soon found, save in a
// crowd, where much may stand before a pong.
const scatterTimes = "handshake: 1s, dial: 1s, ping: 100ms, write: 4s, frame: 4s, close: 4s, pong: "

func (z size) timeouts() string {
	if z.clients > 20 {
		return scatterTimes + "3s"
	}
	return scatterTimes + "400ms"
}

// window is how many requests of a client's are unanswered at a time.
const window = 50

// scattered is one run of a seed: a proxy, instances that die and come back, and
// clients that ask and wait for each answer.
type scattered struct {
	t       *testing.T
	tr      testkit.Transport
	seed    uint64
	how     gathering
	app     *testkit.App
	watch   *watch
	size    size
	clients [2]*link // the second is narrow
	fleet   []*member
	night   sync.RWMutex // held while all instances are dead

	mu       sync.Mutex // guards what follows
	sessions map[int]*scatterSession
	numbers  int // of sessions, the latest
	sums     scatterSums
}

// scatterSums are of a whole run.
type scatterSums struct {
	sessions, legs, struck, answers, missing int
	ends                                     map[string]int // of sessions, but for those that came to theirs
	errors                                   map[string]int
}

// size is how much a run asks.
type size struct{ clients, requests int }

// slack is how long something takes that takes so long when few ask.
func (z size) slack(d time.Duration) time.Duration {
	if z.clients > 20 {
		return 4 * d
	}
	return d
}

func runScattered(t *testing.T, tr testkit.Transport, seed uint64) {
	scatter(t, tr, seed, size{*scatterClients, *scatterRequests})
}

func scatter(t *testing.T, tr testkit.Transport, seed uint64, z size) {
	b := &scattered{t: t, tr: tr, seed: seed, size: z, how: gatherings[seed%uint64(len(gatherings))], watch: newWatch(t), sessions: map[int]*scatterSession{}}
	b.sums.ends, b.sums.errors = map[string]int{}, map[string]int{}
	var urls []string
	for n := range fleetSize {
		b.fleet = append(b.fleet, b.newMember(n))
		urls = append(urls, b.fleet[n].url())
	}
	r := rand.New(rand.NewPCG(seed, 0))
	health := "probe: tcp, interval: 50ms, timeout: 2s, rise: 1, fall: 1, outliers: " + []string{"true", "false"}[r.IntN(2)]
	b.app = testkit.Start(t, tr, testkit.Scatter{Upstreams: urls, Timeouts: z.timeouts(), Limits: "pings_per_second: 0",
		Health: health, Scatter: b.how.yaml}.String())
	for k := range b.clients {
		b.clients[k] = (&link{target: b.app.Addr().String(), narrow: k == 1, server: true, choose: b.pathOf}).open(t)
	}
	b.newAsker(0, 20).ask() // what a first session makes once is there
	b.app.WantNoSessions(t, "the first session is over")
	before := testkit.Now()
	heap := heapNow()
	began := time.Now()
	b.play()
	took := time.Since(began)
	b.app.WantNoSessions(t, "no session is left, and no message is awaited")
	before.WantBack(t, "no descriptor and no goroutine is left")
	wantHeapBack(t, heap)
	b.close()
	t.Logf("%s: %d requests in %.1f s; %s", b.how.name, z.clients*z.requests, took.Seconds(), b.summary())
}

// play has clients ask while instances die.
func (b *scattered) play() {
	over := make(chan struct{})
	var asking, dying sync.WaitGroup
	for _, m := range b.fleet {
		dying.Go(func() { m.haunt(over) })
	}
	if b.seed/uint64(len(gatherings))%2 == 1 {
		dying.Go(func() { b.darken(over) })
	}
	for n := range b.size.clients {
		asking.Go(func() { b.newAsker(1+n, b.size.requests).ask() })
	}
	asking.Wait()
	close(over)
	dying.Wait()
}

// close ends links and instances.
func (b *scattered) close() {
	for _, k := range b.clients {
		k.close()
	}
	for _, m := range b.fleet {
		m.close()
	}
}

func (b *scattered) named(line string) *scatterSession {
	n, ok := numberIn(line)
	if !ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[n]
}

func (b *scattered) pathOf(line string) *pass {
	if s := b.named(line); s != nil {
		return s.path
	}
	return nil
}

// legOf gives a session's next leg its script; nil where nobody waits for it.
func (b *scattered) legOf(line string, instance int) *pass {
	s := b.named(line)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	path := clear
	if s.asker.n > 0 {
		r := rand.New(rand.NewPCG(b.seed, uint64(s.id)<<16|uint64(len(s.legs))|1<<40))
		path = draw(r, [2]int{4000, 4000}, 10)
	}
	p := newPass(path, nil)
	p.note("to instance %d", instance)
	s.legs = append(s.legs, p)
	return p
}

// enter counts a session in.
func (b *scattered) enter(a *asker) *scatterSession {
	s := &scatterSession{asker: a, open: map[string]int{}, latest: map[string]int{}, lost: b.watch.lost.Load()}
	s.turn.L = &s.mu
	b.mu.Lock()
	defer b.mu.Unlock()
	b.numbers++
	b.sums.sessions++
	s.id = b.numbers
	way := script{ways: [2]flow{clear.ways[there], clear.ways[back]}}
	if a.n > 0 {
		r := rand.New(rand.NewPCG(b.seed, uint64(s.id)))
		way = script{ways: [2]flow{drawFlow(r, 20000), drawFlow(r, 20000)}}
	}
	s.path = newPass(way, nil)
	b.sessions[s.id] = s
	return s
}

// leave counts a session out.
func (b *scattered) leave(s *scatterSession) {
	s.mu.Lock()
	s.ended = true
	legs := s.legs
	s.mu.Unlock()
	s.path.release()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s.id)
	b.sums.legs += len(legs)
	for _, p := range legs {
		if p.struck() {
			b.sums.struck++
		}
		p.release()
	}
	if s.end != "" {
		b.sums.ends[s.end]++
	}
	if len(s.wrong) == 0 {
		return
	}
	text := fmt.Sprintf("client %d, session %d: %s\n  the client's link: %v\n", s.asker.n, s.id, strings.Join(s.wrong, "\n    and "), s.path)
	for n, p := range legs {
		text += fmt.Sprintf("  leg %d: %v\n", n+1, p)
	}
	b.t.Errorf("seed %d, %s: %s%s -scatter.clients %d -scatter.requests %d", b.seed, b.how.name, text, again("scatter", b.tr, b.seed), b.size.clients, b.size.requests)
}

// broke sees how an instance's leg ends: not by what it was sent.
func (b *scattered) broke(err error) {
	var v *ws.Violation
	if errors.As(err, &v) {
		b.t.Errorf("seed %d: an instance is sent what it can't read: %v", b.seed, err)
	}
}

// summary tells what a run has tried.
func (b *scattered) summary() string {
	n := &b.sums
	text := fmt.Sprintf("%d sessions, %d legs, %d struck; %d answers, %d missing in them; errors:", n.sessions, n.legs, n.struck, n.answers, n.missing)
	for _, name := range slices.Sorted(maps.Keys(n.errors)) {
		text += fmt.Sprintf(" %q×%d", name, n.errors[name])
	}
	text += "; ends:"
	for _, name := range slices.Sorted(maps.Keys(n.ends)) {
		text += fmt.Sprintf(" %s×%d", name, n.ends[name])
	}
	return text
}
