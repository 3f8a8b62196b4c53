package faults_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// plan is what a seed decides.
type plan struct {
	policy   string
	lag      int // bytes
	messages int // of history
	bytes    int
	backlog  int
	links    bool     // that faults strike on, the source's and the clients'
	sources  []script // of the source's first connections
}

func newPlan(seed uint64, r *rand.Rand) plan {
	p := plan{
		policy: []string{"close", "skip", "latest"}[seed%3], lag: []int{200 << 10, 300 << 10}[r.IntN(2)],
		messages: 50, bytes: 64 << 10,
	}
	if seed%2 == 1 {
		p.messages, p.bytes = 1000, 1<<20
	}
	if r.IntN(3) == 0 {
		p.backlog = r.IntN(p.messages)
	}
	p.links = seed > 3 && r.IntN(4) > 0
	if !p.links {
		return p
	}
	for c := range 4 {
		s := draw(r, [2]int{300, 150 << 10}, 2)
		if c == 0 && s.blow != noBlow { // the first client is to be told of a source
			s.way, s.at = back, max(s.at, 1000)
		}
		p.sources = append(p.sources, s)
	}
	return p
}

// String tells of a plan in a line.
func (p plan) String() string {
	text := fmt.Sprintf("%s behind %d bytes, history %d and %d bytes, backlog %d", p.policy, p.lag, p.messages, p.bytes, p.backlog)
	if !p.links {
		return text
	}
	text += ", through links; the source's:"
	for _, s := range p.sources {
		text += fmt.Sprintf(" %s at %d", s.blow, s.at)
	}
	return text
}

func (p plan) yaml(source string) string {
	slow := fmt.Sprintf("{policy: %s, after: {bytes: %d}", p.policy, p.lag)
	if p.policy != "close" {
		slow += `, notice: '{"notice": {"lost": {{.Lost}}, "offset": {{json .Offset}}}}'`
	}
	if p.policy == "latest" {
		slow += ", key: k"
	}
	return fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: {address: "off"}
log: {level: debug, sessions: both}
drain: 200ms
routes:
  - name: r
    timeouts: {dial: 1s, handshake: 3s, ping: 1s, pong: 3s, close: 5s, write: 30s}
    fanout:
      source: %q
      on_source_close: {relay: [%d]}
      history: {messages: %d, bytes: %d}
      backlog: %d
      slow: %s}
`, source, over, p.messages, p.bytes, p.backlog, slow)
}

// run is one run of a seed.
type run struct {
	t      *testing.T
	plan   plan
	feed   *feed
	addr   net.Addr
	links  [2]*link     // to the proxy; the second is narrow, for who stalls
	joined atomic.Int64 // by the crowd

	mu     sync.Mutex // guards what follows
	lives  []*life
	passes map[int]*pass // by the number that the request has
}

// runFanOut runs a stream whose source breaks and comes back, and clients that
// come, listen, stall, leave and come again, and sees that nobody misses a
// message without being told of it, gets one twice or in another order.
func runFanOut(t *testing.T, tr testkit.Transport, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{seed: seed, messages: 350, silence: seed == 4, l: l, seen: map[int]int{}, whole: map[int]bool{}}
	f.cond.L = &f.mu
	p := newPlan(seed, r)
	f.scripts = p.sources
	f.link = (&link{target: l.Addr().String(), choose: f.pass}).open(t)
	defer f.link.close()
	before := testkit.Now()
	a := testkit.Start(t, tr, p.yaml(f.link.url()))
	u := &run{t: t, plan: p, feed: f, addr: a.Addr(), passes: map[int]*pass{}}
	for k := range u.links {
		u.links[k] = (&link{target: a.Addr().String(), narrow: k == 1, tight: k == 1, server: true, choose: u.pass}).open(t)
		defer u.links[k].close()
	}
	defer func() {
		if t.Failed() {
			t.Log(again("fanout", tr, seed))
		}
	}()
	served := make(chan error, 1)
	go func() {
		err := f.serve(3)
		if err != nil {
			a.Cancel()
		}
		served <- err
	}()

	w := u.listener("witness", plainFrames, r.Uint64())
	w.witness = true
	err = w.join("witness", nil)
	for tries := 1; err == errNothing && tries < 5; tries++ { // no source was reached in time: those fail as they like
		w.conn.Close()
		err = w.join("witness", nil)
	}
	if err != nil {
		f.stop()
		a.Cancel()
		if w.conn != nil {
			w.conn.Close()
		}
		t.Fatalf("the witness: %v", err)
	}
	truth := w.life
	var wg sync.WaitGroup
	for k := range 16 {
		l := u.listener(fmt.Sprintf("%s %d", kindNames[k%kinds], k), k%kinds, r.Uint64())
		l.restless = k >= 12
		wg.Go(func() { u.listen(l) })
	}
	for range crowdWidth {
		wg.Go(u.crowd)
	}
	if err := w.toTheEnd(); err != nil || truth.code != over {
		t.Errorf("the witness, behind %d messages: closed with %d; %v", len(truth.got), truth.code, err)
		f.stop()
	}
	w.conn.Close()
	wg.Wait()
	if err := <-served; err != nil {
		t.Error(err)
	}
	a.WantNoSessions(t, "all have gone")
	a.Stop()
	for _, k := range u.links {
		k.close()
	}
	before.WantBack(t, "no descriptor and no goroutine is left")
	if !t.Failed() {
		u.judge(truth)
	}
	t.Logf("%v: %d messages, %d lives, %s", p, len(truth.got), len(u.lives), u.summary())
}

// summary tells what a run has tried.
func (u *run) summary() string {
	var resumed, gaps, notices, slow, cut int
	for _, f := range u.lives {
		if f.asked {
			resumed++
		}
		if f.gap != nil && *f.gap > 0 {
			gaps++
		}
		for _, h := range f.got {
			if h.notice {
				notices++
			}
		}
		switch {
		case f.code == 1013:
			slow++
		case f.code == 0 && !f.left:
			cut++
		}
	}
	return fmt.Sprintf("%d of them resumed, %d with a gap, %d notices, %d too slow, %d cut off, %d struck; a crowd of %d",
		resumed, gaps, notices, slow, cut, u.strikes(), u.joined.Load())
}

func (u *run) listener(name string, kind int, seed uint64) *listener {
	return &listener{name: name, run: u, feed: u.feed, plan: u.plan, kind: kind, r: rand.New(rand.NewPCG(seed, 0))}
}

// listen has a listener live until the stream is no more.
func (u *run) listen(l *listener) {
	var before *life
	for k := 0; ; k++ {
		name := fmt.Sprintf("%s, life %d", l.name, k)
		err := l.join(name, before)
		if l.life != nil && l.conn != nil && err != errNothing {
			u.mu.Lock()
			u.lives = append(u.lives, l.life)
			u.mu.Unlock()
		}
		if err == nil {
			err = l.live()
		}
		if l.conn != nil {
			l.conn.Close()
			l.conn = nil
		}
		switch {
		case errors.Is(err, errNothing), l.life.code == over:
			return
		case errors.Is(err, errEnd) && l.life.code == 0, err == nil: // it may be cut off inside a long message
		default:
			u.t.Errorf("%s, behind %d things: %v", name, len(l.life.got), err)
			return
		}
		before = u.resumable(l)
	}
}

// resumable is the life that a listener goes on from, or nil for one that
// begins anew.
func (u *run) resumable(l *listener) *life {
	told := 0
	for _, h := range l.life.got {
		if !h.notice {
			told++
		}
	}
	if told == 0 || l.r.IntN(3) == 0 || l.kind <= deflatedFrames && u.plan.policy == "latest" { // who was not yet told can't count
		return nil
	}
	return l.life
}

// live listens for a while, in one of several ways.
func (l *listener) live() error {
	until := l.r.IntN(150)
	if l.restless {
		for until %= 5; len(l.life.got) < until; {
			if err := l.hear(); err != nil || l.life.code != 0 {
				return err
			}
		}
		return l.leave()
	}
	if l.stalls {
		l.stall(100 + l.r.IntN(500))
	}
	if l.r.IntN(5) == 0 { // as long as the stream lasts
		return l.toTheEnd()
	}
	for len(l.life.got) < until {
		if err := l.hear(); err != nil {
			return err
		}
		if l.life.code != 0 {
			return l.toTheEnd()
		}
	}
	return l.leave()
}

// stall does not read until so many messages have passed by, or all.
func (l *listener) stall(messages int) {
	l.feed.mu.Lock()
	defer l.feed.mu.Unlock()
	from := l.feed.witnessed.Load()
	for !l.feed.stopped && !l.feed.done && l.feed.witnessed.Load() < from+int64(messages) {
		l.feed.cond.Wait()
	}
}

// leave ends a life from the listener's side.
func (l *listener) leave() error {
	l.life.left = true
	switch l.r.IntN(4) {
	case 0:
		_ = l.conn.(*net.TCPConn).SetLinger(0)
	case 1:
		_ = l.conn.(*net.TCPConn).CloseWrite()
	case 2:
		if l.kind <= deflatedFrames {
			l.conn.Write(testkit.Close(1000, "").Masked())
		}
	}
	return nil
}

// toTheEnd listens until the connection ends.
func (l *listener) toTheEnd() error {
	for {
		err := l.hear()
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
