package config

import (
	"fmt"
	"strconv"
)

func (p *printer) fanout(f *Fanout) {
	p.line(2, "fanout:")
	p.line(3, "source:")
	for _, u := range f.Source {
		name := ""
		if u.Name != "" {
			name = " name: " + quote(u.Name) + ","
		}
		p.line(4, "- {url: %s,%s host: %s, tls: %s}", quote(formatUpstream(u.URL)), name, quote(u.Host), u.TLS.yaml())
	}
	p.line(3, "arbitration: %s", f.Arbitration)
	switch f.Arbitration {
	case "merge":
		p.line(3, "wrap: %s", orNone(f.Wrap))
	case "first":
		p.line(3, "dedupe: {key: %s, window: %v, bytes: %s}", quote(f.Dedupe.Key), f.Dedupe.Window, formatSize(f.Dedupe.Bytes))
	}
	p.line(3, "subprotocols: %s", quoted(f.Subprotocols))
	p.line(3, "source_compress: %t", f.SourceCompress)
	p.line(3, "subscribe: %s", quoted(f.Subscribe))
	p.line(3, "keepalive: {every: %v, send: %s}", f.Keepalive.Every, quote(f.Keepalive.Send))
	p.line(3, "on_source_close: {relay: %s}", codes(f.RelayCodes))
	p.line(3, "stream_by: {path: %t, query: %s}", f.StreamBy.Path, quoted(f.StreamBy.Query))
	p.line(3, "streams: %d", f.Streams)
	p.line(3, "linger: %v", f.Linger)
	p.line(3, "greeting: %d", f.Greeting)
	p.line(3, "backlog: %d", f.Backlog)
	h := f.History
	p.line(3, "history: {messages: %d, bytes: %s, age: %v}", h.Messages, formatSize(h.Bytes), h.Age)
	p.line(3, "on_gone: %s", f.OnGone)
	p.line(3, "flush_interval: %v", f.FlushInterval)
	s := f.Slow
	p.line(3, "slow: {policy: %s, after: {bytes: %s, messages: %d, age: %v}, key: %s, notice: %s}",
		s.Policy, formatSize(s.After.Bytes), s.After.Messages, s.After.Age, quote(s.Key), orNone(s.Notice))
	p.line(3, "compress: %t", f.Compress)
	p.line(3, "client_messages: %s", f.ClientMessages.yaml())
	p.line(3, "answers: [%s]", join(f.Answers, func(a Answer) string {
		return fmt.Sprintf("{match: %s, send: %s}", quote(a.Match), quote(a.Send))
	}))
	p.line(3, "stale_after: {after: %v, notice: %s}", f.StaleAfter, orNone(f.StaleNotice))
}

func (m ClientMessages) yaml() string {
	if m.Template == "" {
		return m.Policy
	}
	return fmt.Sprintf("{%s: {template: %s}}", m.Policy, quote(m.Template))
}

// orNone is a notice as the file has it.
func orNone(notice string) string {
	if notice == "" {
		return "none"
	}
	return quote(notice)
}

func codes(ns []uint16) string {
	return "[" + join(ns, func(n uint16) string { return strconv.Itoa(int(n)) }) + "]"
}
