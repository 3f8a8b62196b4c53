package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func (v value) pools(c *Config) {
	entries, ok := v.entries()
	if !ok {
		v.errorf("is %s; write a mapping of names to pools", kind(v.node))
	}
	for _, e := range entries {
		p := defaultPool()
		p.Name = e.name
		e.at.report(checkName(e.name))
		e.pool(p)
		c.Pools[e.name] = p
	}
}

func (v value) pool(p *Pool) {
	before := len(v.src.errs)
	keys := v.object(poolMembers(p)...)
	if len(p.Upstreams) == 0 && len(v.src.errs) == before {
		keys.or("upstreams", v.place).errorf("needs at least one upstream")
	}
}

// poolMembers are the keys of a pool, whether it is named or in place.
func poolMembers(p *Pool) []member {
	return []member{
		key("upstreams", func(v value) { v.upstreams(p) }),
		key("resolve", parsed(&p.Resolve, offDuration)),
		key("source_addresses", list(&p.SourceAddresses, parseIP)),
		key("health", func(v value) { v.health(&p.Health) }),
	}
}

func (v value) upstreams(p *Pool) {
	seen := map[string]place{}
	for _, item := range v.items() {
		if u, at := item.upstream(); u.URL != nil && at.fresh(seen, u, moreWeight) {
			p.Upstreams = append(p.Upstreams, u)
		}
	}
}

// What one meant who lists a URL twice.
const (
	moreWeight = "An upstream with a greater share has a greater weight"
	moreTurns  = "One is tried over and over, or connected all the time"
)

// fresh tells whether u is none of those seen, and records an error if it is.
func (p place) fresh(seen map[string]place, u *Upstream, hint string) bool {
	id := sameInstance(u.URL)
	if first, twice := seen[id]; twice {
		p.errorf("%s is listed twice (first: %v). %s", withoutQuery(u.URL), first, hint)
		return false
	}
	seen[id] = p
	return true
}

func (v value) upstream() (*Upstream, place) {
	u := defaultUpstream()
	return u, v.target(u, parseUpstream,
		key("weight", parsed(&u.Weight, between(1, 1000))),
		key("max_sessions", parsed(&u.MaxSessions, count(0))),
		key("max_handshakes", parsed(&u.MaxHandshakes, count(0))),
	)
}

// target decodes what can be dialled: a URL, or a mapping with more beside it.
// It gives the URL's place.
func (v value) target(u *Upstream, parse func(string) (*url.URL, error), more ...member) place {
	at := v.place
	address := func(v value) {
		at = v.place
		parsed(&u.URL, parse)(v)
	}
	if !v.isMapping() {
		address(v)
		return at
	}
	if v.unquotedURL() {
		return at
	}
	keys := v.object(slices.Concat(
		[]member{key("url", address)},
		more,
		[]member{
			key("host", parsed(&u.Host, parseHost)),
			key("tls", func(v value) { v.upstreamTLS(&u.TLS) }),
		},
	)...)
	if !keys.has("url") {
		v.errorf("needs url")
	}
	if u.URL != nil && u.URL.Scheme != "wss" && u.TLS != (UpstreamTLS{}) {
		keys["tls"].errorf("is for wss:// alone; this URL is %s", withoutQuery(u.URL))
	}
	return at
}

// unquotedURL records an error where a URL in a flow list has no quotes: YAML
// here takes what stands before its last colon for a key.
func (v value) unquotedURL() bool {
	entries, _ := v.entries()
	for _, e := range entries {
		if strings.HasPrefix(e.name, "ws:") || strings.HasPrefix(e.name, "wss:") {
			v.errorf("is read as a mapping; put the URL in quotes")
			return true
		}
	}
	return false
}

func (v value) upstreamTLS(t *UpstreamTLS) {
	v.object(
		key("ca", text(&t.CA)),
		key("server_name", parsed(&t.ServerName, parseServerName)),
		key("insecure", parsed(&t.Insecure, parseFlag)),
	)
}

func parseServerName(s string) (string, error) {
	if s != "" && !isHost(s) {
		return "", fmt.Errorf("%q is not a host name", s)
	}
	return s, nil
}

func (v value) health(h *Health) {
	before := len(v.src.errs)
	keys := v.object(
		key("probe", parsed(&h.Probe, word("tcp", "handshake", "none"))),
		key("path", parsed(&h.Path, parseProbePath)),
		key("interval", parsed(&h.Interval, someDuration)),
		key("timeout", parsed(&h.Timeout, someDuration)),
		key("rise", parsed(&h.Rise, count(1))),
		key("fall", parsed(&h.Fall, count(1))),
		key("outliers", parsed(&h.Outliers, parseFlag)),
	)
	if len(v.src.errs) > before {
		return
	}
	if h.Probe == "handshake" && h.Path == "" {
		keys.or("path", keys["probe"]).errorf("probe handshake needs a path, where it opens a session of the application")
	} else if h.Probe != "handshake" && h.Path != "" {
		keys["path"].errorf("is for probe handshake alone; this probe is %s", h.Probe)
	}
}
