package config

import (
	"fmt"
	"net/url"
	"time"
)

const (
	maxGreeting = 1000 // each joiner gets it, whatever else it asked for
	maxFlush    = 10 * time.Second
)

func (v value) fanout(r *routeDraft) {
	f := defaultFanout()
	r.Fanout = f
	before := len(v.src.errs)
	var sources []sourcePlace
	keys := v.object(
		key("source", func(v value) { sources = v.sources(f) }),
		key("arbitration", parsed(&f.Arbitration, parseArbitration)),
		key("wrap", notice(&f.Wrap, mergeSamples)),
		key("dedupe", func(v value) { v.dedupe(&f.Dedupe) }),
		key("subprotocols", list(&f.Subprotocols, parseSubprotocol)),
		key("source_compress", parsed(&f.SourceCompress, parseFlag)),
		key("subscribe", messages(&f.Subscribe)),
		key("keepalive", func(v value) { v.keepalive(&f.Keepalive) }),
		key("on_source_close", func(v value) { v.object(key("relay", list(&f.RelayCodes, parseCode))) }),
		key("stream_by", func(v value) { v.streamBy(&f.StreamBy) }),
		key("streams", parsed(&f.Streams, count(1))),
		key("linger", parsed(&f.Linger, offDuration)),
		key("greeting", parsed(&f.Greeting, between(0, maxGreeting))),
		key("backlog", parsed(&f.Backlog, count(0))),
		key("history", func(v value) { v.history(&f.History) }),
		key("on_gone", parsed(&f.OnGone, word("live", "oldest", "refuse"))),
		key("flush_interval", parsed(&f.FlushInterval, parseFlush)),
		key("slow", func(v value) { v.slow(&f.Slow) }),
		key("compress", parsed(&f.Compress, parseFlag)),
		key("client_messages", func(v value) { v.clientMessages(&f.ClientMessages) }),
		key("answers", func(v value) { v.answers(f) }),
		key("stale_after", func(v value) { v.stale(f) }),
	)
	if len(v.src.errs) > before {
		return
	}
	if !keys.has("source") {
		v.errorf("needs source; write source: wss://HOST/")
		return
	}
	f.arbitrate(keys, sources)
	f.check(keys)
}

func (v value) sources(f *Fanout) (places []sourcePlace) {
	items := v.items()
	if len(items) == 0 {
		v.errorf("needs at least one source; write wss://HOST/")
	}
	seen := map[string]place{}
	for _, item := range items {
		u := defaultUpstream()
		p := sourcePlace{}
		name := func(v value) {
			p.name = v.place
			parsed(&u.Name, parseSourceName)(v)
		}
		if p.at = item.target(u, parseSource, key("name", name)); u.URL != nil && p.at.fresh(seen, u, moreTurns) {
			f.Source = append(f.Source, u)
			places = append(places, p)
		}
	}
	return places
}

// parseSubprotocol accepts what may stand in Sec-WebSocket-Protocol (RFC 6455,
// section 4.1).
func parseSubprotocol(s string) (string, error) {
	if !isToken(s) {
		return "", fmt.Errorf("%q is not a subprotocol; write it as in Sec-WebSocket-Protocol, without blanks and commas, as v12.stomp", s)
	}
	return s, nil
}

func (v value) keepalive(k *Keepalive) {
	before := len(v.src.errs)
	keys := v.object(
		key("every", parsed(&k.Every, offDuration)),
		key("send", message(&k.Send)),
	)
	switch {
	case len(v.src.errs) > before:
	case k.Every > 0 && k.Send == "":
		keys.or("send", keys["every"]).errorf("every needs send beside it, the text of the message")
	case k.Every == 0 && k.Send != "":
		keys.or("every", keys["send"]).errorf("send needs every beside it; write every: 30s")
	}
}

func (v value) streamBy(s *StreamBy) {
	v.object(
		key("path", parsed(&s.Path, parseFlag)),
		key("query", list(&s.Query, parseParameter)),
	)
}

// parseParameter accepts the name of a parameter that clients choose a stream
// by.
func parseParameter(s string) (string, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("needs the name of a parameter; write symbol for ?symbol=BTC")
	case ours(s):
		return "", fmt.Errorf("%s is Sluice's own: sluice_* parameters don't go to the source", s)
	}
	return s, nil
}

func (v value) history(h *History) {
	v.object(
		key("messages", parsed(&h.Messages, count(0))),
		key("bytes", parsed(&h.Bytes, parseSize)),
		key("age", parsed(&h.Age, offDuration)),
	)
}

func parseFlush(s string) (time.Duration, error) {
	d, err := offDuration(s)
	if err == nil && d > maxFlush {
		err = fmt.Errorf("%q is too long; the longest is %v", s, maxFlush)
	}
	return d, err
}

// none tells whether no message is kept.
func (h History) none() bool { return h.Messages == 0 || h.Bytes == 0 }

// check judges the parts together. The places of those that are not given need
// not be among keys.
func (f *Fanout) check(keys keys) {
	switch {
	case f.Backlog > 0 && f.History.none():
		keys["backlog"].errorf("nothing is kept that it could come from; give history both messages and bytes, or leave backlog out")
	case f.Backlog > f.History.Messages:
		keys["backlog"].errorf("%d is more than is kept; the most is history.messages, %d", f.Backlog, f.History.Messages)
	}
	if f.OnGone == "oldest" && f.History.none() {
		keys["on_gone"].errorf("nothing is kept, so there is no oldest message; write live or refuse")
	}
	if late := f.Slow.After.Age; late > 0 && f.FlushInterval >= late {
		keys["flush_interval"].errorf("a message that waits %v makes every client slow; it must be less than slow.after.age, %v", f.FlushInterval, late)
	}
	for _, u := range f.Source {
		fixed, _ := url.ParseQuery(u.URL.RawQuery)
		for _, name := range f.StreamBy.Query {
			if fixed.Has(name) {
				keys["stream_by"].errorf("the parameter %s is in the URL of %s already; take it out of one of them", name, withoutQuery(u.URL))
			}
		}
	}
}

// checkFanout judges what the rest of a route says of its fan-out, and fills in
// the default that differs from other modes'.
func (r *routeDraft) checkFanout(keys keys) {
	f := r.Fanout
	if r.Origins == nil {
		r.Origins = []string{"self"} // no instance is there to judge
	}
	if r.StripPrefix != "" && !f.StreamBy.Path {
		r.strip.errorf("says nothing here: clients' paths don't go to the source; for that write stream_by: {path: true}")
	}
	if len(r.Headers.Remove) > 0 {
		keys["headers"].errorf("remove says nothing here: clients' headers don't go to the source; set does, for headers of its own")
	}
	if most := f.Slow.After.Bytes; r.Limits.MessageSizeUpstream > most {
		keys["limits"].errorf("message_size.upstream: a message of %s makes every client slow; the most is slow.after.bytes, %s",
			formatSize(r.Limits.MessageSizeUpstream), formatSize(most))
	}
}
