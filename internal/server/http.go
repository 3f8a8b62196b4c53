package server

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/upstream"
)

var errUnasked = errors.New("101 to a request that asked for no upgrade")

// idlePlain is how long a connection for ordinary requests waits for the next
// one. It is less than any common server waits (gunicorn 2 s, Node, uvicorn and
// Apache 5 s): a request that is not idempotent is lost if it meets the server's
// end of the connection, and can't be sent again.
const idlePlain = time.Second

// trip is an ordinary request on its way to an instance.
type trip struct {
	choice *upstream.Choice
	inst   *upstream.Instance
	peer   peer
	major  int   // the client's version of HTTP
	body   *body // nil: it has none
}

type tripKey struct{}

// plain proxies an ordinary HTTP request to the route's pool, with the same
// stickiness as sessions: protocols such as Socket.IO begin with some.
func (s *Server) plain(w http.ResponseWriter, r *http.Request, rt *Route) {
	p := s.peerOf(r)
	t := &trip{choice: rt.choice(r, p.name()), peer: p, major: r.ProtoMajor}
	r = r.WithContext(context.WithValue(r.Context(), tripKey{}, t))
	if r.ContentLength != 0 && r.Body != nil {
		t.body = newBody(w, r, rt.cfg.Timeouts.Frame)
		r.Body = t.body
	}
	rt.http.ServeHTTP(w, r)
}

// newReverse makes a route's proxy for ordinary requests.
func newReverse(rt *Route) (http.Handler, *transports) {
	t := &transports{rt: rt}
	return &httputil.ReverseProxy{
		Rewrite: t.rewrite, Transport: t, FlushInterval: -1,
		ModifyResponse: t.answer, ErrorHandler: t.fail,
		ErrorLog: log.New(&quiet{rt.complain().Log}, "", 0),
	}, t
}

// transports sends ordinary requests, with a connection pool an instance.
type transports struct {
	rt *Route
	m  sync.Map // *upstream.Instance → *http.Transport
}

func tripOf(r *http.Request) *trip { return r.Context().Value(tripKey{}).(*trip) }

func (t *transports) rewrite(pr *httputil.ProxyRequest) {
	tr := tripOf(pr.In)
	pr.Out.Header = t.rt.forwardHeader(pr.In, tr.peer)
	pr.Out.Header.Del("Sluice-Session")
	target := t.rt.target(pr.In)
	if u, err := url.ParseRequestURI(target); err == nil { // a target that begins with // is a path too
		pr.Out.URL.Path, pr.Out.URL.RawPath, pr.Out.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
	}
	pr.Out.URL.Scheme, pr.Out.URL.Host = "http", "instance"
	pr.Out.Host = pr.In.Host
}

// RoundTrip sends r to an instance, and to another if that can't be reached.
func (t *transports) RoundTrip(r *http.Request) (*http.Response, error) {
	tr := tripOf(r)
	host := r.Host
	var tried []*upstream.Instance
	var failed error // why the last of them was not reached
	for {
		inst, err := tr.choice.Plain(tried)
		if failed != nil && errors.Is(err, upstream.ErrTried) {
			return nil, failed
		}
		if err != nil {
			return nil, err
		}
		tr.inst = inst
		out := r.Clone(r.Context())
		if r.Body != nil && r.Body != http.NoBody {
			out.Body = io.NopCloser(r.Body) // a dial that fails would close it before the next try
		}
		inst.Address(out.URL)
		out.Host = tr.choice.Host(inst, host)
		resp, err := t.of(inst).RoundTrip(out)
		if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
			resp.Body.Close()
			inst.Release()
			return nil, errUnasked
		}
		if err == nil {
			inst.Reached()
			resp.Body = &counted{resp.Body, inst, sync.Once{}}
			return resp, nil
		}
		inst.Release()
		var oe *net.OpError
		dial := errors.As(err, &oe) && oe.Op == "dial"
		if tried = append(tried, inst); !dial || len(tried) >= 3 {
			return nil, err
		}
		inst.Unreachable(err)
		failed = err
	}
}

// of gives the connection pool of an instance.
func (t *transports) of(inst *upstream.Instance) *http.Transport {
	if tr, ok := t.m.Load(inst); ok {
		return tr.(*http.Transport)
	}
	tr, _ := t.m.LoadOrStore(inst, &http.Transport{
		DialContext: inst.DialContext(t.rt.cfg.Timeouts.Dial), TLSClientConfig: inst.TLS(),
		MaxIdleConnsPerHost: 64, IdleConnTimeout: idlePlain, DisableCompression: true,
	})
	return tr.(*http.Transport)
}

// forget drops the connection pool of an instance that is no more.
func (t *transports) forget(inst *upstream.Instance) {
	if tr, ok := t.m.LoadAndDelete(inst); ok {
		tr.(*http.Transport).CloseIdleConnections()
	}
}

// answer adds the sticky cookie, and what a 426 must have (RFC 9110, 15.5.22)
// and is taken out of it as hop-by-hop: the only protocol to upgrade to here.
// HTTP/2 has no such field (RFC 9113, 8.2.2).
func (t *transports) answer(resp *http.Response) error {
	tr := tripOf(resp.Request)
	if resp.StatusCode == http.StatusUpgradeRequired && tr.major == 1 {
		resp.Header.Set("Upgrade", "websocket")
		resp.Header.Set("Connection", "Upgrade")
	}
	if c := tr.choice.Cookie(tr.inst, tr.peer.secure); c != "" {
		resp.Header.Add("Set-Cookie", c)
	}
	return nil
}

func (t *transports) fail(w http.ResponseWriter, r *http.Request, err error) {
	t.rt.complain().Warn("request not proxied", "route", t.rt.cfg.Name, "path", r.URL.Path, "err", err)
	status := http.StatusBadGateway
	blame := tripOf(r).body.failed()
	switch {
	case errors.Is(blame, os.ErrDeadlineExceeded):
		status = http.StatusRequestTimeout
	case blame != nil:
		status = http.StatusBadRequest
	case errors.Is(err, upstream.ErrNone), errors.Is(err, upstream.ErrFull), errors.Is(err, upstream.ErrTried):
		status = http.StatusServiceUnavailable
	case upstream.Reason(err) == upstream.ReasonTimeout:
		status = http.StatusGatewayTimeout
	}
	if blame != nil {
		w.Header().Set("Connection", "close")
	} else {
		for _, field := range upstream.ComeAgain(1, 4) {
			w.Header().Set(field[0], field[1])
		}
	}
	http.Error(w, http.StatusText(status), status)
}

// counted is a response body that counts its request out of the instance.
type counted struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	inst *upstream.Instance
	once sync.Once
}

func (c *counted) Read(p []byte) (int, error) { return c.body.Read(p) }

func (c *counted) Close() error {
	c.once.Do(c.inst.Release)
	return c.body.Close()
}
