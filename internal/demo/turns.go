package demo

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
)

// turns sends each request to the next of some servers, or to the one behind
// it when that can't be reached. It is what httputil.ReverseProxy needs to
// stand beside Sluice on equal terms.
type turns struct {
	// Set once, then read-only.
	hosts []string
	via   http.RoundTripper

	next atomic.Uint64
}

// RoundTrip asks the servers in turn until one is there.
func (t *turns) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	first := t.next.Add(1)
	for k := range uint64(len(t.hosts)) {
		out := r.Clone(r.Context())
		out.URL.Host = t.hosts[(first+k)%uint64(len(t.hosts))]
		resp, err = t.via.RoundTrip(out)
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			return resp, err
		}
	}
	return resp, err
}

// newReverseProxy stands before the servers at hosts.
func newReverseProxy(hosts []string) *http.Server {
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme = "http" },
		Transport: &turns{hosts: hosts, via: &http.Transport{}},
		ErrorLog:  log.New(io.Discard, "", 0), // the panel shows it
	}
	return &http.Server{Handler: proxy, ReadHeaderTimeout: pageTimeout}
}
