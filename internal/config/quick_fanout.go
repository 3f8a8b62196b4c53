package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// QuickFanout is a fan-out as a command line gives it. Zero values mean the
// defaults.
type QuickFanout struct {
	QuickServer
	Sources        []string       // the arguments
	Arbitration    string         // --arbitration: standby, merge, first or first:KEY
	Subscribe      []string       // --subscribe
	StreamBy       []string       // --stream-by: path or query=NAME
	Backlog        *int           // --backlog
	Greeting       int            // --greeting
	ClientMessages string         // --client-messages: drop, forward or reject
	Slow           string         // --slow: close, skip or latest:KEY; clients get no notice
	FlushInterval  *time.Duration // --flush-interval
}

// Fanned gives the configuration behind sluice fanout: one route for every
// request. An error is an Errors whose keys are flags, or "argument 2".
func Fanned(q QuickFanout) (*Config, error) { return q.config(q.route) }

func (q *QuickFanout) route(d *draft, r *routeDraft) {
	f, before := defaultFanout(), len(d.src.errs)
	r.Fanout = f
	if len(q.Sources) == 0 {
		d.src.flag("").errorf("needs at least one source; write wss://HOST/")
	}
	f.Source = d.src.arguments(q.Sources, parseSource, moreTurns)
	if q.Arbitration != "" {
		d.src.flag("--arbitration").report(f.setArbitration(q.Arbitration))
	}
	for _, s := range q.Subscribe {
		if d.src.flag("--subscribe").report(someText(s)) {
			f.Subscribe = append(f.Subscribe, s)
		}
	}
	for _, s := range q.StreamBy {
		d.src.flag("--stream-by").report(f.StreamBy.add(s))
	}
	if q.Backlog != nil {
		given(d.src, "--backlog", strconv.Itoa(*q.Backlog), &f.Backlog, count(0))
	}
	given(d.src, "--greeting", strconv.Itoa(q.Greeting), &f.Greeting, between(0, maxGreeting))
	given(d.src, "--client-messages", q.ClientMessages, &f.ClientMessages.Policy, word("drop", "forward", "reject"))
	if q.Slow != "" {
		d.src.flag("--slow").report(f.Slow.set(q.Slow))
	}
	if q.FlushInterval != nil {
		given(d.src, "--flush-interval", q.FlushInterval.String(), &f.FlushInterval, parseFlush)
	}
	if len(d.src.errs) > before {
		return
	}
	places := make([]sourcePlace, len(f.Source))
	for i := range places {
		places[i].at = d.src.flag(fmt.Sprintf("argument %d", i+1))
	}
	f.arbitrate(keys{"arbitration": d.src.flag("--arbitration"), "greeting": d.src.flag("--greeting")}, places)
	f.check(keys{"backlog": d.src.flag("--backlog"), "stream_by": d.src.flag("--stream-by")})
	r.checkFanout(nil)
}

// setArbitration takes an arbitration and its key in one word.
func (f *Fanout) setArbitration(s string) error {
	policy, name, keyed := strings.Cut(s, ":")
	known, err := parseArbitration(policy)
	switch {
	case err != nil || keyed && policy != "first":
		return fmt.Errorf("%q is not standby, merge, first or first:KEY", s)
	case keyed && name == "":
		return fmt.Errorf("%q is not complete; write first:KEY, the JSON path of what a message is known by, or first", s)
	}
	f.Arbitration, f.Dedupe.Key = known, name
	return nil
}

// add adds a flag's part of what chooses a stream.
func (b *StreamBy) add(s string) error {
	if s == "path" {
		b.Path = true
		return nil
	}
	name, ok := strings.CutPrefix(s, "query=")
	if !ok {
		return fmt.Errorf("%q is not path or query=NAME", s)
	}
	name, err := parseParameter(name)
	if err == nil && slices.Contains(b.Query, name) {
		err = fmt.Errorf("%q is given twice", s)
	}
	b.Query = append(b.Query, name)
	return err
}

// set takes policy and key in one word.
func (l *Slow) set(s string) error {
	policy, name, keyed := strings.Cut(s, ":")
	switch {
	case policy == "latest" && name == "":
		return fmt.Errorf("%q is not complete; write latest:KEY, the JSON path of what a message is about", s)
	case policy == "latest", !keyed && (policy == "close" || policy == "skip"):
		l.Policy, l.Key = policy, name
		return nil
	}
	return fmt.Errorf("%q is not close, skip or latest:KEY", s)
}
