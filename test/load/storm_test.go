//go:build !race

package load_test

import (
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

var (
	stormOf    = flag.Int("storm.clients", 2_000, "how many clients come at once")
	stormRate  = flag.Int("storm.rate", 500, "limits.handshakes_per_second of the Sluice that they come to; 0: off")
	stormWatch = flag.Duration("storm.watch", time.Second, "how long the sessions that are there are watched before")
)

const (
	residents = 100 // sessions that are there before the storm, and talk through it
	lapEvery  = 10 * time.Millisecond
)

// storm is many clients that come within a second, beside some that are there.
type storm struct {
	// Set once, then read-only.
	addresses []net.Addr
	home      chan struct{} // closed when all clients are in
	over      chan struct{} // closed when the residents may leave

	opened, refused atomic.Uint64
	raging          atomic.Bool
	failure         atomic.Pointer[error] // the first
}

// TestStorm: all clients come back at once. Each gets in, in the end; those who
// were there lose nothing; and Sluice has counted as they have. How long the
// residents' messages take is told and not judged: all of it is on one machine.
func TestStorm(t *testing.T) {
	level := testkit.Now()
	in := serve(t, instanceOf)
	p := startStormed(t, in.urls())
	s := &storm{addresses: p.addresses, home: make(chan struct{}), over: make(chan struct{})}
	var there sync.WaitGroup
	laps := s.settle(t, &there)
	<-time.After(*stormWatch)
	began, before := time.Now(), p.cpu(t)
	s.raging.Store(true)
	s.rage()
	s.raging.Store(false)
	t.Logf("%d clients are in after %v; %d times one was sent away; Sluice took %v of CPU", *stormOf,
		time.Since(began).Round(time.Millisecond), s.refused.Load(), p.cpu(t)-before)
	close(s.home)
	close(s.over)
	there.Wait()
	if err := s.failure.Load(); err != nil {
		t.Fatal(*err)
	}
	report(t, laps)
	s.wantCounts(t, p.admin)
	p.stop(t)
	in.close()
	level.WantBack(t, "and nothing is left of the storm")
}

func (s *storm) failed(who string, n int, err error) {
	err = fmt.Errorf("%s %d: %w", who, n, err)
	s.failure.CompareAndSwap(nil, &err)
}

// resident is a session that is there, and how long its messages took before
// the storm and in it.
type resident struct {
	wire
	took [2][]time.Duration
}

// settle opens the residents' sessions and has them talk.
func (s *storm) settle(t *testing.T, there *sync.WaitGroup) (all []*resident) {
	t.Helper()
	for n := range residents {
		r := &resident{}
		if _, err := s.enter(&r.wire, n); err != nil {
			t.Fatalf("resident %d: %v", n, err)
		}
		all = append(all, r)
		there.Go(func() {
			if err := r.talk(s); err != nil {
				s.failed("resident", n, err)
			}
		})
	}
	return all
}

// talk sends one message after the other, and wants each back.
func (r *resident) talk(s *storm) error {
	defer r.reset()
	tick := time.NewTicker(lapEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-s.over:
			return clientCloses(nil, &r.wire, 0)
		case <-tick.C:
		}
		text := strconv.Itoa(n)
		began, phase := time.Now(), 0
		if s.raging.Load() {
			phase = 1
		}
		_ = r.conn.SetDeadline(began.Add(late))
		if err := r.send(ws.Text, text); err != nil {
			return err
		}
		if err := r.want(ws.Text, text); err != nil {
			return err
		}
		r.took[phase] = append(r.took[phase], time.Since(began))
	}
}

// rage has all clients come within a second, and waits until they are in.
func (s *storm) rage() {
	var in, left sync.WaitGroup
	for n := range *stormOf {
		in.Add(1)
		left.Go(func() {
			var w wire
			err := s.comeIn(&w, n)
			in.Done()
			if err == nil {
				<-s.home
				_ = w.conn.SetDeadline(time.Now().Add(late))
				err = clientCloses(nil, &w, 0)
			}
			if err != nil {
				s.failed("client", n, err)
			}
			if w.conn != nil {
				w.reset()
			}
		})
	}
	in.Wait()
}

// comeIn tries until the client is in, and as often as it is told to come again.
func (s *storm) comeIn(w *wire, n int) error {
	again := time.Duration(n) * time.Second / time.Duration(*stormOf)
	for {
		<-time.After(again)
		var err error
		if again, err = s.enter(w, n); again == 0 {
			return err
		}
	}
}

// enter opens a session and exchanges a message. again is when the client was
// told to come again; 0 if it was not.
func (s *storm) enter(w *wire, n int) (again time.Duration, err error) {
	c, err := net.DialTimeout("tcp", s.addresses[n%places].String(), late)
	if err != nil {
		return 0, err
	}
	w.begin(c, false)
	if _, err := io.WriteString(c, testkit.Upgrade("/client")); err != nil {
		return 0, err
	}
	head, err := w.upTo("\r\n\r\n")
	if err != nil {
		return 0, err
	}
	if strings.HasPrefix(head, "HTTP/1.1 503 ") {
		s.refused.Add(1)
		w.conn.Close()
		_, after, _ := strings.Cut(head, "Retry-After: ")
		after, _, _ = strings.Cut(after, "\r\n")
		return time.ParseDuration(after + "s")
	}
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		return 0, fmt.Errorf("want 101 or 503, got %q", head)
	}
	s.opened.Add(1)
	if err := w.send(ws.Text, "hello"); err != nil {
		return 0, err
	}
	return 0, w.want(ws.Text, "hello")
}

// report tells how long the residents' messages took.
func report(t *testing.T, all []*resident) {
	t.Helper()
	for phase, when := range []string{"before", "in the storm"} {
		var took []time.Duration
		for _, r := range all {
			took = append(took, r.took[phase]...)
		}
		if slices.Sort(took); len(took) == 0 {
			t.Fatalf("no message was exchanged %s", when)
		}
		at := func(part float64) time.Duration { return took[int(part*float64(len(took)-1))].Round(time.Microsecond) }
		t.Logf("%s: %d messages of residents, p50 %v, p99 %v, most %v", when, len(took), at(.5), at(.99), at(1))
	}
}

// wantCounts holds what Sluice has counted against what the clients have.
func (s *storm) wantCounts(t *testing.T, admin net.Addr) {
	t.Helper()
	opened, refused := s.opened.Load(), s.refused.Load()
	if want := uint64(*stormOf + residents); opened != want {
		t.Errorf("%d sessions were opened, want %d", opened, want)
	}
	var m scraped
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(late); ; <-tick.C { // the last closes are under way
		m = metrics(t, admin)
		if m.sum("sluice_upstream_sessions{", "") == 0 || time.Now().After(end) {
			break
		}
	}
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"sessions", m.sum("sluice_sessions{", ""), 0},
		{"instances' sessions", m.sum("sluice_upstream_sessions{", ""), 0},
		{"instances' handshakes", m.sum("sluice_upstream_handshakes{", ""), 0},
		{"sessions that ever were", m.sum("sluice_sessions_total{", ""), opened},
		{"handshakes that let somebody in", m.sum("sluice_handshakes_total{", `result="101"`), opened},
		{"handshakes sent away", m.sum("sluice_handshakes_total{", `result="storm"`) + m.sum("sluice_handshakes_total{", `result="busy"`), refused},
		{"handshakes", m.sum("sluice_handshakes_total{", ""), opened + refused},
		{"closes", m.sum("sluice_closes_total{", `side="client"`), opened},
	} {
		if c.got != c.want {
			t.Errorf("%s: Sluice has %d, its clients %d", c.what, c.got, c.want)
		}
	}
}
