package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// stage is a Source with one route and one pool of one instance.
type stage struct {
	routes   []Route
	pools    []*upstream.Pool
	draining bool

	set       *upstream.Set
	reloadErr error
}

func (s *stage) Routes() []Route          { return s.routes }
func (s *stage) Pools() []*upstream.Pool  { return s.pools }
func (s *stage) Draining() bool           { return s.draining }
func (s *stage) Started() time.Time       { return time.Unix(0, 0) }
func (s *stage) LogDrops() uint64         { return 0 }
func (s *stage) Loaded() (int, time.Time) { return 7, time.Unix(0, 0) }

func (s *stage) ReloadFile(_ context.Context, by string) (config.Changes, error) {
	return config.Changes{Changed: []string{"by " + by}}, s.reloadErr
}

func (s *stage) Drain(name string) (int, error)   { return s.set.Drain(name) }
func (s *stage) Undrain(name string) (int, error) { return s.set.Undrain(name) }

type nobody struct{}

func (nobody) InstanceDown(*upstream.Instance, string) {}
func (nobody) InstanceUp(*upstream.Instance)           {}
func (nobody) InstanceRemoved(*upstream.Instance)      {}
func (nobody) InstanceDraining(*upstream.Instance)     {}

func setStage(t *testing.T) (*stage, *Metrics) {
	t.Helper()
	g, err := loop.Start(loop.Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	u, err := url.Parse("ws://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	set := upstream.NewSet(1, slog.New(slog.NewTextHandler(io.Discard, nil)), nobody{})
	p, err := set.Add(context.Background(), &config.Pool{Name: "prices", Upstreams: []*config.Upstream{{URL: u, Weight: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{routes: []Route{{Name: "chat", Counters: loop.NewCounters(g)}}, pools: []*upstream.Pool{p}, set: set}
	m := NewMetrics()
	m.SetSource(s)
	return s, m
}

// ask asks the handler, as somebody from remote who writes host.
func ask(h http.Handler, path, remote, host, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.RemoteAddr, r.Host = remote, host
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWhoMaySeeWhat(t *testing.T) {
	_, m := setStage(t)
	const here, far = "127.0.0.1:5000", "192.0.2.7:5000"
	for _, c := range []struct {
		sentence, token           string // the token that is set
		path, remote, host, shown string
		want                      int
	}{
		{"health is open", "", "/healthz", far, "sluice", "", 200},
		{"readiness is open", "", "/readyz", far, "sluice", "", 200},
		{"metrics are open", "", "/metrics", far, "sluice", "", 200},
		{"the API is for this machine", "", "/api", here, "localhost:9090", "", 200},
		{"by any loopback address", "", "/api", "[::1]:1", "[::1]:9090", "", 200},
		{"not for others", "", "/api", far, "localhost:9090", "", 403},
		{"a page of somebody else's can't ask for it", "", "/api", here, "evil.example", "", 403},
		{"nor for a profile", "", "/debug/pprof/", here, "evil.example", "", 403},
		{"others need the token", "s3cret", "/api", far, "sluice", "", 401},
		{"the right one", "s3cret", "/api", far, "sluice", "wrong", 401},
		{"and have it all with it", "s3cret", "/api", far, "sluice", "s3cret", 200},
		{"profiles too", "s3cret", "/debug/pprof/", far, "sluice", "s3cret", 200},
		{"no token set, none fits", "", "/api", far, "sluice", "x", 403},
		{"nothing else is here", "", "/etc/passwd", here, "localhost", "", 404},
	} {
		if got := ask(Handler(m, c.token, "v"), c.path, c.remote, c.host, c.shown).Code; got != c.want {
			t.Errorf("%s: %d, want %d", c.sentence, got, c.want)
		}
	}
}

func TestNotReadyWhileDraining(t *testing.T) {
	s, m := setStage(t)
	s.draining = true
	if got := ask(Handler(m, "", "v"), "/readyz", "127.0.0.1:1", "x", ""); got.Code != 503 || !strings.Contains(got.Body.String(), "draining") {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
}

func TestMetricsHaveTheirNames(t *testing.T) {
	_, m := setStage(t)
	m.Handshake("chat", "101", time.Millisecond)
	m.Closed("chat", "client", 1000)
	m.Closed("chat", "client", 4321)
	m.Closed("chat", "proxy", 0)
	m.Failover("chat", "no_pong", "closed")
	m.DialError("refused")
	text := ask(Handler(m, "", "v"), "/metrics", "127.0.0.1:1", "x", "").Body.String()
	for _, want := range []string{
		`sluice_sessions{route="chat"} 0`,
		`sluice_sessions_total{route="chat"} 0`,
		`sluice_messages_total{direction="to_upstream",route="chat"} 0`,
		`sluice_bytes_total{direction="to_client",route="chat"} 0`,
		`sluice_closes_total{code="1000",route="chat",side="client"} 1`,
		`sluice_closes_total{code="4xxx",route="chat",side="client"} 1`,
		`sluice_closes_total{code="none",route="chat",side="proxy"} 1`,
		`sluice_handshakes_total{result="101",route="chat"} 1`,
		`sluice_handshake_seconds_count 1`,
		`sluice_failovers_total{reason="no_pong",result="closed",route="chat"} 1`,
		`sluice_dial_errors_total{reason="refused"} 1`,
		`sluice_dial_errors_total{reason="ephemeral_ports"} 0`,
		`sluice_upstream_up{pool="prices",upstream="ws://127.0.0.1:1"} 1`,
		`sluice_upstream_sessions{pool="prices",upstream="ws://127.0.0.1:1"} 0`,
		`sluice_upstream_rtt_seconds{pool="prices",upstream="ws://127.0.0.1:1"} 0`,
		`sluice_upstream_ejected_total{pool="prices",reason="dial_errors",upstream="ws://127.0.0.1:1"} 0`,
		`sluice_upstream_ejected_total{pool="prices",reason="missed_pings",upstream="ws://127.0.0.1:1"} 0`,
		`sluice_upstream_ejected_total{pool="prices",reason="closes",upstream="ws://127.0.0.1:1"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestTheAPIShowsTheScoresParts(t *testing.T) {
	_, m := setStage(t)
	var out struct {
		Pools []struct {
			Name      string
			Instances []struct {
				Name, State string
				Load        map[string]float64
			}
		}
	}
	if err := json.NewDecoder(ask(Handler(m, "", "v"), "/api", "127.0.0.1:1", "localhost", "").Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	i := out.Pools[0].Instances[0]
	if i.Name != "ws://127.0.0.1:1" || i.State != "up" {
		t.Errorf("%+v", i)
	}
	for _, part := range []string{"score", "sessions", "messages_awaiting", "messages_per_second", "bytes_per_second", "traffic_as_sessions", "rtt_ms", "usual_rtt_ms", "slowness"} {
		if _, ok := i.Load[part]; !ok {
			t.Errorf("the load has no %s: %v", part, i.Load)
		}
	}
}
