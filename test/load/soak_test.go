package load_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/testkit"
)

var soakOf = flag.Int("soak.sessions", soakSessions, "how many sessions each soak opens and closes")

const (
	atOnce = 256
	// places is how many listeners, and instances, the sessions spread over: each
	// pair of addresses has some 28,000 ports, and a port rests after its use.
	places = 4
	// fewest sessions are worth a soak.
	fewest = 2 * atOnce
)

// mayGrow is how far the heap may end above where it began, in bytes: for what
// comes and goes by itself, and for each of n sessions less than a slot of a
// loop's that is never used again: 16 a connection, of which a session has two.
func mayGrow(n int) int64 { return 384<<10 + 13*int64(n) }

// soak is a Sluice under soak, and what its clients have seen of it.
type soak struct {
	*app.App
	lines  closeLines
	cancel context.CancelFunc
	ended  chan error

	opened  atomic.Uint64 // sessions that clients were let into
	refused atomic.Uint64
	failure atomic.Pointer[error] // the first
}

// play has a client live through its nth session; w is its connection.
type play func(s *soak, w *wire, n int) error

// startSoak runs a Sluice of these routes on several addresses.
func startSoak(t *testing.T, tr testkit.Transport, routes string) *soak {
	t.Helper()
	listen := strings.TrimSuffix(strings.Repeat(`"127.0.0.1:0", `, places), ", ")
	cfg, err := config.Parse("soak", []byte("listen: ["+listen+`]
admin: "127.0.0.1:0"
drain: 0s
log: {level: info, sessions: close}
limits: {sessions_per_ip: 100000, handshakes_pending: 256}
routes:
`+routes), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{ended: make(chan error, 1)}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	if s.App, err = app.New(ctx, cfg, app.Options{Stream: tr == testkit.Stream, Log: &s.lines, Version: "soak"}); err != nil {
		t.Fatal(err)
	}
	go s.serve(ctx)
	return s
}

func (s *soak) serve(ctx context.Context) { s.ended <- s.Run(ctx) }

// stop ends the Sluice.
func (s *soak) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	if err := <-s.ended; err != nil {
		t.Errorf("Run ended with %v", err)
	}
	if n := s.lines.panics.Load(); n > 0 {
		t.Errorf("%d panics were logged", n)
	}
}

// run opens and closes sessions, so many at once, until n have been.
func (s *soak) run(t *testing.T, n int, p play) {
	t.Helper()
	var next atomic.Int64
	var done sync.WaitGroup
	for range atOnce {
		done.Go(func() { s.client(&next, n, p) })
	}
	done.Wait()
	if err := s.failure.Load(); err != nil {
		t.Fatal(*err)
	}
}

// client opens one session after the other.
func (s *soak) client(next *atomic.Int64, n int, p play) {
	var w wire
	for s.failure.Load() == nil {
		k := int(next.Add(1)) - 1
		if k >= n {
			return
		}
		c, err := net.DialTimeout("tcp", s.Addresses()[k%places].String(), late)
		if err == nil {
			w.begin(c, false)
			err = p(s, &w, k)
			w.reset()
		}
		if err != nil {
			err = fmt.Errorf("session %d: %w", k, err)
			s.failure.CompareAndSwap(nil, &err)
		}
	}
}

// soaked runs so many sessions and sees that Sluice, and the process, end where
// they were before, and that Sluice has counted as its clients have.
func soaked(t *testing.T, s *soak, n int, p play) {
	t.Helper()
	n = max(n, fewest)
	s.run(t, soakWarmUp, p)
	s.wantIdle(t)
	before, level := settled(), testkit.Now()
	began := time.Now()
	s.run(t, n, p)
	took := time.Since(began)
	s.wantIdle(t)
	level.WantBack(t, "descriptors and goroutines are where they began")
	after := settled()
	if after.goroutines != before.goroutines {
		t.Errorf("%d goroutines, and there were %d", after.goroutines, before.goroutines)
	}
	heap, spans := int64(after.heap-before.heap), int64(after.spans-before.spans)
	t.Logf("%d sessions in %v, %d opened and %d refused with the first %d; the heap grew by %d bytes from %d, %.2f a session, its spans by %d",
		n, took.Round(time.Millisecond), s.opened.Load(), s.refused.Load(), soakWarmUp, heap, before.heap, float64(heap)/float64(n), spans)
	if most := mayGrow(n); soakHeap && (heap > most || spans > 2*most) {
		t.Errorf("the heap grew by %d bytes, %d in spans; %d and %d are allowed", heap, spans, most, 2*most)
	}
	s.wantCounts(t)
}

// footing is what of the process is in use when nothing happens.
type footing struct {
	goroutines  int
	heap, spans uint64 // bytes: objects, and what they lie in
}

// settled waits until goroutines neither come nor go, and takes the level.
func settled() (f footing) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for same, end := 0, time.Now().Add(late); same < 40 && time.Now().Before(end); same++ {
		if n := runtime.NumGoroutine(); n != f.goroutines {
			f.goroutines, same = n, 0
		}
		<-tick.C
	}
	runtime.GC() // what lies in a sync.Pool is let go of by the second
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.heap, f.spans = m.HeapAlloc, m.HeapInuse
	return f
}

// wantIdle waits until Sluice counts no session.
func (s *soak) wantIdle(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(late); ; <-tick.C {
		open, _ := s.Routes()[0].Counters.Sessions()
		for _, p := range s.Pools() {
			for _, i := range p.Instances() {
				open += int64(i.Sessions())
			}
		}
		if f := s.Routes()[0].Fanout; f != nil {
			open += int64(len(f.Views()))
		}
		if open == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d sessions and streams are still counted", open)
		}
	}
}

// wantCounts holds what Sluice has counted against what its clients have.
func (s *soak) wantCounts(t *testing.T) {
	t.Helper()
	_, ever := s.Routes()[0].Counters.Sessions()
	opened, refused := s.opened.Load(), s.refused.Load()
	m := metrics(t, s.AdminAddress())
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"sessions that ever were", ever, opened},
		{"sluice_sessions_total", m.sum("sluice_sessions_total{", ""), opened},
		{"sluice_sessions", m.sum("sluice_sessions{", ""), 0},
		{"handshakes that let somebody in", m.sum("sluice_handshakes_total{", `result="101"`) + m.sum("sluice_handshakes_total{", `result="200"`), opened},
		{"refusals, by Sluice and by instances", m.sum("sluice_handshakes_total{", `result="4`) + m.sum("sluice_handshakes_total{", `result="refused"`), refused},
		{"closes", m.sum("sluice_closes_total{", ""), opened},
		{"lines of closes, with those dropped", s.lines.closes.Load() + s.LogDrops(), opened},
	} {
		if c.got != c.want {
			t.Errorf("%s: Sluice has %d, its clients %d", c.what, c.got, c.want)
		}
	}
}

// scraped is the lines of /metrics.
type scraped []string

// sum adds up a metric over all labels that contain label.
func (s scraped) sum(name, label string) (n uint64) {
	for _, line := range s {
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line, name) && strings.Contains(line, label) {
			v, _ := strconv.ParseFloat(line[i+1:], 64)
			n += uint64(v)
		}
	}
	return n
}

func metrics(t *testing.T, admin net.Addr) scraped {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: late}
	resp, err := c.Get("http://" + admin.String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

// closeLines is a log that only counts.
type closeLines struct{ closes, panics atomic.Uint64 }

// Write takes a line.
func (l *closeLines) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "session close") {
		l.closes.Add(1)
	}
	if strings.Contains(string(p), "panic") {
		l.panics.Add(1)
	}
	return len(p), nil
}

// server takes connections on several addresses and gives each to a goroutine,
// until it is closed.
type server struct {
	listeners []net.Listener
	done      sync.WaitGroup
}

func serve(t *testing.T, with func(w *wire)) *server {
	t.Helper()
	v := &server{}
	for range places {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		v.listeners = append(v.listeners, l)
		v.done.Go(func() { v.accept(l, with) })
	}
	return v
}

func (v *server) accept(l net.Listener, with func(w *wire)) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		v.done.Go(func() {
			var w wire
			w.begin(c, true)
			defer c.Close()
			with(&w)
		})
	}
}

func (v *server) close() {
	for _, l := range v.listeners {
		l.Close()
	}
	v.done.Wait()
}

// urls gives the addresses as a list of YAML.
func (v *server) urls() string {
	var all []string
	for _, l := range v.listeners {
		all = append(all, strconv.Quote("ws://"+l.Addr().String()))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
