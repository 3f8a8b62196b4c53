package config

import (
	"fmt"
	"strings"
)

func (p *printer) scatter(s *Scatter, pool *Pool) {
	p.line(2, "scatter:")
	p.home(s.Pool, pool)
	if pool.InPlace {
		p.line(3, "health: %s", pool.Health.yaml())
	}
	p.line(3, "send: %s", s.Send.yaml())
	g := &s.Gather
	p.line(3, "gather: {policy: %s, id: %s, timeout: %v, hedge_after: %v, unsolicited: %s, outstanding: {messages: %d, bytes: %s}}",
		g.Policy, quote(g.ID), g.Timeout, g.HedgeAfter, g.Unsolicited, g.Messages, formatSize(g.Bytes))
	p.line(3, "on_invalid: %s", s.OnInvalid)
	p.line(3, "on_lost: %s", s.OnLost.yaml())
	p.line(3, "max_legs: %d", s.MaxLegs)
	p.line(3, "leg_idle: %v", s.LegIdle)
	p.line(3, "buffer: %s", formatSize(s.Buffer))
	p.line(3, "inspect: %s", formatSize(s.Inspect))
	p.line(3, "compress: %t", s.Compress)
	p.line(3, "failover: {spread: %v, codes: %s}", s.Failover.Spread, codes(s.Failover.Codes))
}

func (s *Send) yaml() string {
	var parts []string
	switch s.Kind {
	case "hash":
		parts = append(parts, "hash: "+s.key())
	case "by":
		parts = append(parts, "by: "+quote(s.Path), "to: "+mapping(s.To))
	case "rules":
		parts = append(parts, "rules: ["+join(s.Rules, func(r Rule) string {
			return fmt.Sprintf("{when: %s, to: %s}", quote(r.When.Text()), quote(r.To))
		})+"]")
	default:
		return s.Kind
	}
	if s.Default != "" {
		parts = append(parts, "default: "+quote(s.Default))
	}
	if s.Within != "" {
		parts = append(parts, "within: "+s.Within)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// key is what is hashed.
func (s *Send) key() string {
	var parts []string
	if s.Path != "" {
		parts = append(parts, "path: "+quote(s.Path))
	}
	if s.Bytes != [2]int{} {
		parts = append(parts, fmt.Sprintf("bytes: [%d, %d]", s.Bytes[0], s.Bytes[1]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (l OnLost) yaml() string {
	if l.Policy != "error" {
		return l.Policy
	}
	return fmt.Sprintf("{error: %s}", quote(l.Error))
}
