package load_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

const (
	reloads       = 50
	reloadClients = 60
	reloadServers = 5
	reloadWindow  = 8 // messages of a session that are under way
)

// echoer is an instance that says who it is and echoes from then on.
type echoer struct {
	*httptest.Server
	open    atomic.Int64 // sessions
	removed atomic.Int64 // how often a reload took it out, counted before
	emptied atomic.Int64 // and after, when nobody was left
}

func startEchoer(t *testing.T, n int) *echoer {
	s := &echoer{}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		s.open.Add(1)
		defer s.open.Add(-1)
		for err = c.WriteMessage(websocket.TextMessage, []byte{byte('0' + n)}); err == nil; {
			var kind int
			var p []byte
			if kind, p, err = c.ReadMessage(); err == nil {
				err = c.WriteMessage(kind, p)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *echoer) url() string { return strings.Replace(s.URL, "http", "ws", 1) }

// crowd is the clients of a Sluice that is reloaded under them.
type crowd struct {
	addr    net.Addr
	servers []*echoer

	messages, moved, torn atomic.Int64
}

// TestReloadsUnderLoad changes what is behind sessions that never rest, fifty
// times: none is closed but those of instances that are taken out, no byte is
// another one, and nobody is left on what is no more.
func TestReloadsUnderLoad(t *testing.T) {
	for _, tr := range testkit.Transports {
		t.Run(string(tr), func(t *testing.T) {
			c := &crowd{}
			for n := range reloadServers {
				c.servers = append(c.servers, startEchoer(t, n))
			}
			in := []int{0, 1, 2}
			a := testkit.Start(t, tr, c.config(0, in))
			c.addr = a.Addr()
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error, reloadClients)
			var wg sync.WaitGroup
			for n := range reloadClients {
				wg.Go(func() { errs <- c.client(ctx, uint64(n)) })
			}
			for k := 1; k <= reloads && len(errs) == 0; k++ {
				in = c.reload(t, a, k, in)
			}
			cancel()
			wg.Wait()
			for range reloadClients {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			t.Logf("%d messages, %d sessions moved, %d of them cut inside a frame", c.messages.Load(), c.moved.Load(), c.torn.Load())
			if c.moved.Load() == 0 || c.messages.Load() < 1000 {
				t.Error("that is no load")
			}
		})
	}
}

// config is the k-th configuration, with those servers.
func (c *crowd) config(k int, in []int) string {
	var ups []string
	for _, n := range in {
		ups = append(ups, fmt.Sprintf("{url: %q, weight: %d}", c.servers[n].url(), 1+(k+n)%3))
	}
	pick := func(of ...string) string { return of[k%len(of)] }
	return testkit.Config{
		Upstreams: ups,
		Limits:    pick("", "message_size: 64KiB", "message_size: 1MiB, messages: {rate: 100000, burst: 100000}", "pings_per_second: 50"),
		Timeouts:  pick("ping: 20ms", "ping: 0s", "ping: 1s, idle: 1m", "write: 20s, frame: 20s, age: 1h"),
		Balance:   pick("policy: least_load", "policy: round_robin, sticky: {cookie: at}", "policy: random", "policy: {hash: ip}", "policy: least_sessions"),
		Failover:  "spread: 20ms",
		Health:    pick("probe: none", "probe: tcp, interval: 1s"),
		Route:     "    origins: " + pick(`["*"]`, "[self]", `["https://a.example"]`),
		Top:       "log: {level: warn, sessions: none}",
	}.String()
}

// reload takes one server out and another in, and waits until nobody is left on
// the one.
func (c *crowd) reload(t *testing.T, a *testkit.App, k int, in []int) []int {
	t.Helper()
	next := slices.Clone(in)
	var out *echoer
	if k%2 == 0 {
		at := rand.IntN(len(next))
		out = c.servers[next[at]]
		for next[at] = rand.IntN(reloadServers); slices.Contains(in, next[at]); next[at] = rand.IntN(reloadServers) {
		}
		out.removed.Add(1)
	}
	a.Reload(t, c.config(k, next))
	before := c.messages.Load()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for (out != nil && out.open.Load() > 0) || c.messages.Load() < before+reloadClients {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("30 s after reload %d: %d messages since, and a server that was taken out has sessions: %v",
				k, c.messages.Load()-before, out != nil && out.open.Load() > 0)
		}
	}
	if out != nil {
		out.emptied.Add(1)
	}
	return next
}

// client opens sessions until ctx ends, the next one when one is closed.
func (c *crowd) client(ctx context.Context, seed uint64) error {
	for ctx.Err() == nil {
		if err := c.session(ctx, seed); err != nil {
			return err
		}
	}
	return nil
}

// session has messages echoed until ctx ends or its instance is taken out. It
// is an error if it ends for another reason, or if what comes back is not what
// went.
func (c *crowd) session(ctx context.Context, seed uint64) error {
	var emptied [reloadServers]int64
	for n, s := range c.servers {
		emptied[n] = s.emptied.Load()
	}
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+c.addr.String()+"/", nil)
	if err != nil {
		return fmt.Errorf("not let in: %w, %v", err, resp)
	}
	defer conn.Close()
	_, who, err := conn.ReadMessage()
	if err != nil {
		// Which instance it was is not known; one that is taken out
		// while it greets tears that too.
		if websocket.IsCloseError(err, websocket.CloseServiceRestart) {
			return nil
		}
		return fmt.Errorf("no greeting: %w", err)
	}
	n := who[0] - '0'
	s := c.servers[n]
	room := make(chan struct{}, reloadWindow)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { speak(ctx, conn, seed, room, over) })
	defer wg.Wait()
	defer conn.Close() // ends a write that waits
	defer close(over)
	for want := newScript(seed); ; {
		p, err := readWhole(conn)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return c.ended(s, emptied[n], err)
		}
		if !bytes.Equal(p, want.next()) {
			return fmt.Errorf("message %d came back another: %d bytes", want.n, len(p))
		}
		c.messages.Add(1)
		<-room
	}
}

// readWhole reads a message. One that is cut off inside a frame is
// io.ErrUnexpectedEOF, which the library does not tell from an end between two.
func readWhole(conn *websocket.Conn) ([]byte, error) {
	_, r, err := conn.NextReader()
	if err != nil {
		return nil, err
	}
	p, err := io.ReadAll(r)
	if websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		err = io.ErrUnexpectedEOF
	}
	return p, err
}

// ended judges how a session of s has ended that began when s had been emptied
// so often.
func (c *crowd) ended(s *echoer, emptied int64, err error) error {
	switch {
	case s.removed.Load() == emptied:
		return fmt.Errorf("closed on an instance that was not taken out: %w", err)
	case websocket.IsCloseError(err, websocket.CloseServiceRestart):
	case websocket.IsUnexpectedCloseError(err):
		return fmt.Errorf("want 1012: %w", err)
	default:
		c.torn.Add(1)
	}
	c.moved.Add(1)
	return nil
}

// speak sends a script's messages as there is room, until the session is over.
func speak(ctx context.Context, conn *websocket.Conn, seed uint64, room chan<- struct{}, over <-chan struct{}) {
	for script := newScript(seed); ; {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return
		case <-over:
			return
		}
		if conn.WriteMessage(websocket.BinaryMessage, script.next()) != nil {
			return // the reader learns why
		}
	}
}

// script is messages that nobody else has: their bytes follow from a seed.
type script struct {
	rng *rand.ChaCha8
	n   int
}

func newScript(seed uint64) *script {
	var key [32]byte
	for k := range 8 {
		key[k] = byte(seed >> (8 * k))
	}
	return &script{rng: rand.NewChaCha8(key)}
}

func (s *script) next() []byte {
	s.n++
	p := make([]byte, 1+s.rng.Uint64()%600)
	if s.n%100 == 0 {
		p = make([]byte, 40_000)
	}
	_, _ = s.rng.Read(p)
	return p
}
