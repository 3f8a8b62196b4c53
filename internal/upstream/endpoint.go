package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"reflect"
	"strings"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
)

// Endpoint is an upstream that is dialled by itself, in no pool: a source. It
// is read-only and may be used by any goroutine.
type Endpoint struct {
	cfg *config.Upstream
	tls *tls.Config
}

// NewEndpoint makes the endpoint of an upstream.
func NewEndpoint(u *config.Upstream) (*Endpoint, error) {
	tc, err := tlsConfig(u)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.URL.Redacted(), err)
	}
	return &Endpoint{u, tc}, nil
}

// Name is what logs and metrics call the endpoint: its URL without the query,
// which may hold a token.
func (e *Endpoint) Name() string {
	u := *e.cfg.URL
	u.RawQuery = ""
	return u.Redacted()
}

// Same tells whether o is dialled in the same way.
func (e *Endpoint) Same(o *Endpoint) bool { return reflect.DeepEqual(e.cfg, o.cfg) }

// Host is the Host field towards the endpoint.
func (e *Endpoint) Host() string {
	switch {
	case e.cfg.Host != "":
		return e.cfg.Host
	case e.cfg.URL.Scheme == "ws+unix":
		return "localhost"
	}
	return e.cfg.URL.Host
}

// Target is the request target for a path and query that stand behind the
// URL's own.
func (e *Endpoint) Target(path, query string) string {
	own := ""
	if e.cfg.URL.Scheme != "ws+unix" {
		own = e.cfg.URL.EscapedPath()
		if path != "" {
			own = strings.TrimRight(own, "/")
		}
	}
	t := own + path
	if t == "" {
		t = "/"
	}
	if q := e.cfg.URL.RawQuery; q != "" && query != "" {
		query = q + "&" + query
	} else if q != "" {
		query = q
	}
	if query != "" {
		t += "?" + query
	}
	return t
}

// LookUp gives the ways to dial the endpoint, one an address. It blocks.
func (e *Endpoint) LookUp(ctx context.Context) ([]*loop.Dial, error) {
	if e.cfg.URL.Scheme == "ws+unix" {
		return []*loop.Dial{{Unix: e.cfg.URL.Path}}, nil
	}
	addrs, err := lookUp(ctx, e.cfg)
	if err != nil {
		return nil, err
	}
	dials := make([]*loop.Dial, len(addrs))
	for k, a := range addrs {
		dials[k] = &loop.Dial{Addr: a, TLS: e.tls}
	}
	return dials, nil
}
