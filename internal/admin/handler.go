package admin

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// Handler serves the admin listener. Health and metrics are open; the API and
// pprof are for loopback, or for who has the token.
func Handler(m *Metrics, token, version string) http.Handler {
	h := &handler{m: m, token: token, version: version}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", h.index)
	mux.Handle("GET /api", h.guarded(h.api))
	mux.Handle("POST /api/reload", h.commanded(h.reload))
	mux.Handle("POST /api/drain", h.commanded(h.named(m.drain)))
	mux.Handle("POST /api/undrain", h.commanded(h.named(m.undrain)))
	mux.Handle("/debug/pprof/", h.guarded(pprof.Index))
	mux.Handle("/debug/pprof/cmdline", h.guarded(pprof.Cmdline))
	mux.Handle("/debug/pprof/profile", h.guarded(pprof.Profile))
	mux.Handle("/debug/pprof/symbol", h.guarded(pprof.Symbol))
	mux.Handle("/debug/pprof/trace", h.guarded(pprof.Trace))
	return mux
}

type handler struct {
	m              *Metrics
	token, version string
}

func (h *handler) index(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, "sluice "+h.version+"\n\n/healthz  /readyz  /metrics  /api  /debug/pprof/\n")
}

// ready answers 200 while every pool has an instance that is up, every fan-out
// that has streams has one that is neither cut off nor stale, and no stop is
// under way.
func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	if h.m.source.Draining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	for _, p := range h.m.source.Pools() {
		if !p.Ready() {
			http.Error(w, "pool "+p.Name()+" has no instance that is up", http.StatusServiceUnavailable)
			return
		}
	}
	for _, r := range h.m.source.Routes() {
		if why := starving(r); why != "" {
			http.Error(w, "route "+r.Name+" has "+why, http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// starving tells what is wrong with all streams of a fan-out; "" where nothing
// is, or there are none. One stream among others may be a client's mistake.
func starving(r Route) string {
	if r.Fanout == nil {
		return ""
	}
	why := ""
	for _, v := range r.Fanout.Views() {
		switch {
		case !v.Opened: // nobody is in there yet
		case !v.Up:
			why = "no source that is connected"
		case v.Stale:
			why = "no stream that is not stale"
		default:
			return ""
		}
	}
	return why
}

// guarded lets loopback in, and who shows the token. A browser on this machine
// may be made to ask by a page of somebody else's, so without the token the
// Host must be this machine's too.
func (h *handler) guarded(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case h.shown(r), onLoopback(r.RemoteAddr) && onLoopback(r.Host):
			next(w, r)
		case h.token == "":
			http.Error(w, "only from this machine, by a loopback address; set admin.token for others", http.StatusForbidden)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "admin.token is wanted: Authorization: Bearer …", http.StatusUnauthorized)
		}
	})
}

func (h *handler) shown(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && h.token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(h.token)) == 1
}

// onLoopback tells whether a host, with or without a port, is this machine.
func onLoopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// report is what /api shows.
type report struct {
	Version string        `json:"version"`
	Started time.Time     `json:"started"`
	State   string        `json:"state"`
	Config  configReport  `json:"config"`
	Routes  []routeReport `json:"routes"`
	Pools   []poolReport  `json:"pools"`
}

type configReport struct {
	Generation int       `json:"generation"` // 1 is what it was started with
	Loaded     time.Time `json:"loaded"`
}

type routeReport struct {
	Name     string        `json:"name"`
	Sessions int64         `json:"sessions"`
	Opened   uint64        `json:"sessions_total"`
	Up       traffic       `json:"to_upstream"`
	Down     traffic       `json:"to_client"`
	Streams  []fanout.View `json:"streams,omitempty"` // of a fan-out
}

type traffic struct {
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

type poolReport struct {
	Name      string          `json:"name"`
	Instances []upstream.View `json:"instances"`
}

func (h *handler) api(w http.ResponseWriter, _ *http.Request) {
	src := h.m.source
	out := report{Version: h.version, Started: src.Started(), State: "serving"}
	if src.Draining() {
		out.State = "draining"
	}
	out.Config.Generation, out.Config.Loaded = src.Loaded()
	for _, r := range src.Routes() {
		rr := routeReport{Name: r.Name}
		rr.Sessions, rr.Opened = r.Counters.Sessions()
		rr.Up.Messages, rr.Up.Bytes = r.Counters.Traffic(loop.ToUpstream)
		rr.Down.Messages, rr.Down.Bytes = r.Counters.Traffic(loop.ToClient)
		if r.Fanout != nil {
			rr.Streams = r.Fanout.Views()
		}
		out.Routes = append(out.Routes, rr)
	}
	for _, p := range src.Pools() {
		out.Pools = append(out.Pools, poolReport{p.Name(), p.Views()})
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client is gone: nobody to tell
}
