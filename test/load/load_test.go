//go:build !race

// Package load_test holds Sluice to what it says of load: a session counts,
// a busy one counts more, and an instance that has become slow counts as fuller.
package load_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/config"
)

// instance is an echo server that answers pings after delay and counts who
// came.
type instance struct {
	*httptest.Server
	delay    atomic.Int64
	sessions atomic.Int64
}

func start(t *testing.T) *instance {
	i := &instance{}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		i.sessions.Add(1)
		var mu sync.Mutex
		c.SetPingHandler(func(data string) error {
			time.AfterFunc(time.Duration(i.delay.Load()), func() {
				mu.Lock()
				defer mu.Unlock()
				_ = c.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
			})
			return nil
		})
		for {
			kind, p, err := c.ReadMessage()
			if err != nil {
				return
			}
			mu.Lock()
			err = c.WriteMessage(kind, p)
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(i.Server.Close)
	return i
}

func (i *instance) url() string { return strings.Replace(i.URL, "http", "ws", 1) }

// view is what /api says of an instance.
type view struct {
	Name string
	Load struct {
		Score, Slowness float64
		Messages        float64 `json:"messages_per_second"`
		RTT             float64 `json:"rtt_ms"`
	}
}

func api(t *testing.T, admin net.Addr) map[string]view {
	t.Helper()
	resp, err := http.Get("http://" + admin.String() + "/api")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Pools []struct{ Instances []view } }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	m := map[string]view{}
	for _, v := range out.Pools[0].Instances {
		m[v.Name] = v
	}
	return m
}

// await asks the API until it says what is wanted.
func await(t *testing.T, admin net.Addr, what string, ok func(map[string]view) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok(api(t, admin)) {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not so; the API says %+v", what, api(t, admin))
		case <-tick.C:
		}
	}
}

func TestNewSessionsGoWhereThereIsRoom(t *testing.T) {
	const busy, slow = 2, 3
	var all []*instance
	var urls []string
	for range 4 {
		i := start(t)
		i.delay.Store(int64(2 * time.Millisecond))
		all = append(all, i)
		urls = append(urls, fmt.Sprintf("%q", i.url()))
	}
	cfg, err := config.Parse("load", []byte(`
listen: {address: "127.0.0.1:0"}
admin: {address: "127.0.0.1:0"}
drain: 0s
log: {sessions: none}
routes: [{name: load, timeouts: {ping: 200ms}, balance: {upstreams: [`+strings.Join(urls, ", ")+`], sticky: {cookie: at}}}]
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, app.Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = a.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })

	url := "ws://" + a.Addresses()[0].String()
	dial := func(cookie string) (*websocket.Conn, string) {
		t.Helper()
		h := http.Header{}
		if cookie != "" {
			h.Set("Cookie", cookie)
		}
		c, resp, err := websocket.DefaultDialer.DialContext(t.Context(), url, h)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		set, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
		return c, set
	}
	hold := func(c *websocket.Conn) { // answers pings
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}

	// Idle sessions spread evenly; each cookie is learnt.
	cookies := map[int]string{}
	for range 40 {
		before := counts(all)
		c, cookie := dial("")
		go hold(c)
		for i := range all {
			if counts(all)[i] > before[i] {
				cookies[i] = cookie
			}
		}
	}
	for i, n := range counts(all) {
		if n < 7 || n > 13 {
			t.Fatalf("40 idle sessions are spread as %v; instance %d has %d", counts(all), i, n)
		}
	}
	await(t, a.AdminAddress(), "every instance's ping time is known", func(m map[string]view) bool {
		for _, v := range m {
			if v.Load.RTT == 0 {
				return false
			}
		}
		return true
	})

	// One gets twenty sessions that talk all the time, one becomes slow.
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	for range 20 {
		c, _ := dial(cookies[busy])
		go talk(c, stop)
	}
	all[slow].delay.Store(int64(20 * time.Millisecond))
	await(t, a.AdminAddress(), "the busy one is seen to be busy, and the slow one slow", func(m map[string]view) bool {
		return m[all[busy].url()].Load.Messages > 1000 && m[all[slow].url()].Load.Slowness > 2.5
	})

	before := counts(all)
	for range 1000 {
		c, _ := dial("")
		go hold(c)
	}
	for i, n := range counts(all) {
		got := n - before[i]
		t.Logf("instance %d took %d of 1000", i, got)
		if (i == busy || i == slow) && got >= 150 {
			t.Errorf("instance %d took %d of 1000 new sessions; less than 60 %% of a fair share is wanted: %+v", i, got, api(t, a.AdminAddress()))
		}
	}
}

func counts(all []*instance) []int64 {
	out := make([]int64, len(all))
	for i := range all {
		out[i] = all[i].sessions.Load()
	}
	return out
}

// talk sends a thousand messages a second, as far as the machine lets it.
func talk(c *websocket.Conn, stop <-chan struct{}) {
	go func() {
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}()
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			if c.WriteMessage(websocket.TextMessage, []byte("tick")) != nil {
				return
			}
		}
	}
}
