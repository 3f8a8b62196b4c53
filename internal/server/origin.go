package server

import (
	"net/http"
	"net/url"
	"strings"
)

// origins is an allow-list for browsers, which alone send Origin.
type origins struct {
	any, self bool
	list      map[string]bool
}

func newOrigins(list []string) *origins {
	o := &origins{list: map[string]bool{}}
	for _, s := range list {
		switch s {
		case "*":
			o.any = true
		case "self":
			o.self = true
		default:
			o.list[s] = true
		}
	}
	return o
}

// allow tells whether a request's origin is allowed; a request without one is.
func (o *origins) allow(r *http.Request) bool {
	from := r.Header.Values("Origin")
	if len(from) == 0 || o.any {
		return true
	}
	if len(from) > 1 {
		return false
	}
	u, err := url.Parse(strings.ToLower(from[0]))
	if err != nil || u.Host == "" { // "null", for instance
		return o.list[from[0]]
	}
	host := bare(u.Host, u.Scheme)
	return o.self && host == bare(strings.ToLower(r.Host), u.Scheme) || o.list[u.Scheme+"://"+host]
}

// bare is host without the scheme's own port.
func bare(host, scheme string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}
