package config

import (
	"fmt"
	"strings"
	"time"
)

// QuickScatter is a scattered configuration as a command line gives it. Zero
// values mean the defaults.
type QuickScatter struct {
	QuickServer
	Upstreams  []string       // the arguments
	Send       string         // --send: round_robin, least_load, all or hash:PATH
	Gather     string         // --gather: interleave, first or collect
	ID         string         // --id
	Timeout    *time.Duration // --timeout
	HedgeAfter *time.Duration // --hedge-after
}

// Scattered gives the configuration behind sluice scatter: one route for every
// request. An error is an Errors whose keys are flags, or "argument 2".
func Scattered(q QuickScatter) (*Config, error) { return q.config(q.route) }

func (q *QuickScatter) route(d *draft, r *routeDraft) {
	s, before := defaultScatter(), len(d.src.errs)
	r.Scatter = s
	r.own = d.src.pool(q.Upstreams)
	given(d.src, "--send", q.Send, &s.Send, parseSendFlag)
	given(d.src, "--gather", q.Gather, &s.Gather.Policy, parseGather)
	given(d.src, "--id", q.ID, &s.Gather.ID, parsePath)
	if q.Timeout != nil {
		given(d.src, "--timeout", q.Timeout.String(), &s.Gather.Timeout, offDuration)
	}
	if q.HedgeAfter != nil {
		given(d.src, "--hedge-after", q.HedgeAfter.String(), &s.Gather.HedgeAfter, offDuration)
	}
	switch at := d.src.flag("--gather"); {
	case len(d.src.errs) > before:
	case s.Gather.Policy != "interleave" && s.Gather.ID == "":
		at.errorf("%s needs --id PATH, the JSON path of what pairs an answer with its message", s.Gather.Policy)
	case s.Gather.Policy == "collect" && s.Send.Kind != "all":
		at.errorf("collect needs more than one answer: give --send all")
	}
	if len(d.src.errs) > before {
		return
	}
	s.check(d.src.flag("--gather"), keys{"hedge_after": d.src.flag("--hedge-after")})
	r.checkScatter()
}

// parseSendFlag accepts a way to send and its parameter in one word.
func parseSendFlag(s string) (Send, error) {
	if path, ok := strings.CutPrefix(s, "hash:"); ok {
		path, err := parsePath(path)
		return Send{Kind: "hash", Path: path}, err
	}
	if _, err := parseSendWord(s); err != nil {
		return Send{}, fmt.Errorf("%q is not %s or hash:PATH", s, strings.Join(sends, ", "))
	}
	return Send{Kind: s}, nil
}
