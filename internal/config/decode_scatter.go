package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/content"
)

const (
	mostLegs = 1000
	mostHeld = 1 << 30 // bytes, for the unanswered messages of a session
	mostKey  = 1024    // bytes from a message's begin to where a key may end

	// scatterMessage is the largest message of an instance, where a route says
	// nothing.
	scatterMessage = 16 << 20

	// legIdle is how long a leg may be idle, where a route says nothing and
	// answers are paired. Where they are not, a leg may be a subscription that has
	// nothing to say for now.
	legIdle = time.Minute
)

func (v value) scatter(r *routeDraft) {
	s, p := defaultScatter(), defaultPool()
	r.Scatter = s
	before := len(v.src.errs)
	inPlace := poolMembers(p)
	in := keys{}
	within := func(decode func(value) keys) func(value) {
		return func(v value) { maps.Copy(in, decode(v)) }
	}
	keys := v.object(slices.Concat(
		[]member{key("pool", parsed(&s.Pool, parseName))},
		inPlace,
		[]member{
			key("send", within(func(v value) keys { return v.send(r) })),
			key("gather", within(func(v value) keys { return v.gather(&s.Gather) })),
			key("on_invalid", parsed(&s.OnInvalid, word("default", "close", "error"))),
			key("on_lost", func(v value) { v.onLost(&s.OnLost) }),
			key("max_legs", parsed(&s.MaxLegs, between(1, mostLegs))),
			key("leg_idle", parsed(&s.LegIdle, offDuration)),
			key("buffer", parsed(&s.Buffer, parseBuffer)),
			key("inspect", parsed(&s.Inspect, parseBuffer)),
			key("compress", parsed(&s.Compress, parseFlag)),
			key("failover", func(v value) { v.spread(&s.Failover) }),
		},
	)...)
	sound := len(v.src.errs) == before
	if maps.Copy(in, keys); sound {
		s.check(v.place, in)
	}
	r.legs = keys.or("max_legs", v.place)
	v.home(r, p, keys, sound)
}

// spread decodes what a failover without a client to keep can say.
func (v value) spread(f *Failover) {
	v.object(
		key("spread", parsed(&f.Spread, offDuration)),
		key("codes", list(&f.Codes, parseCode)),
	)
}

func (v value) gather(g *Gather) keys {
	return v.object(
		key("policy", parsed(&g.Policy, parseGather)),
		key("id", parsed(&g.ID, parseID)),
		key("timeout", parsed(&g.Timeout, offDuration)),
		key("hedge_after", parsed(&g.HedgeAfter, offDuration)),
		key("unsolicited", parsed(&g.Unsolicited, word("pass", "home", "drop"))),
		key("outstanding", func(v value) {
			v.object(
				key("messages", parsed(&g.Messages, count(1))),
				key("bytes", parsed(&g.Bytes, sizeBetween(leastBuffer, mostHeld))),
			)
		}),
	)
}

var parseGather = word("interleave", "first", "collect")

// parseID accepts the path of an id, or none.
func parseID(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parsePath(s)
}

// onLost accepts a policy alone, too.
func (v value) onLost(l *OnLost) {
	if !v.isMapping() {
		parsed(&l.Policy, parseOnLost)(v)
		return
	}
	before := len(v.src.errs)
	keys := v.object(key("error", func(v value) {
		if s, ok := v.message(); ok && v.report(tryTemplate(s, lostSamples)) && v.report(lostJSON(s)) {
			*l = OnLost{"error", s}
		}
	}))
	if !keys.has("error") && len(v.src.errs) == before {
		v.errorf("is empty; write error, resend, close or {error: '...'}")
	}
}

// lostJSON refuses an answer that is meant to be JSON and is none.
func lostJSON(text string) error {
	t, _ := ParseTemplate(text) // it was tried
	var b bytes.Buffer
	if err := t.Execute(&b, lostSamples[0]); err != nil || !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return err
	}
	if err := content.Check(b.Bytes()); err != nil {
		return fmt.Errorf("gives no JSON: %v in %s", err, b.String())
	}
	return nil
}

// parseOnLost accepts what is done without a template of one's own.
func parseOnLost(s string) (string, error) {
	known, err := word("error", "resend", "close")(s)
	if err != nil {
		return "", fmt.Errorf("%q is not error, resend, close or {error: '...'}", s)
	}
	return known, nil
}

// check judges that the parts go together, and fills in the default that hangs
// on them. in has the places of all that is given, however deep; at is where
// errors about what is not go.
func (s *Scatter) check(at place, in keys) {
	g := &s.Gather
	all := s.Send.Kind == "all" || s.Send.Within == "all"
	policy := in.or("policy", at)
	if g.ID == "" && g.Policy != "interleave" {
		policy.errorf("%s needs id beside it, the JSON path of what pairs an answer with its message; write id: id", g.Policy)
	}
	if g.ID == "" && g.Unsolicited == "drop" {
		in["unsolicited"].errorf("drop needs id beside it: without an id it is not known what answers a message, and all would be dropped")
	}
	if g.HedgeAfter > 0 && g.Policy != "first" {
		in["hedge_after"].errorf("is for policy first alone; this policy is %s", g.Policy)
	} else if g.HedgeAfter > 0 && all {
		in["hedge_after"].errorf("can't go with all, which sends every copy at once; leave one of them out")
	}
	if g.Policy == "collect" && !all {
		policy.errorf("collect needs more than one answer, and send gives each message to one instance; write send: all, or within: all beside by or rules")
	}
	if timeout := g.Timeout; timeout > 0 && g.HedgeAfter >= timeout && g.Policy == "first" {
		in["hedge_after"].errorf("%v is no less than timeout, %v, when the message is given up", g.HedgeAfter, timeout)
	}
	if s.LegIdle < 0 {
		s.LegIdle = 0
		if g.ID != "" {
			s.LegIdle = legIdle
		}
	}
	switch p := s.OnLost.Policy; {
	case p == "" && g.ID == "":
		s.OnLost.Policy = "close"
	case p == "":
		s.OnLost.Policy = "error"
	case p != "close" && g.ID == "":
		in.or("on_lost", at).errorf("%s needs gather.id: without an id nobody knows which messages have no answer yet; write gather: {id: id}, or close", p)
	}
}

// checkScatter judges what the rest of a route says of its scatter mode, and
// fills in the default that differs from other modes'.
func (r *routeDraft) checkScatter() {
	if r.Limits.MessageSizeClient == 0 {
		r.clientSize.errorf("can't be off: scatter holds a client's message until it is whole, so this bounds memory; leave it out for %s", formatSize(defaultRoute().Limits.MessageSizeClient))
	}
	switch {
	case r.upstreamSize.src == nil:
		r.Limits.MessageSizeUpstream = scatterMessage
	case r.Limits.MessageSizeUpstream == 0:
		r.upstreamSize.errorf("can't be off: scatter holds an instance's message until it is whole, so this bounds memory; leave it out for %s", formatSize(scatterMessage))
	}
}
