package scatter

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"text/template"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/content"
	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// Config is what a Route is made of.
type Config struct {
	Name     string
	Timeouts config.Timeouts
	Limits   config.RouteLimits
	Scatter  *config.Scatter
	Log      *slog.Logger
	Complain *upstream.Complaints
	LogOpen  bool
	LogClose bool
	Observe  Observer
	Counters *loop.Counters
	// Balancer gives the one that chooses from a pool by a policy.
	Balancer func(pool, policy string) *upstream.Balancer
	// Ended is called once for each session that was started, on its loop,
	// when it is no more; files is as in its Request. It must not block.
	Ended func(client netip.Addr, files int64)
}

// Observer is told of what is rare enough to be counted by name. It must not
// block; any loop may call it.
type Observer interface {
	// Handshake tells how one ended: 101, refused, or the reason for which
	// none came to be; and what it took.
	Handshake(route, result string, took time.Duration)
	// Closed tells which side ended a session and with which code; 0 is
	// none.
	Closed(route, side string, code uint16)
	// Failover tells why a session lost a leg, and what came of it.
	Failover(route, reason, result string)
	// DialError tells why an instance could not be reached.
	DialError(reason string)
	// Scattered tells of messages to which something happened that the
	// other counters don't show; see the events.
	Scattered(route, event string)
}

// Events of messages, as Observer.Scattered has them.
const (
	eventLegLost   = "error_lost"      // answered with an error: the instance was lost
	eventTimeout   = "error_timeout"   // answered with an error: no answer came in time
	eventNowhere   = "error_unrouted"  // answered with an error: no instance could be asked
	eventInvalid   = "invalid"         // text that is not JSON, or not read strictly
	eventPartial   = "collect_missing" // answered with what was collected, and some did not answer
	eventNoRoom    = "collect_no_room" // an answer dropped, and its instance missing: too much is held
	eventResent    = "resent"          // sent again, because its instance was lost
	eventHedged    = "hedged"          // sent to a second instance
	eventLate      = "late"            // an answer dropped: the client had one
	eventUnserved  = "unserved"        // a client's message dropped: it is being told that its session ends
	eventDropped   = "unsolicited"     // dropped: it answers nothing, or the instance is not home
	eventRuleError = "rule_error"      // a rule could not be held against a message
	eventUnread    = "answer_unread"   // an instance's text that is not JSON where answers are paired
)

// Route is what sessions need of a route. It is read-only, and shared by all
// loops.
type Route struct {
	Config

	home     *upstream.Balancer
	usual    *destination // of send, where the pool depends on nothing
	fallback *destination // of messages that say nothing of where they belong
	named    map[string]*destination
	book     gather.Rules
	id, key  content.Path
	answer   *template.Template
	inspects bool // text is read as JSON
	keyed    bool // messages about one thing keep their order
	holds    bool // messages are held, to be sent again

	// next is the route that has taken this one's place; removed tells that
	// none will. Sessions on their way to their loop follow.
	next    atomic.Pointer[Route]
	removed atomic.Bool
}

// destination is where a message can go: to an instance of a pool, or to all.
type destination struct {
	*upstream.Balancer
	all bool
}

// NewRoute makes a route.
func NewRoute(cfg Config) (*Route, error) {
	sc := cfg.Scatter
	r := &Route{Config: cfg, home: cfg.Balancer(sc.Pool, "least_load"), named: map[string]*destination{}}
	g := &sc.Gather
	r.book = gather.Rules{Timeout: g.Timeout, Messages: g.Messages, Bytes: int(g.Bytes)}
	switch g.Policy {
	case "first":
		r.book.Policy = gather.First
		r.book.Hedge, r.book.HedgeAfter = !r.sendsToAll(), g.HedgeAfter
	case "collect":
		r.book.Policy = gather.Collect
	}
	var err error
	if r.id, err = path(g.ID); err != nil {
		return nil, err
	}
	if r.key, err = path(sc.Send.Path); err != nil {
		return nil, err
	}
	if r.answer, err = config.ParseTemplate(sc.OnLost.Error); err != nil {
		return nil, err
	}
	r.inspects = !r.id.Zero() || !r.key.Zero() || slices.ContainsFunc(sc.Send.Rules, readsContent)
	r.keyed = sc.Send.Kind == "hash" && !r.id.Zero()
	r.holds = !r.id.Zero() && (sc.OnLost.Policy == "resend" || r.book.Hedge)
	r.destinations()
	return r, nil
}

// readsContent tells whether a rule may read what a message says.
func readsContent(rl config.Rule) bool { return rl.When.Reads() }

func path(s string) (content.Path, error) {
	if s == "" {
		return content.Path{}, nil
	}
	return content.ParsePath(s)
}

func (r *Route) sendsToAll() bool {
	return r.Scatter.Send.Kind == "all" || r.Scatter.Send.Within == "all"
}

// destinations makes what send names.
func (r *Route) destinations() {
	sc := r.Scatter
	other := sc.Send.Default
	if other == "" {
		other = sc.Pool
	}
	within := sc.Send.Within
	if within == "" {
		within = "least_load"
	}
	switch sc.Send.Kind {
	case "hash":
		r.usual = r.to(sc.Pool, "hash")
	case "by", "rules":
		for _, pool := range sc.Send.To {
			r.named[pool] = r.to(pool, within)
		}
		for _, rl := range sc.Send.Rules {
			r.named[rl.To] = r.to(rl.To, within)
		}
	default:
		r.usual = r.to(sc.Pool, sc.Send.Kind)
		r.fallback = r.usual
		return
	}
	r.fallback = r.to(other, within)
}

func (r *Route) to(pool, policy string) *destination {
	if policy == "all" {
		return &destination{r.Balancer(pool, "least_load"), true}
	}
	return &destination{r.Balancer(pool, policy), false}
}

// balancers are those of all destinations.
func (r *Route) balancers() []*upstream.Balancer {
	all := []*upstream.Balancer{r.home, r.fallback.Balancer}
	if r.usual != nil {
		all = append(all, r.usual.Balancer)
	}
	for _, d := range r.named {
		all = append(all, d.Balancer)
	}
	return all
}

// has tells whether any pool of the route has the instance.
func (r *Route) has(i *upstream.Instance) bool {
	return slices.ContainsFunc(r.balancers(), func(b *upstream.Balancer) bool { return b.Has(i) })
}

// Ruled tells whether rules may look at a client's request.
func (r *Route) Ruled() bool { return r.Scatter.Send.Kind == "rules" }

// Home gives the balancer that chooses where a session begins.
func (r *Route) Home() *upstream.Balancer { return r.home }

// lossCode tells whether an instance's close with code means that the instance
// goes away, not that the application has ended the session.
func (r *Route) lossCode(code uint16) bool { return slices.Contains(r.Scatter.Failover.Codes, code) }

// most is how large a message of an instance may be, in bytes.
func (r *Route) most() int64 {
	if n := r.Limits.MessageSizeUpstream; n > 0 {
		return n
	}
	return mostMessage
}

// mostMessage is the largest message that an instance may send where the route
// says nothing of that: messages are held whole.
const mostMessage = 16 << 20
