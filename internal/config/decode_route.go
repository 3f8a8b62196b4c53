package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

func (v value) routes(d *draft) {
	items := v.items()
	if len(items) == 0 {
		v.errorf("needs at least one route; the least is %s", smallest)
	}
	for _, item := range items {
		item.route(d)
	}
}

func (v value) route(d *draft) {
	r := &routeDraft{Route: defaultRoute(), at: v.place}
	before := len(v.src.errs)
	keys := v.object(
		key("name", parsed(&r.Name, parseName)),
		key("match", func(v value) { v.match(r) }),
		key("strip_prefix", parsed(&r.StripPrefix, parseStrip)),
		key("headers", func(v value) { v.headers(&r.Headers) }),
		key("origins", list(&r.Origins, parseOrigin)),
		key("timeouts", func(v value) { v.timeouts(&r.Timeouts) }),
		key("limits", func(v value) { v.routeLimits(r) }),
		key("balance", func(v value) { v.balance(r) }),
		key("fanout", func(v value) { v.fanout(r) }),
		key("scatter", func(v value) { v.scatter(r) }),
	)
	r.name = keys.or("name", v.place)
	r.match = keys.or("match", v.place)
	r.strip = keys.or("strip_prefix", v.place)
	r.sound = len(v.src.errs) == before
	v.mode(r, keys)
	d.routes = append(d.routes, r)
}

// mode judges that a route has exactly one, and what is beside it.
func (v value) mode(r *routeDraft, keys keys) {
	modes := slices.DeleteFunc([]string{"balance", "fanout", "scatter"}, func(name string) bool { return !keys.has(name) })
	slices.SortFunc(modes, func(a, b string) int {
		if keys[a].before(keys[b]) {
			return -1
		}
		return 1
	})
	for k := 1; k < len(modes); k++ {
		keys[modes[k]].errorf("%s is there already (%v), and a route has one mode", modes[0], keys[modes[0]])
	}
	switch {
	case len(modes) == 0 && v.isMapping():
		v.errorf("needs a mode; write balance: {upstreams: [URL]}, fanout: {source: URL} or scatter: {upstreams: [URL]}")
	case len(modes) != 1 || !r.sound:
	case r.Fanout != nil:
		r.checkFanout(keys)
	case r.Scatter != nil:
		r.checkScatter()
	}
}

func (v value) match(r *routeDraft) {
	m := &r.Match
	v.object(
		key("host", parsed(&m.Host, parseMatchHost)),
		key("path", func(v value) {
			if s, ok := v.text(); ok {
				path, exact, err := parseMatchPath(s)
				if v.report(err) {
					m.Path, m.Exact = path, exact
				}
			}
		}),
		key("headers", func(v value) { v.headerValues(&m.Headers, parseHeader) }),
	)
}

// headerValues decodes a mapping of headers to their values.
func (v value) headerValues(dst *map[string]string, parse func(string) (string, error)) {
	entries, ok := v.entries()
	if !ok {
		v.errorf("is %s; write a mapping of headers to their values", kind(v.node))
		return
	}
	headers := map[string]string{}
	for _, e := range entries {
		name, err := parse(e.name)
		if err == nil {
			if _, twice := headers[name]; twice {
				err = fmt.Errorf("is given twice: case is nothing in the name of a header")
			}
		}
		if val, ok := e.text(); ok && e.at.report(err) {
			headers[name] = strings.Trim(val, " \t")
		}
	}
	if len(headers) > 0 {
		*dst = headers
	}
}

func (v value) headers(h *Headers) {
	keys := v.object(
		key("set", func(v value) { v.headerValues(&h.Set, parseChange) }),
		key("remove", list(&h.Remove, parseChange)),
	)
	for _, name := range h.Remove {
		if _, both := h.Set[name]; both {
			keys["remove"].errorf("%s is set and removed; setting it replaces what the client sent", name)
		}
	}
}

func (v value) timeouts(t *Timeouts) {
	v.object(
		key("handshake", parsed(&t.Handshake, someDuration)),
		key("dial", parsed(&t.Dial, someDuration)),
		key("idle", parsed(&t.Idle, offDuration)),
		key("ping", parsed(&t.Ping, offDuration)),
		key("pong", parsed(&t.Pong, offDuration)),
		key("write", parsed(&t.Write, offDuration)),
		key("frame", parsed(&t.Frame, offDuration)),
		key("close", parsed(&t.Close, someDuration)),
		key("age", parsed(&t.Age, offDuration)),
	)
}

func (v value) routeLimits(r *routeDraft) {
	l := &r.Limits
	v.object(
		key("message_size", func(v value) { v.messageSize(r) }),
		key("messages", func(v value) { v.messages(l) }),
		key("pings_per_second", parsed(&l.PingsPerSecond, count(0))),
	)
}

// messageSize accepts a size for the client alone, too.
func (v value) messageSize(r *routeDraft) {
	l := &r.Limits
	if !v.isMapping() {
		r.clientSize = v.place
		parsed(&l.MessageSizeClient, parseSize)(v)
		return
	}
	keys := v.object(
		key("client", parsed(&l.MessageSizeClient, parseSize)),
		key("upstream", parsed(&l.MessageSizeUpstream, parseSize)),
	)
	r.clientSize, r.upstreamSize = keys["client"], keys["upstream"]
}

func (v value) messages(l *RouteLimits) {
	before := len(v.src.errs)
	keys := v.object(
		key("rate", parsed(&l.MessageRate, parseRate)),
		key("burst", parsed(&l.MessageBurst, count(0))),
		key("over", parsed(&l.MessageOver, word("wait", "close"))),
	)
	switch {
	case len(v.src.errs) > before:
	case l.MessageRate == 0 && l.MessageBurst > 0:
		keys["burst"].errorf("needs a rate beside it")
	case l.MessageRate > 0 && l.MessageBurst == 0:
		l.MessageBurst = int(math.Ceil(l.MessageRate))
	}
}

func (v value) balance(r *routeDraft) {
	b, p := defaultBalance(), defaultPool()
	before := len(v.src.errs)
	inPlace := poolMembers(p)
	var inFailover, inMove keys
	keys := v.object(slices.Concat(
		[]member{key("pool", parsed(&b.Pool, parseName))},
		inPlace[:1],
		[]member{
			key("policy", func(v value) { v.policy(&b.Policy) }),
			key("sticky", func(v value) { v.object(key("cookie", parsed(&b.StickyCookie, parseCookie))) }),
			key("greeting", parsed(&b.Greeting, between(0, maxGreeting))),
			key("failover", func(v value) { inFailover = v.failover(&b.Failover) }),
			key("move", func(v value) { inMove = v.move(&b.Move) }),
		},
		inPlace[1:],
	)...)
	if len(v.src.errs) == before {
		b.Move.check(b, inMove)
		b.Failover.check(keys.or("failover", v.place), inFailover)
	}
	r.Balance = b
	v.home(r, p, keys, len(v.src.errs) == before)
}

// home judges what a mode says of the pool where its sessions begin: by name,
// or as p in place. sound tells that the rest of the mode was right.
func (v value) home(r *routeDraft, p *Pool, keys keys, sound bool) {
	r.pool = keys.or("pool", v.place)
	switch {
	case keys.has("pool") && keys.has("upstreams"):
		keys["upstreams"].errorf("pool and upstreams can't both be given")
	case keys.has("pool"):
		for _, m := range poolMembers(p)[1:] {
			if at, ok := keys[m.name]; ok {
				at.errorf("belongs to the pool; write it in pools.%s", readable(*r.home()))
			}
		}
	case len(p.Upstreams) > 0:
		p.InPlace, r.own = true, p
	case keys.has("upstreams") && sound:
		keys["upstreams"].errorf("needs at least one upstream")
	case sound:
		v.errorf("needs pool or upstreams")
	}
}

var policies = []string{"round_robin", "random", "least_sessions", "least_load"}

func (v value) policy(p *Policy) {
	if !v.isMapping() {
		parsed(p, parsePolicyWord)(v)
		return
	}
	before := len(v.src.errs)
	keys := v.object(key("hash", func(v value) { v.hash(p) }))
	if !keys.has("hash") && len(v.src.errs) == before {
		v.errorf("is empty; write {hash: ip} or one of %s", strings.Join(policies, ", "))
	}
}

// parsePolicyWord accepts a policy without parameters.
func parsePolicyWord(s string) (Policy, error) {
	if slices.Contains(policies, s) {
		return Policy{Kind: s}, nil
	}
	if s == "hash" || strings.HasPrefix(s, "hash:") {
		return Policy{}, fmt.Errorf("%q is not complete; write {hash: ip} or {hash: {header: NAME}}, query or cookie", s)
	}
	return Policy{}, fmt.Errorf("%q is not %s or {hash: ...}", s, strings.Join(policies, ", "))
}

func (v value) hash(p *Policy) {
	if !v.isMapping() {
		if s, ok := v.text(); !ok {
			return
		} else if s != "ip" {
			v.errorf("%q is not a key; write ip or {header: NAME}, {query: NAME}, {cookie: NAME}", s)
		}
		*p = Policy{"hash", HashKey{From: "ip"}}
		return
	}
	before := len(v.src.errs)
	from := func(kind string) member {
		return key(kind, func(v value) {
			if name, ok := v.text(); ok {
				k, err := parseHashKey(kind, name)
				v.report(err)
				*p = Policy{"hash", k}
			}
		})
	}
	if keys := v.object(from("header"), from("query"), from("cookie")); len(keys) != 1 && len(v.src.errs) == before {
		v.errorf("needs exactly one of header, query and cookie")
	}
}

// parseHashKey accepts the name of what is hashed.
func parseHashKey(from, name string) (HashKey, error) {
	var err error
	switch {
	case name == "":
		err = fmt.Errorf("needs the name of a %s", from)
	case from == "header":
		name, err = parseHeader(name)
	case from == "cookie":
		name, err = parseCookie(name)
	}
	return HashKey{from, name}, err
}
