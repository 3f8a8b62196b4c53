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

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A run of a seed: so many clients at a time, each of which lives so many sessions,
// which takes some seconds.
const (
	crowd = 48
	lives = 3
)

// timeouts of a run are short, and all shorter than a stall.
const timeouts = "handshake: 2s, dial: 2s, ping: 100ms, pong: 2s, write: 2s, frame: 2s, close: 2s"

// balanced is one run of a seed: a proxy, instances behind links, and clients
// behind others.
type balanced struct {
	t         *testing.T
	tr        testkit.Transport
	seed      uint64
	scroll    *scroll
	app       *testkit.App
	watch     *watch
	clients   [2]*link // the second is narrow
	instances []*server

	mu       sync.Mutex // guards what follows
	sessions map[int]*session
	sums     sums
}

// sums are of a whole run, for its summary and the metrics.
type sums struct {
	sessions, upgraded, struck, excused int
	answered                            uint64    // 101s that instances gave
	said, heard                         [2]uint64 // whole messages, by the side that said them
	ends                                map[string]int
}

// session is one, as the run sees it.
type session struct {
	*talk
	path   *pass
	actor  *actor
	status int // that the client got; 0 for none
	try    int // that answered, as the client was told; -1 for none
	err    error
	lost   int64 // when it began, as the watch has it

	mu   sync.Mutex // guards what follows
	legs []*leg
	over bool
}

// leg is one try with an instance.
type leg struct {
	path   *pass
	actor  *actor        // nil until the instance answers 101
	served chan struct{} // closed when the instance has done with it
}

func runBalanced(t *testing.T, tr testkit.Transport, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	b := &balanced{t: t, tr: tr, seed: seed, scroll: newScroll(seed), sessions: map[int]*session{}, watch: newWatch(t)}
	b.sums.ends = map[string]int{}
	var urls []string
	for range 2 + r.IntN(3) {
		s := b.newServer(r.IntN(3) == 0)
		urls = append(urls, s.link.url())
	}
	b.app = testkit.Start(t, tr, testkit.Config{
		Upstreams: urls, Timeouts: timeouts, Limits: "pings_per_second: 0",
		Balance:  "policy: " + []string{"round_robin", "random", "least_sessions", "least_load"}[r.IntN(4)],
		Failover: "spread: " + []string{"0s", "50ms"}[r.IntN(2)],
	}.String())
	for k := range b.clients {
		b.clients[k] = (&link{target: b.app.Addr().String(), narrow: k == 1, server: true, choose: b.pathOf}).open(t)
	}
	first := newTalk(seed, 0, b.scroll)
	first.path, first.legs = clear, [maxTries]script{clear, clear, clear}
	b.live(first) // what a first session makes once is there
	b.app.WantNoSessions(t, "the first session is over")
	before := testkit.Now()
	heap := heapNow()
	var wg sync.WaitGroup
	for c := range crowd {
		wg.Go(func() {
			for k := range lives {
				b.live(newTalk(seed, 1+c*lives+k, b.scroll))
			}
		})
	}
	wg.Wait()
	b.app.WantNoSessions(t, "no session is left")
	before.WantBack(t, "no descriptor and no goroutine is left")
	wantHeapBack(t, heap)
	b.wantCounted()
	b.close()
	t.Logf("%s", b.summary())
	if n := &b.sums; n.upgraded*2 < n.sessions || n.struck == 0 {
		t.Errorf("seed %d tried too little to tell anything: %s", b.seed, b.summary())
	}
}

// close ends links and instances.
func (b *balanced) close() {
	for _, k := range b.clients {
		k.close()
	}
	for _, s := range b.instances {
		s.link.close()
		s.l.Close()
		s.serving.Wait()
	}
}

// named gives the session that a request line names.
func (b *balanced) named(line string) *session {
	n, ok := numberIn(line)
	if !ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[n]
}

// numberIn reads the number of a session from a request line: GET /s/N.
func numberIn(line string) (n int, ok bool) {
	_, id, _ := strings.Cut(line, "/s/")
	id, _, _ = strings.Cut(id, " ")
	n, err := strconv.Atoi(id)
	return n, err == nil
}

// pathOf gives a client's link its script.
func (b *balanced) pathOf(line string) *pass {
	if s := b.named(line); s != nil {
		return s.path
	}
	return nil
}

// legOf gives an instance's link the script of the next try.
func (b *balanced) legOf(line string) *pass {
	s := b.named(line)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || len(s.legs) == maxTries {
		return nil
	}
	g := &leg{path: newPass(s.talk.legs[len(s.legs)], nil), served: make(chan struct{})}
	s.legs = append(s.legs, g)
	return g.path
}

// live lives a session and judges it.
func (b *balanced) live(t *talk) {
	s := &session{talk: t, try: -1, lost: b.watch.lost.Load()}
	s.path = newPass(t.path, s.abandoned)
	b.mu.Lock()
	b.sessions[t.id] = s
	b.mu.Unlock()
	s.err = b.join(s)
	s.mu.Lock()
	s.over = true
	legs := s.legs
	s.mu.Unlock()
	late := time.NewTimer(lasting)
	defer late.Stop()
	for _, g := range legs {
		g.path.release()
	}
	stuck := ""
	for n, g := range legs {
		for _, c := range []chan struct{}{g.path.done, g.served} {
			select {
			case <-c:
			case <-late.C:
				stuck = fmt.Sprintf("the instance of try %d is not let go", n)
			}
			if stuck != "" {
				break
			}
		}
	}
	s.path.release()
	b.mu.Lock()
	delete(b.sessions, t.id)
	b.mu.Unlock()
	b.judge(s, stuck)
}

// abandoned tells that no instance is there that could tell of the end.
func (s *session) abandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.legs {
		select {
		case <-g.served:
		default:
			if g.actor != nil && !g.path.frozen.Load() {
				return false
			}
		}
	}
	return true
}

// join opens the session and plays the client.
func (b *balanced) join(s *session) error {
	k := b.clients[0]
	if s.narrow {
		k = b.clients[1]
	}
	conn, err := net.DialTimeout("tcp", k.addr().String(), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	a := newActor(client, s.talk, conn, b.seed)
	s.actor = a
	var extra []string
	if s.deflate {
		extra = append(extra, "Sec-WebSocket-Extensions: permessage-deflate")
	}
	request := []byte(testkit.Upgrade("/s/"+strconv.Itoa(s.id), extra...))
	if f := a.first(); s.early && f != nil {
		request = ws.AppendFrame(request, a.masked(ws.Header{Opcode: f.op, Fin: f.fin}), f.payload)
		a.said = 1
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	head, err := a.head()
	if err != nil {
		return err
	}
	s.status, _ = strconv.Atoi(strings.SplitN(head+"  ", " ", 3)[1])
	if s.status != 101 {
		return nil
	}
	if _, try, ok := strings.Cut(head, "X-Try: "); ok {
		s.try = int(try[0] - '0')
	}
	if !strings.Contains(head, testkit.ClientAccept) {
		return fmt.Errorf("the answer to another key: %q", head)
	}
	a.in.Deflate = strings.Contains(head, "permessage-deflate")
	a.play()
	return nil
}

// messages counts whole ones among the first frames of a side's.
func messages(frames []frame) (n uint64) {
	for _, f := range frames {
		if f.fin && !f.op.Control() {
			n++
		}
	}
	return n
}

// wantCounted holds the metrics against what the run has seen. Where a fault
// strikes, what an end sent and the other did not get was counted or not.
func (b *balanced) wantCounted() {
	c := b.app.Routes()[0].Counters
	open, ever := c.Sessions()
	n := &b.sums
	if open != 0 || ever < uint64(n.upgraded) || ever > n.answered {
		b.t.Errorf("%d sessions are open, %d were: %d clients were upgraded, %d times an instance answered", open, ever, n.upgraded, n.answered)
	}
	for d, side := range map[loop.Direction]int{loop.ToUpstream: client, loop.ToClient: instance} {
		if m, _ := c.Traffic(d); m < n.heard[side] || m > n.said[side] {
			b.t.Errorf("%d messages of the %s were counted: %d were said, %d heard", m, sides[side], n.said[side], n.heard[side])
		}
	}
}
