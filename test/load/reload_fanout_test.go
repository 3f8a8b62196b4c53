package load_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

const (
	fanoutReloads = 40
	fanoutClients = 30
)

// counting is a source that counts, a message a millisecond.
func counting(t *testing.T) (url string, connections *atomic.Int64) {
	connections = &atomic.Int64{}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		connections.Add(1)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; err == nil; n++ {
			select {
			case <-tick.C:
				err = c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", n%500)))
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http", "ws", 1), connections
}

// TestFanoutReloadsUnderLoad changes a fan-out under subscribers of both frames'
// forms: none is closed, and none misses a message.
func TestFanoutReloadsUnderLoad(t *testing.T) {
	for _, tr := range testkit.Transports {
		t.Run(string(tr), func(t *testing.T) {
			url, connections := counting(t)
			a := testkit.Start(t, tr, fanoutConfig(url, 0))
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error, fanoutClients)
			var got atomic.Int64
			var wg sync.WaitGroup
			for n := range fanoutClients {
				wg.Go(func() { errs <- counted(ctx, "ws://"+a.Addr().String()+"/", n%2 == 0, &got) })
			}
			for k := 1; k <= fanoutReloads && len(errs) == 0; k++ {
				before := got.Load()
				a.Reload(t, fanoutConfig(url, k))
				tick := time.NewTicker(5 * time.Millisecond)
				for late := time.After(30 * time.Second); got.Load() < before+5*fanoutClients && len(errs) == 0; {
					select {
					case <-tick.C:
					case <-late:
						t.Fatalf("30 s after reload %d: %d messages since", k, got.Load()-before)
					}
				}
				tick.Stop()
			}
			cancel()
			wg.Wait()
			for range fanoutClients {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("there were %d connections to the source, want one", n)
			}
			t.Logf("%d messages", got.Load())
		})
	}
}

// fanoutConfig is the k-th configuration of one fan-out.
func fanoutConfig(url string, k int) string {
	pick := func(of ...string) string { return of[k%len(of)] }
	return testkit.Feed{
		Sources:  []string{url, "ws://127.0.0.1:1"}[:1+k%2],
		Limits:   pick("", "message_size: 64KiB", "messages: {rate: 1000, burst: 1000}"),
		Timeouts: pick("ping: 20ms", "ping: 0s", "ping: 1s, idle: 1m", "write: 20s, frame: 20s, age: 1h"),
		Fanout: strings.Join([]string{
			"compress: true", pick("history: {messages: 10}", "history: {messages: 0}", "history: {messages: 1000, bytes: 1MiB, age: 1s}"),
			pick("flush_interval: 0s", "flush_interval: 5ms"), pick("slow: {policy: close}", "slow: {policy: skip, notice: none}"),
			pick("client_messages: drop", "client_messages: forward", "answers: [{match: a, send: b}]", "client_messages: drop", "stale_after: 1m"),
		}, ", "),
		Top: "log: {level: warn, sessions: none}",
	}.String()
}

// counted reads the stream until ctx ends, and wants each number to be the
// one before and one.
func counted(ctx context.Context, url string, compress bool, got *atomic.Int64) error {
	d := websocket.Dialer{EnableCompression: compress}
	conn, resp, err := d.Dial(url, nil)
	if err != nil {
		return fmt.Errorf("not let in: %w, %v", err, resp)
	}
	defer conn.Close()
	for last := -1; ; {
		_, p, err := conn.ReadMessage()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("after %d: %w", last, err)
		}
		number, rest, _ := strings.Cut(string(p), " ")
		n, err := strconv.Atoi(number)
		if err != nil || len(rest) != n%500 || last >= 0 && n != last+1 {
			return fmt.Errorf("behind %d comes %.40q", last, p)
		}
		last = n
		got.Add(1)
	}
}
