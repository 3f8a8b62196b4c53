package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// keptLives is how many sessions each client lives, one after the other.
const keptLives = 2

// keptRun is one run of a seed: a proxy that keeps its clients, and instances
// behind links that come to grief.
type keptRun struct {
	t         *testing.T
	tr        testkit.Transport
	seed      uint64
	rules     rules
	scroll    *scroll
	app       *testkit.App
	watch     *watch
	client    *link // which delays, and does nothing worse
	instances []*keptServer

	mu       sync.Mutex // guards what follows
	sessions map[int]*keptTalk
	sums     keptSums
}

// ways in which a client ends its session.
const (
	endCloses = iota
	endResets
	endHangsUp
)

// keptTalk is one session.
type keptTalk struct {
	// Set once, then read-only.
	run      *keptRun
	id       int
	messages int  // of the client's
	waits    bool // for each answer
	end      int
	leaves   int // before that message, if it does not close
	path     *pass
	lost     int64 // when it began, as the watch has it
	client   *keptSide
	status   int // that the client got; 0 for none
	err      error

	mu    sync.Mutex // guards what follows
	said  [][]frame  // by the client
	legs  []*keptLeg
	seen  int // messages that the client got
	at    int // the leg that the latest was of
	next  int // message of it
	big   bool
	ended bool
}

// keptLeg is one try with an instance.
type keptLeg struct {
	n      int
	path   *pass
	end    legEnd
	side   *keptSide // nil until it answers 101
	status int
	said   [][]frame
	read   []int // messages of the client's, whole
	served chan struct{}
}

func runKept(t *testing.T, tr testkit.Transport, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	b := &keptRun{t: t, tr: tr, seed: seed, scroll: newScroll(seed), sessions: map[int]*keptTalk{}, watch: newWatch(t)}
	b.sums.ends = map[string]int{}
	b.rules = rules{unproven: []string{"resend", "close", "drop"}[seed%3], buffer: []int{1 << 10, 8 << 10, 64 << 10}[r.IntN(3)], moves: r.IntN(3) == 0}
	if r.IntN(3) == 0 {
		b.rules.opening, b.rules.greeting = 2, r.IntN(2)
	}
	var urls []string
	for range 3 + r.IntN(2) {
		s := b.newServer(r.IntN(4) == 0)
		urls = append(urls, s.link.url())
	}
	failover, balance := b.rules.yaml([]string{"0s", "200ms"}[r.IntN(2)])
	b.app = testkit.Start(t, tr, testkit.Config{
		Upstreams: urls, Timeouts: timeouts, Limits: "pings_per_second: 0", Failover: failover,
		Balance: balance + "policy: " + []string{"round_robin", "least_sessions"}[r.IntN(2)],
	}.String())
	b.client = (&link{target: b.app.Addr().String(), server: true, choose: b.pathOf}).open(t)
	b.live(b.newTalk(0, clear)) // what a first session makes once is there
	b.app.WantNoSessions(t, "the first session is over")
	before := testkit.Now()
	heap := heapNow()
	over := make(chan struct{})
	var wg, moving sync.WaitGroup
	if b.rules.moves {
		moving.Go(func() { b.deploy(over, urls) })
	}
	for c := range crowd {
		wg.Go(func() {
			for k := range keptLives {
				s := script{ways: [2]flow{drawFlow(rand.New(rand.NewPCG(seed, uint64(c*keptLives+k))), 4000), clear.ways[back]}}
				b.live(b.newTalk(1+c*keptLives+k, s))
			}
		})
	}
	wg.Wait()
	close(over)
	moving.Wait()
	b.app.WantNoSessions(t, "no session is left")
	before.WantBack(t, "no descriptor and no goroutine is left")
	wantHeapBack(t, heap)
	b.close()
	t.Logf("%+v: %s", b.rules, b.summary())
}

// deploy drains one instance after the other.
func (b *keptRun) deploy(over chan struct{}, urls []string) {
	r := rand.New(rand.NewPCG(b.seed, 3))
	for {
		url := urls[r.IntN(len(urls))]
		if _, err := b.app.Drain(url); err != nil {
			b.t.Errorf("drain %s: %v", url, err)
		}
		late := time.After(time.Duration(50+r.IntN(500)) * time.Millisecond)
		select {
		case <-late:
		case <-over:
		}
		if _, err := b.app.Undrain(url); err != nil {
			b.t.Errorf("undrain %s: %v", url, err)
		}
		select {
		case <-over:
			return
		default:
		}
	}
}

func (b *keptRun) close() {
	b.client.close()
	for _, s := range b.instances {
		s.link.close()
		s.l.Close()
		s.serving.Wait()
	}
}

// newTalk draws a session.
func (b *keptRun) newTalk(id int, s script) *keptTalk {
	r := rand.New(rand.NewPCG(b.seed, uint64(id)+10))
	t := &keptTalk{run: b, id: id, messages: 1 + r.IntN(60), waits: r.IntN(2) == 0, at: -1, lost: b.watch.lost.Load()}
	if r.IntN(10) == 0 {
		t.end = 1 + r.IntN(2)
	}
	t.leaves = 1 + r.IntN(t.messages)
	t.path = newPass(s, nil)
	return t
}

func (b *keptRun) named(line string) *keptTalk {
	n, ok := numberIn(line)
	if !ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[n]
}

func (b *keptRun) pathOf(line string) *pass {
	if s := b.named(line); s != nil {
		return s.path
	}
	return nil
}

// legOf gives an instance's link the script of the next try.
func (b *keptRun) legOf(line string) *pass {
	s := b.named(line)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	n := len(s.legs)
	path, end := clear, legEnd{}
	if s.id > 0 {
		path, end = drawLeg(rand.New(rand.NewPCG(b.seed, uint64(s.id)<<16|uint64(n)|1<<40)), n, s.messages)
	}
	g := &keptLeg{n: n, path: newPass(path, nil), end: end, served: make(chan struct{})}
	s.legs = append(s.legs, g)
	return g.path
}

// live lives a session and judges it.
func (b *keptRun) live(s *keptTalk) {
	b.mu.Lock()
	b.sessions[s.id] = s
	b.mu.Unlock()
	s.err = s.join()
	s.mu.Lock()
	s.ended = true
	legs := s.legs
	s.mu.Unlock()
	late := time.NewTimer(lasting)
	defer late.Stop()
	stuck := ""
	for _, g := range legs {
		g.path.release()
		for _, c := range []chan struct{}{g.path.done, g.served} {
			select {
			case <-c:
			case <-late.C:
				stuck = fmt.Sprintf("the instance of try %d is not let go", g.n)
				late.Reset(0)
			}
		}
	}
	s.path.release()
	b.mu.Lock()
	delete(b.sessions, s.id)
	b.mu.Unlock()
	b.judge(s, stuck)
}

// join opens the session and plays the client.
func (s *keptTalk) join() error {
	conn, err := net.DialTimeout("tcp", s.run.client.addr().String(), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	a := newActor(client, &talk{id: s.id}, conn, s.run.seed)
	if _, err := conn.Write([]byte(testkit.Upgrade("/s/" + strconv.Itoa(s.id)))); err != nil {
		return err
	}
	head, err := a.head()
	if err != nil {
		return err
	}
	if s.status, _ = strconv.Atoi(strings.SplitN(head+"  ", " ", 3)[1]); s.status != 101 {
		return nil
	}
	s.client = newKeptSide(client, s, a, a.r, nil)
	s.client.play()
	return nil
}
