package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// QuickServer is what a command line says of any server. Zero values mean the
// defaults.
type QuickServer struct {
	Listen                           []string       // --listen
	Admin                            string         // --admin; off is none
	Origins                          []string       // --origin
	TLSCert, TLSKey                  string         // --tls-cert, --tls-key; for all listeners
	LogLevel, LogFormat, LogSessions string         // --log-level, --log-format, --log-sessions
	Drain                            *time.Duration // --drain
}

// Quick is a balanced configuration as a command line gives it. Zero values
// mean the defaults.
type Quick struct {
	QuickServer
	Upstreams    []string // the arguments
	Policy       string   // --policy: a policy's name, hash:ip, hash:header=NAME, hash:query=NAME or hash:cookie=NAME
	StickyCookie string   // --sticky-cookie
	Keep         string   // --keep: failover.state, with client: keep
	Unproven     string   // --unproven
}

// Balanced gives the configuration behind sluice balance: one route for every
// request. An error is an Errors whose keys are flags, or "argument 2".
func Balanced(q Quick) (*Config, error) { return q.config(q.route) }

// config completes the configuration whose only route is made by route.
func (q *QuickServer) config(route func(*draft, *routeDraft)) (*Config, error) {
	src := &source{}
	d := newDraft(src)
	d.adminAt.key = "--admin"
	d.adminAt.line = 0
	given(src, "--admin", q.Admin, &d.cfg.Admin.Address, parseAdmin)
	given(src, "--log-level", q.LogLevel, &d.cfg.Log.Level, parseLevel)
	given(src, "--log-format", q.LogFormat, &d.cfg.Log.Format, word("text", "json"))
	given(src, "--log-sessions", q.LogSessions, &d.cfg.Log.Sessions, word("both", "close", "none"))
	if q.Drain != nil {
		d.cfg.Drain = *q.Drain
		src.flag("--drain").report(checkDuration(q.Drain.String(), *q.Drain))
	}
	q.listeners(d)
	r := &routeDraft{Route: defaultRoute(), sound: true}
	r.Name = "default"
	for _, s := range q.Origins {
		if o, err := parseOrigin(s); src.flag("--origin").report(err) {
			r.Origins = append(r.Origins, o)
		}
	}
	route(d, r)
	d.routes = append(d.routes, r)
	d.check()
	if err := src.err(); err != nil {
		return nil, err
	}
	return d.cfg, nil
}

func (s *source) flag(name string) place { return place{src: s, key: name} }

// given parses a flag's text, if there is any.
func given[T any](src *source, name, s string, dst *T, parse func(string) (T, error)) {
	if s == "" {
		return
	}
	if t, err := parse(s); src.flag(name).report(err) {
		*dst = t
	}
}

func (q *QuickServer) listeners(d *draft) {
	var files *TLSFiles
	switch {
	case q.TLSCert != "" && q.TLSKey != "":
		files = &TLSFiles{Cert: q.TLSCert, Key: q.TLSKey}
	case q.TLSCert != "":
		d.src.flag("--tls-cert").errorf("needs --tls-key, too")
	case q.TLSKey != "":
		d.src.flag("--tls-key").errorf("needs --tls-cert, too")
	}
	addresses := q.Listen
	if len(addresses) == 0 {
		addresses = []string{defaultListen}
	}
	at := d.src.flag("--listen")
	for _, s := range addresses {
		if a, err := parseListen(s); at.report(err) {
			d.listen(at, Listener{Address: a, TLS: files})
		}
	}
}

func (q *Quick) route(d *draft, r *routeDraft) {
	r.Balance, r.own = defaultBalance(), d.src.pool(q.Upstreams)
	given(d.src, "--policy", q.Policy, &r.Balance.Policy, parsePolicyFlag)
	given(d.src, "--sticky-cookie", q.StickyCookie, &r.Balance.StickyCookie, parseCookie)
	given(d.src, "--keep", q.Keep, &r.Balance.Failover.State, parseKeep)
	given(d.src, "--unproven", q.Unproven, &r.Balance.Failover.Unproven, parseUnproven)
	if q.Keep != "" {
		r.Balance.Failover.Client = "keep"
	} else if q.Unproven != "" {
		d.src.flag("--unproven").errorf("needs --keep, too")
	}
}

// pool makes a pool of the arguments.
func (s *source) pool(urls []string) *Pool {
	p := defaultPool()
	p.InPlace = true
	if len(urls) == 0 {
		s.flag("").errorf("needs at least one upstream; write ws://localhost:9000")
	}
	p.Upstreams = s.arguments(urls, parseUpstream, moreWeight)
	return p
}

// parseKeep accepts the state that a command line can say all of.
func parseKeep(s string) (string, error) {
	if s == "replay" {
		return "", fmt.Errorf("replay needs to know what to replay: write a file with failover: {client: keep, state: replay, replay: {first: N, swallow: M}}")
	}
	return word("none")(s)
}

// arguments parses URLs. The hint is for one who gave one twice.
func (s *source) arguments(urls []string, parse func(string) (*url.URL, error), hint string) []*Upstream {
	var us []*Upstream
	seen := map[string]place{}
	for i, arg := range urls {
		at := s.flag(fmt.Sprintf("argument %d", i+1))
		u := defaultUpstream()
		url, err := parse(arg)
		if u.URL = url; at.report(err) && at.fresh(seen, u, hint) {
			us = append(us, u)
		}
	}
	return us
}

// parsePolicyFlag accepts a policy and its parameter in one word.
func parsePolicyFlag(s string) (Policy, error) {
	if s == "hash:ip" {
		return Policy{"hash", HashKey{From: "ip"}}, nil
	}
	if p, err := parsePolicyWord(s); err == nil {
		return p, nil
	}
	if spec, ok := strings.CutPrefix(s, "hash:"); ok {
		from, name, _ := strings.Cut(spec, "=")
		if from == "header" || from == "query" || from == "cookie" {
			key, err := parseHashKey(from, name)
			return Policy{"hash", key}, err
		}
	}
	return Policy{}, fmt.Errorf("%q is not %s, hash:ip, hash:header=NAME, hash:query=NAME or hash:cookie=NAME",
		s, strings.Join(policies, ", "))
}
