package server

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

// peer is who a request comes from.
type peer struct {
	addr    netip.Addr // of the connection; the zero Addr for a Unix socket
	client  netip.Addr // the client behind trusted proxies
	trusted bool       // the connection is a trusted proxy's
	secure  bool       // the client came over TLS, as far as is known
}

// peerOf reads who r comes from. The client is the last address of
// X-Forwarded-For that is not a trusted proxy's.
func (s *Server) peerOf(r *http.Request) peer {
	p := peer{secure: r.TLS != nil}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		p.addr = ap.Addr().Unmap()
	}
	p.client = p.addr
	// The peer of a Unix socket is a proxy on this machine.
	trusted := *s.trusted.Load()
	p.trusted = !p.addr.IsValid() || within(trusted, p.addr)
	if !p.trusted {
		return p
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := parseHop(hops[i])
		if err != nil {
			break
		}
		p.client = a
		if !within(trusted, a) {
			break
		}
	}
	if proto := r.Header.Get("X-Forwarded-Proto"); proto != "" {
		p.secure = proto == "https" || proto == "wss"
	}
	return p
}

// name is the client as logs and hash keys have it.
func (p *peer) name() string {
	if !p.client.IsValid() {
		return "local"
	}
	return p.client.String()
}

// parseHop reads an element of X-Forwarded-For, which some proxies write with
// a port.
func parseHop(s string) (netip.Addr, error) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err
}

// forwardHeader gives the fields that an instance sees: the client's, less
// what concerns this connection; who the client is; what the route sets.
func (rt *Route) forwardHeader(r *http.Request, p peer) http.Header {
	h := http.Header(handshake.Pass(r.Header))
	before := ""
	if p.trusted {
		before = strings.Join(r.Header.Values("X-Forwarded-For"), ", ")
	}
	for name := range h {
		as := handshake.ReadAs(name)
		about := strings.HasPrefix(as, "X-Forwarded-") || as == "Forwarded"
		if about && (!p.trusted || as != name) { // a trusted proxy passes on what it does not set
			delete(h, name)
		}
	}
	switch {
	case p.addr.IsValid() && before != "":
		h.Set("X-Forwarded-For", before+", "+p.addr.String())
	case p.addr.IsValid():
		h.Set("X-Forwarded-For", p.addr.String())
	}
	if h.Get("X-Forwarded-Proto") == "" {
		proto := "http"
		if r.TLS != nil {
			proto = "https"
		}
		h.Set("X-Forwarded-Proto", proto)
	}
	if h.Get("X-Forwarded-Host") == "" {
		h.Set("X-Forwarded-Host", r.Host)
	}
	rt.edit(h)
	return h
}

// edit removes and sets what the route says, and removes what an instance may
// take for it.
func (rt *Route) edit(h http.Header) {
	for name := range h {
		if rt.ruled[name] || rt.ruled[handshake.ReadAs(name)] {
			delete(h, name)
		}
	}
	for name, value := range rt.cfg.Headers.Set {
		h.Set(name, value)
	}
}
