package config

import "fmt"

const leastLag = 4 << 10 // less, and a client that is not slow at all is cut off

func (v value) slow(s *Slow) {
	before := len(v.src.errs)
	keys := v.object(
		key("policy", parsed(&s.Policy, word("close", "latest", "skip"))),
		key("after", func(v value) { v.lag(&s.After) }),
		key("key", text(&s.Key)),
		key("notice", notice(&s.Notice, noticeSamples)),
	)
	if len(v.src.errs) > before {
		return
	}
	switch {
	case s.Policy == "latest" && s.Key == "":
		keys.or("key", keys["policy"]).errorf("latest needs key, the JSON path of what a message is about; write key: symbol")
	case s.Policy != "latest" && s.Key != "":
		keys["key"].errorf("is for policy latest alone; this policy is %s", s.Policy)
	case s.Policy == "close" && s.Notice != "":
		keys["notice"].errorf("is for policies latest and skip; close says why in the close itself")
	case s.Policy != "close" && !keys.has("notice"):
		keys["policy"].errorf("%s loses messages: it needs notice, the template of the message that tells the client, "+
			`as notice: '{"lost": {{.Lost}}}'; write notice: none if no client is to know`, s.Policy)
	}
}

func (v value) lag(l *Lag) {
	v.object(
		key("bytes", parsed(&l.Bytes, parseLag)),
		key("messages", parsed(&l.Messages, count(0))),
		key("age", parsed(&l.Age, offDuration)),
	)
}

// parseLag accepts how many bytes a client may be behind.
func parseLag(s string) (int64, error) {
	n, err := parseSize(s)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, fmt.Errorf("can't be off: it bounds memory; the least is %s", formatSize(leastLag))
	case n < leastLag:
		return 0, fmt.Errorf("%s is too small; the least is %s", s, formatSize(leastLag))
	}
	return n, nil
}

func (v value) clientMessages(m *ClientMessages) {
	if !v.isMapping() {
		parsed(&m.Policy, parseClientMessages)(v)
		return
	}
	before := len(v.src.errs)
	v.object(key("forward", func(v value) {
		v.object(key("template", func(v value) {
			if s, ok := v.message(); ok && v.report(tryTemplate(s, forwardSamples)) {
				*m = ClientMessages{"forward", s}
			}
		}))
	}))
	if m.Template == "" && len(v.src.errs) == before {
		v.errorf("has no template; write forward for messages as they come, or {forward: {template: '...'}}")
	}
}

// parseClientMessages accepts what is done without a template.
func parseClientMessages(s string) (string, error) {
	known, err := word("drop", "forward", "reject")(s)
	if err != nil {
		return "", fmt.Errorf("%q is not drop, forward, reject or {forward: {template: '...'}}", s)
	}
	return known, nil
}

func (v value) answers(f *Fanout) {
	seen := map[string]place{}
	for _, item := range v.items() {
		var a Answer
		before := len(v.src.errs)
		keys := item.object(key("match", message(&a.Match)), key("send", message(&a.Send)))
		if len(v.src.errs) > before {
			continue
		}
		if a.Match == "" || a.Send == "" {
			item.errorf("needs both match and send, the texts of two messages")
			continue
		}
		if first, twice := seen[a.Match]; twice {
			keys["match"].errorf("%q is answered already (%v)", a.Match, first)
			continue
		}
		seen[a.Match] = keys["match"]
		f.Answers = append(f.Answers, a)
	}
}

// stale accepts a duration alone, too.
func (v value) stale(f *Fanout) {
	if !v.isMapping() {
		parsed(&f.StaleAfter, offDuration)(v)
		return
	}
	before := len(v.src.errs)
	keys := v.object(
		key("after", parsed(&f.StaleAfter, offDuration)),
		key("notice", notice(&f.StaleNotice, staleSamples)),
	)
	if f.StaleNotice != "" && f.StaleAfter == 0 && len(v.src.errs) == before {
		keys.or("after", keys["notice"]).errorf("notice needs after beside it; write after: 30s")
	}
}

// notice decodes the template of a message to clients; none is no message.
func notice[F any](dst *string, samples []F) func(value) {
	return func(v value) {
		s, ok := v.message()
		switch {
		case !ok:
		case s == "none":
			*dst = ""
		case s == "":
			v.errorf("is an empty text; write none for no message")
		case v.report(tryTemplate(s, samples)):
			*dst = s
		}
	}
}
