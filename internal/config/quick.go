package config

import (
	"fmt"
	"strings"
	"time"
)

// Quick is a balanced configuration as a command line gives it. Zero values
// mean the defaults.
type Quick struct {
	Listen                           []string       // --listen
	Admin                            string         // --admin; off is none
	Upstreams                        []string       // the arguments
	Policy                           string         // --policy: a policy's name, hash:ip, hash:header=NAME, hash:query=NAME or hash:cookie=NAME
	StickyCookie                     string         // --sticky-cookie
	Origins                          []string       // --origin
	TLSCert, TLSKey                  string         // --tls-cert, --tls-key; for all listeners
	LogLevel, LogFormat, LogSessions string         // --log-level, --log-format, --log-sessions
	Drain                            *time.Duration // --drain
}

// Balanced gives the configuration behind sluice balance: one route for every
// request. An error is an Errors whose keys are flags, or "argument 2".
func Balanced(q Quick) (*Config, error) {
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
	q.route(d)
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

func (q Quick) listeners(d *draft) {
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

func (q Quick) route(d *draft) {
	r := &routeDraft{Route: defaultRoute(), own: defaultPool(), sound: true}
	r.Name, r.Balance, r.own.InPlace = "default", defaultBalance(), true
	if len(q.Upstreams) == 0 {
		d.src.flag("").errorf("needs at least one upstream; write ws://localhost:9000")
	}
	seen := map[string]place{}
	for i, s := range q.Upstreams {
		at := d.src.flag(fmt.Sprintf("argument %d", i+1))
		u := &Upstream{Weight: 1}
		url, err := parseUpstream(s)
		if u.URL = url; at.report(err) && at.fresh(seen, u, moreWeight) {
			r.own.Upstreams = append(r.own.Upstreams, u)
		}
	}
	for _, s := range q.Origins {
		if o, err := parseOrigin(s); d.src.flag("--origin").report(err) {
			r.Origins = append(r.Origins, o)
		}
	}
	given(d.src, "--policy", q.Policy, &r.Balance.Policy, parsePolicyFlag)
	given(d.src, "--sticky-cookie", q.StickyCookie, &r.Balance.StickyCookie, parseCookie)
	d.routes = append(d.routes, r)
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
