package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluice-proxy/sluice/internal/rule"
)

var (
	sends   = []string{"round_robin", "least_load", "all"}
	allSend = strings.Join(sends, ", ") + ", {hash: PATH}, {by: PATH, to: {VALUE: POOL}} or {rules: [...]}"
)

// send accepts a policy without parameters alone, too.
func (v value) send(r *routeDraft) keys {
	s := &r.Scatter.Send
	if !v.isMapping() {
		if word, ok := v.scalar(allSend); ok {
			kind, err := parseSendWord(word)
			v.report(err)
			s.Kind = kind
		}
		return nil
	}
	before := len(v.src.errs)
	keys := v.object(
		key("hash", func(v value) { v.hashSend(s) }),
		key("by", parsed(&s.Path, parsePath)),
		key("to", func(v value) { v.sendTo(r) }),
		key("rules", func(v value) { v.rules(r) }),
		key("default", func(v value) { v.poolName(r, &s.Default) }),
		key("within", parsed(&s.Within, word(sends...))),
	)
	if len(v.src.errs) == before {
		v.sendKind(s, keys)
	}
	return keys
}

// parseSendWord accepts a way to send without parameters.
func parseSendWord(s string) (string, error) {
	if slices.Contains(sends, s) {
		return s, nil
	}
	if s == "hash" || s == "by" || s == "rules" || strings.HasPrefix(s, "hash:") {
		return "", fmt.Errorf("%q is not complete; write {hash: PATH}, {by: PATH, to: {VALUE: POOL}} or {rules: [...]}", s)
	}
	return "", fmt.Errorf("%q is not %s", s, allSend)
}

// sendKind judges which of the ways with parameters is meant, and what is
// beside it.
func (v value) sendKind(s *Send, keys keys) {
	kinds := slices.DeleteFunc([]string{"hash", "by", "rules"}, func(name string) bool { return !keys.has(name) })
	if len(kinds) != 1 {
		v.errorf("needs exactly one of hash, by and rules")
		return
	}
	s.Kind = kinds[0]
	switch {
	case s.Kind == "hash" && keys.has("within"):
		keys["within"].errorf("is for by and rules; hash itself names the instance")
	case s.Kind != "by" && keys.has("to"):
		keys["to"].errorf("is for by: the pools of its values; this is %s", s.Kind)
	case s.Kind == "by" && len(s.To) == 0:
		keys.or("to", keys["by"]).errorf("by needs to beside it; write to: {VALUE: POOL}")
	case s.Kind == "rules" && len(s.Rules) == 0:
		keys["rules"].errorf("needs at least one rule; write {when: 'msg.type == \"trade\"', to: POOL}")
	case s.Kind != "hash" && s.Within == "":
		s.Within = "least_load"
	}
}

// hashSend accepts a path alone, too.
func (v value) hashSend(s *Send) {
	if !v.isMapping() {
		parsed(&s.Path, parsePath)(v)
		return
	}
	before := len(v.src.errs)
	keys := v.object(
		key("path", parsed(&s.Path, parsePath)),
		key("bytes", func(v value) { v.byteRange(&s.Bytes) }),
	)
	if len(keys) == 0 && len(v.src.errs) == before {
		v.errorf("is empty; write {path: symbol}, the JSON path of the key, or {bytes: [0, 8]}, where it is in binary messages")
	}
}

// byteRange decodes where the key of a binary message is.
func (v value) byteRange(dst *[2]int) {
	items := v.items()
	if len(items) != 2 {
		v.errorf("needs two numbers, the first byte of the key and the one behind it; write [0, 8]")
		return
	}
	var from, to int
	before := len(v.src.errs)
	parsed(&from, between(0, mostKey))(items[0])
	parsed(&to, between(0, mostKey))(items[1])
	switch {
	case len(v.src.errs) > before:
	case to <= from:
		items[1].errorf("%d is not behind %d: the key would have no byte", to, from)
	default:
		*dst = [2]int{from, to}
	}
}

// poolName decodes the name of a pool of the file.
func (v value) poolName(r *routeDraft, dst *string) {
	before := len(v.src.errs)
	if parsed(dst, parseName)(v); len(v.src.errs) == before {
		r.named = append(r.named, named{v.place, *dst})
	}
}

// sendTo decodes a mapping of a key's values to pools.
func (v value) sendTo(r *routeDraft) {
	entries, ok := v.entries()
	if !ok {
		v.errorf("is %s; write a mapping of values to pools", kind(v.node))
		return
	}
	to := map[string]string{}
	for _, e := range entries {
		val, err := expand(e.name, v.src.env)
		if _, twice := to[val]; err == nil && twice {
			err = errors.New("is given twice")
		}
		if err == nil && strings.ContainsFunc(val, isControl) {
			err = errors.New("holds a control character")
		}
		var pool string
		if e.poolName(r, &pool); e.at.report(err) {
			to[val] = pool
		}
	}
	r.Scatter.Send.To = to
}

func (v value) rules(r *routeDraft) {
	for _, item := range v.items() {
		var to Rule
		before := len(v.src.errs)
		item.object(
			key("when", func(v value) { to.When = v.rule() }),
			key("to", func(v value) { v.poolName(r, &to.To) }),
		)
		switch {
		case len(v.src.errs) > before:
		case to.When == nil || to.To == "":
			item.errorf("needs both when, a condition in CEL, and to, a pool")
		default:
			r.Scatter.Send.Rules = append(r.Scatter.Send.Rules, to)
		}
	}
}

// rule compiles a condition. What is wrong with it is shown where it stands in
// the file, as far as that is to be known.
func (v value) rule() *rule.Rule {
	text, ok := v.scalar("the condition as text, in quotes")
	if !ok {
		return nil
	}
	compiled, err := rule.Compile(text)
	if fault, wrong := errors.AsType[*rule.Error](err); wrong {
		if at, exact := v.within(text, fault.Line, fault.Col); exact {
			at.errorf("%s", fault.What)
		} else {
			v.errorf("%s (line %d, column %d of the rule)", fault.What, fault.Line, fault.Col)
		}
		return nil
	}
	return compiled
}

// within is the place of a character of a scalar's text. It is known where the
// text stands in the file as it is: on one line without escapes, or in a block
// that keeps its lines.
func (v value) within(text string, line, col int) (place, bool) {
	at := v.place
	switch n := v.node.(type) {
	case *ast.LiteralNode:
		written := strings.Split(n.Value.Token.Origin, "\n")
		if n.Start.Value[0] != '|' || text != n.Value.Value || line > len(written) {
			return place{}, false
		}
		blanks := len(written[line-1]) - len(strings.TrimLeft(written[line-1], " "))
		own := strings.Split(text, "\n")[line-1]
		at.line += line
		at.col = blanks - (len(own) - len(strings.TrimLeft(own, " "))) + col
		return at, true
	case *ast.StringNode:
		written := strings.TrimSpace(n.Token.Origin)
		at.col += col - 1
		if written == `"`+text+`"` || written == `'`+text+`'` {
			at.col++
		} else if written != text {
			return place{}, false
		}
		return at, line == 1
	}
	return place{}, false
}
