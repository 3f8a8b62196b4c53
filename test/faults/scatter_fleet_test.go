package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// death is how an instance does.
type death uint8

const (
	deathKilled    death = iota // all its connections are reset
	deathMidFrame               // they end inside a frame
	deathFIN                    // or by FIN
	deathGoingAway              // or by a close that says so
	deathRestart                // or by one that says this
	deathSilence                // nothing comes from it any more, and nothing is closed
	deathKinds
)

// fleetSize is how many instances there are.
const fleetSize = 5

// member is an instance of a run's, which dies and comes back at its address.
type member struct {
	// Set once, then read-only.
	run  *scattered
	n    int
	addr string

	mu    sync.Mutex // guards what follows
	life  *era
	dead  bool
	past  []span // while it was dead
	lives []*era
}

// span is a time.
type span struct{ from, to time.Time }

// era is an instance from its start to its end.
type era struct {
	// Set once, then read-only.
	instance *member
	l        net.Listener
	link     *link // in front of it
	serving  sync.WaitGroup
	dying    chan struct{} // closed when it dies in a way that its workers go

	mu     sync.Mutex // guards what follows
	how    death      // read-only once dying is closed
	silent bool
	over   bool
	conns  []*net.TCPConn
	passes []*pass
}

// newMember starts an instance.
func (b *scattered) newMember(n int) *member {
	m := &member{run: b, n: n}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:0", 2+n)) // nobody else's connections come from there
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		b.t.Fatal(err)
	}
	m.addr = l.Addr().String()
	m.start(l)
	return m
}

func (m *member) url() string { return "ws://" + m.addr }

// start begins a life. The caller has the member to itself, or holds m.mu.
func (m *member) start(front net.Listener) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.run.t.Errorf("instance %d: %v", m.n, err)
		front.Close()
		return
	}
	y := &era{instance: m, l: l, dying: make(chan struct{})}
	y.link = (&link{l: front, target: l.Addr().String(), choose: y.pass}).open(m.run.t)
	y.serving.Go(y.accept)
	m.life = y
	m.lives = append(m.lives, y)
}

// pass gives a leg its script; what is no leg is reset.
func (y *era) pass(line string) *pass {
	p := y.instance.run.legOf(line, y.instance.n)
	if p == nil {
		return nil
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.silent {
		p.frozen.Store(true)
	}
	if y.over {
		p.release()
		return p
	}
	y.passes = append(y.passes, p)
	return p
}

func (y *era) accept() {
	for n := uint64(0); ; n++ {
		c, err := y.l.Accept()
		if err != nil {
			return
		}
		conn := c.(*net.TCPConn)
		y.mu.Lock()
		if y.over {
			_ = conn.SetLinger(0)
			conn.Close()
		} else {
			y.conns = append(y.conns, conn)
		}
		y.mu.Unlock()
		y.serving.Go(func() { y.serve(conn, y.instance.run.seed^n<<8) })
	}
}

// die ends the present life in that way, if there is one.
func (m *member) die(how death) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return
	}
	m.dead = true
	m.past = append(m.past, span{from: time.Now()})
	y := m.life
	if how == deathSilence {
		y.mu.Lock()
		y.silent = true
		for _, p := range y.passes {
			p.frozen.Store(true)
		}
		y.mu.Unlock()
		return
	}
	y.link.l.Close()
	if how == deathKilled {
		y.end()
		return
	}
	y.mu.Lock()
	y.how = how
	y.mu.Unlock()
	close(y.dying)
}

// end resets what is left of a life.
func (y *era) end() {
	y.link.l.Close()
	y.l.Close()
	y.mu.Lock()
	defer y.mu.Unlock()
	y.over = true
	for _, c := range y.conns {
		_ = c.SetLinger(0)
		c.Close()
	}
	for _, p := range y.passes {
		p.release()
	}
	y.conns, y.passes = nil, nil
}

// restart begins the next life, if this one is over. That its address is free is
// waited for.
func (m *member) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead {
		return
	}
	m.life.end()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		l, err := net.Listen("tcp", m.addr)
		if err != nil {
			<-again.C
			continue
		}
		m.dead = false
		m.past[len(m.past)-1].to = time.Now()
		m.start(l)
		return
	}
}

// haunt has the instance die and come back until the run is over.
func (m *member) haunt(over <-chan struct{}) {
	r := rand.New(rand.NewPCG(m.run.seed, uint64(m.n)|1<<42))
	alive := true
	for alive {
		alive = lasts(over, 100+r.IntN(700))
		if alive {
			m.die(death(r.IntN(int(deathKinds))))
			alive = lasts(over, 20+r.IntN(250))
		}
		m.run.night.RLock() // nobody comes back meanwhile
		m.restart()
		m.run.night.RUnlock()
	}
}

// lasts waits so many milliseconds; false when the run is over before that.
func lasts(over <-chan struct{}, ms int) bool {
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-over:
		return false
	}
}

// darken has all instances die now and then, for long enough that the proxy sees
// it.
func (b *scattered) darken(over <-chan struct{}) {
	r := rand.New(rand.NewPCG(b.seed, 1<<43))
	for lasts(over, 300+r.IntN(1500)) {
		b.night.Lock()
		for _, m := range b.fleet {
			m.die(deathKilled)
		}
		lasts(over, 200+r.IntN(300))
		b.night.Unlock()
	}
}

// probed is how long the proxy may take an instance for dead that is back.
const probed = 150 * time.Millisecond

// darkSince tells whether since then there was a moment in which no instance was
// there for the proxy.
func (b *scattered) darkSince(at time.Time) bool {
	var pasts [][]span
	for _, m := range b.fleet {
		m.mu.Lock()
		var past []span
		for _, s := range m.past {
			if s.to.IsZero() {
				s.to = time.Now()
			}
			if s.to = s.to.Add(b.size.slack(probed)); s.to.After(at) {
				past = append(past, s)
			}
		}
		m.mu.Unlock()
		pasts = append(pasts, past)
	}
	dead := func(past []span, at time.Time) bool {
		for _, s := range past {
			if !at.Before(s.from) && at.Before(s.to) {
				return true
			}
		}
		return false
	}
	for _, past := range pasts { // it began as one of them died
		for _, s := range past {
			all := true
			for _, other := range pasts {
				all = all && dead(other, s.from)
			}
			if all {
				return true
			}
		}
	}
	return false
}

// close ends all lives, and waits until nothing is left of them.
func (m *member) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, y := range m.lives {
		y.end()
		y.link.carrying.Wait()
		y.serving.Wait()
	}
}
