package server

import (
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/relay"
	"github.com/sluice-proxy/sluice/internal/scatter"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// Route is a route that is ready to serve.
type Route struct {
	cfg      *config.Route
	origins  *origins      // nil: the instance judges
	fanout   *fanout.Route // or
	relay    *relay.Route  // or
	scatter  *scatter.Route
	files    int64 // descriptors that a session takes
	balancer *upstream.Balancer
	http     http.Handler
	plain    *transports     // behind http
	ruled    map[string]bool // names of fields that the configuration sets or removes
}

// NewRoute makes a route of the balance mode.
func NewRoute(cfg *config.Route, r *relay.Route, b *upstream.Balancer) *Route {
	return (&Route{cfg: cfg, relay: r, files: filesBalanced, balancer: b}).asked()
}

// NewScatterRoute makes a route of the scatter mode, whose sessions have up to so
// many legs.
func NewScatterRoute(cfg *config.Route, r *scatter.Route, legs int) *Route {
	return (&Route{cfg: cfg, scatter: r, files: int64(1 + legs), balancer: r.Home()}).asked()
}

// asked completes a route whose instances are asked with the client's request.
func (rt *Route) asked() *Route {
	cfg := rt.cfg
	rt.ruled = map[string]bool{}
	for _, name := range cfg.Headers.Remove {
		rt.ruled[http.CanonicalHeaderKey(name)] = true
	}
	for name := range cfg.Headers.Set {
		rt.ruled[http.CanonicalHeaderKey(name)] = true
	}
	if cfg.Origins != nil {
		rt.origins = newOrigins(cfg.Origins)
	}
	rt.http, rt.plain = newReverse(rt)
	return rt
}

// NewFanoutRoute makes a route of the fanout mode.
func NewFanoutRoute(cfg *config.Route, f *fanout.Route) *Route {
	return &Route{cfg: cfg, fanout: f, files: filesSubscribed, origins: newOrigins(cfg.Origins)}
}

// Balanced gives what a route of the balance mode is made of; nil for others.
func (rt *Route) Balanced() (*relay.Route, *upstream.Pool) {
	if rt.relay == nil {
		return nil, nil
	}
	return rt.relay, rt.balancer.Pool()
}

// complain is the route's limited log.
func (rt *Route) complain() *upstream.Complaints {
	switch {
	case rt.fanout != nil:
		return rt.fanout.Complain
	case rt.scatter != nil:
		return rt.scatter.Complain
	}
	return rt.relay.Complain
}

// forbidden refuses a browser whose page is not from an allowed origin, and a
// path that would leave the source's.
func (rt *Route) forbidden(r *http.Request) *handshake.Refusal {
	if rt.fanout != nil && rt.cfg.Fanout.StreamBy.Path {
		if refusal := dotted(r.URL.Path); refusal != nil {
			return refusal
		}
	}
	if rt.origins == nil || rt.origins.allow(r) {
		return nil
	}
	from := r.Header.Get("Origin")
	return &handshake.Refusal{Status: 403, What: "origin " + from + " is not allowed; to allow it, add to route " +
		strconv.Quote(rt.cfg.Name) + ": origins: [" + strconv.Quote(from) + "]"}
}

// Table is a list of routes; the first that matches takes a request.
type Table []*Route

// match gives the route for r, or nil.
func (t Table) match(r *http.Request) *Route {
	host := strings.ToLower(r.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	p := cleaned(r.URL.Path)
	for _, rt := range t {
		if rt.takes(host, p, r.Header) {
			return rt
		}
	}
	return nil
}

func (rt *Route) takes(host, p string, h http.Header) bool {
	m := &rt.cfg.Match
	if m.Host != "" && m.Host != host {
		return false
	}
	for name, value := range m.Headers {
		if h.Get(name) != value {
			return false
		}
	}
	if m.Exact {
		return p == m.Path
	}
	return hasPathPrefix(p, m.Path)
}

// hasPathPrefix tells whether prefix covers p by whole segments.
func hasPathPrefix(p, prefix string) bool {
	rest, ok := strings.CutPrefix(p, strings.TrimSuffix(prefix, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// target is the request target for an instance: as the client wrote it,
// without the part that the route strips.
func (rt *Route) target(r *http.Request) string {
	t := r.RequestURI
	if !strings.HasPrefix(t, "/") { // the absolute form
		t = r.URL.RequestURI()
	}
	strip := strings.TrimSuffix(rt.cfg.StripPrefix, "/")
	if strip == "" {
		return t
	}
	p, query, asked := strings.Cut(t, "?")
	if !hasPathPrefix(p, strip) { // written in another way than the route has it
		p = (&url.URL{Path: cleaned(r.URL.Path)}).EscapedPath()
	}
	if p = strings.TrimPrefix(p, strip); p == "" {
		p = "/"
	}
	if asked {
		p += "?" + query
	}
	return p
}

// cleaned is p as an instance would resolve it.
func cleaned(p string) string {
	if strings.Contains(p, "/.") || strings.Contains(p, "//") {
		return path.Clean("/" + p)
	}
	return p
}

// key is what policy hash hashes of a request.
func (rt *Route) key(r *http.Request, client string) string {
	if rt.cfg.Balance == nil {
		return ""
	}
	k := &rt.cfg.Balance.Policy.Hash
	switch k.From {
	case "header":
		return r.Header.Get(k.Name)
	case "query":
		return r.URL.Query().Get(k.Name)
	case "cookie":
		return cookie(r, k.Name)
	case "ip":
		return client
	}
	return ""
}

// choice is the claim of r's client on an instance.
func (rt *Route) choice(r *http.Request, client string) *upstream.Choice {
	sticky := ""
	if name := rt.balancer.CookieName(); name != "" {
		sticky = cookie(r, name)
	}
	return rt.balancer.For(rt.key(r, client), sticky)
}

func cookie(r *http.Request, name string) string {
	if c, err := r.Cookie(name); err == nil {
		return c.Value
	}
	return ""
}
