package config

import (
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML gives the whole configuration, every default filled in and every
// variable replaced, in the order of the reference. Parsed again it is c, save
// for the admin token, which is shown as ***.
func (c *Config) YAML() []byte {
	var p printer
	p.line(0, "version: 1")
	p.line(0, "listen:")
	for _, l := range c.Listen {
		p.line(1, "- %s", l.yaml())
	}
	token := ""
	if c.Admin.Token != "" {
		token = "***"
	}
	address := c.Admin.Address
	if address == "" {
		address = "off"
	}
	p.line(0, "admin: {address: %s, token: %s}", quote(address), quote(token))
	p.line(0, "log: {level: %s, format: %s, sessions: %s}", levelName(c.Log.Level), c.Log.Format, c.Log.Sessions)
	p.line(0, "limits: {sessions: %d, sessions_per_ip: %d, handshakes_pending: %d, handshakes_per_second: %d}",
		c.Limits.Sessions, c.Limits.SessionsPerIP, c.Limits.HandshakesPending, c.Limits.HandshakesPerSecond)
	p.line(0, "drain: %v", c.Drain)
	p.line(0, "trusted_proxies: %s", quoted(c.TrustedProxies))
	p.pools(c.Pools)
	p.line(0, "routes:")
	for _, r := range c.Routes {
		p.route(r, c.Pools)
	}
	return []byte(p.String())
}

// printer writes lines of YAML.
type printer struct{ strings.Builder }

func (p *printer) line(indent int, format string, args ...any) {
	p.WriteString(strings.Repeat("  ", indent))
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

func (l Listener) yaml() string {
	s := "{address: " + quote(l.Address)
	if t := l.TLS; t != nil {
		s += fmt.Sprintf(", tls: {cert: %s, key: %s}", quote(t.Cert), quote(t.Key))
	}
	if pp := l.ProxyProtocol; pp != nil {
		s += fmt.Sprintf(", proxy_protocol: {trusted: %s}", quoted(pp.Trusted))
	}
	return s + "}"
}

func (p *printer) pools(pools map[string]*Pool) {
	named := slices.DeleteFunc(slices.Sorted(maps.Keys(pools)), func(name string) bool { return pools[name].InPlace })
	if len(named) == 0 {
		p.line(0, "pools: {}")
		return
	}
	p.line(0, "pools:")
	for _, name := range named {
		pool := pools[name]
		p.line(1, "%s:", quote(name))
		p.upstreams(2, pool.Upstreams)
		p.line(2, "resolve: %v", pool.Resolve)
		p.line(2, "source_addresses: %s", quoted(pool.SourceAddresses))
		p.line(2, "health: %s", pool.Health.yaml())
	}
}

func (p *printer) upstreams(indent int, upstreams []*Upstream) {
	p.line(indent, "upstreams:")
	for _, u := range upstreams {
		p.line(indent+1, "- {url: %s, weight: %d, max_sessions: %d, max_handshakes: %d, host: %s, tls: %s}",
			quote(formatUpstream(u.URL)), u.Weight, u.MaxSessions, u.MaxHandshakes, quote(u.Host), u.TLS.yaml())
	}
}

func (t UpstreamTLS) yaml() string {
	if t == (UpstreamTLS{}) {
		return "{}"
	}
	return fmt.Sprintf("{ca: %s, server_name: %s, insecure: %t}", quote(t.CA), quote(t.ServerName), t.Insecure)
}

func (h Health) yaml() string {
	return fmt.Sprintf("{probe: %s, path: %s, interval: %v, timeout: %v, rise: %d, fall: %d, outliers: %t}",
		h.Probe, quote(h.Path), h.Interval, h.Timeout, h.Rise, h.Fall, h.Outliers)
}

func (p *printer) route(r *Route, pools map[string]*Pool) {
	p.line(1, "- name: %s", quote(r.Name))
	path := r.Match.Path
	if r.Match.Exact {
		path = "=" + path
	}
	p.line(2, "match: {host: %s, path: %s, headers: %s}", quote(r.Match.Host), quote(path), mapping(r.Match.Headers))
	p.line(2, "strip_prefix: %s", quote(r.StripPrefix))
	p.line(2, "headers: {set: %s, remove: %s}", mapping(r.Headers.Set), quoted(r.Headers.Remove))
	p.line(2, "origins: %s", quoted(r.Origins))
	t := r.Timeouts
	p.line(2, "timeouts: {handshake: %v, dial: %v, idle: %v, ping: %v, pong: %v, write: %v, frame: %v, close: %v, age: %v}",
		t.Handshake, t.Dial, t.Idle, t.Ping, t.Pong, t.Write, t.Frame, t.Close, t.Age)
	l := r.Limits
	p.line(2, "limits: {message_size: {client: %s, upstream: %s}, messages: {rate: %s, burst: %d, over: %s}, pings_per_second: %d}",
		formatSize(l.MessageSizeClient), formatSize(l.MessageSizeUpstream),
		strconv.FormatFloat(l.MessageRate, 'f', -1, 64), l.MessageBurst, l.MessageOver, l.PingsPerSecond)
	switch {
	case r.Fanout != nil:
		p.fanout(r.Fanout)
	case r.Scatter != nil:
		p.scatter(r.Scatter, pools[r.Scatter.Pool])
	default:
		p.balance(r.Balance, pools[r.Balance.Pool])
	}
}

// home writes the pool where a route's sessions begin, but for its health.
func (p *printer) home(name string, pool *Pool) {
	if !pool.InPlace {
		p.line(3, "pool: %s", quote(name))
		return
	}
	p.upstreams(3, pool.Upstreams)
	p.line(3, "resolve: %v", pool.Resolve)
	p.line(3, "source_addresses: %s", quoted(pool.SourceAddresses))
}

func (p *printer) balance(b *Balance, pool *Pool) {
	p.line(2, "balance:")
	p.home(b.Pool, pool)
	p.line(3, "policy: %s", b.Policy.yaml())
	p.line(3, "sticky: {cookie: %s}", quote(b.StickyCookie))
	if pool.InPlace {
		p.line(3, "health: %s", pool.Health.yaml())
	}
	p.failover(b)
}

func (pol Policy) yaml() string {
	switch {
	case pol.Kind != "hash":
		return pol.Kind
	case pol.Hash.From == "ip":
		return "{hash: ip}"
	}
	return fmt.Sprintf("{hash: {%s: %s}}", pol.Hash.From, quote(pol.Hash.Name))
}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }

func mapping(m map[string]string) string {
	return "{" + join(slices.Sorted(maps.Keys(m)), func(k string) string { return quote(k) + ": " + quote(m[k]) }) + "}"
}

func quoted[T any](ts []T) string {
	return "[" + join(ts, func(t T) string { return quote(fmt.Sprint(t)) }) + "]"
}

func join[T any](ts []T, format func(T) string) string {
	words := make([]string, len(ts))
	for i, t := range ts {
		words[i] = format(t)
	}
	return strings.Join(words, ", ")
}

var (
	bare    = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*$`)
	notText = []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
)

// quote gives a text as a YAML scalar, bare where no reader could take it for
// anything else.
func quote(s string) string {
	if bare.MatchString(s) && !slices.Contains(notText, strings.ToLower(s)) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range escape(s) {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r < ' ' || r > '~' && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
