package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// value is a node of the file and where it is.
type value struct {
	place
	node ast.Node
}

// entry is one member of a mapping. Its key's place is at.
type entry struct {
	name string
	at   place
	value
}

// member is a key that a mapping may have, and what to do with its value. The
// decoder of one that this version does not know yet is nil.
type member struct {
	name   string
	decode func(value)
}

func key(name string, decode func(value)) member { return member{name, decode} }

// later is a key of a version to come.
func later(name string) member { return member{name: name} }

// keys holds the places of the keys that are present in a mapping.
type keys map[string]place

func (ks keys) has(name string) bool { _, ok := ks[name]; return ok }

// or gives the place of a key or, if it is absent, another.
func (ks keys) or(name string, p place) place {
	if at, ok := ks[name]; ok {
		return at
	}
	return p
}

// object decodes a mapping. A key without a value counts as absent.
func (v value) object(members ...member) keys {
	present := keys{}
	entries, ok := v.entries()
	if !ok {
		v.errorf("is %s; write %s", kind(v.node), shape(members))
		return present
	}
	for _, e := range entries {
		i := slices.IndexFunc(members, func(m member) bool { return m.name == e.name })
		switch {
		case i < 0:
			meant := nearest(e.name, members)
			e.at.errorf("unknown key; %s", suggest(meant, members))
			if !present.has(meant) {
				present[meant] = e.at // nobody need say that it is missing
			}
		case members[i].decode == nil:
			e.at.errorf("is not in this version")
			present[e.name] = e.at
		case e.node.Type() != ast.NullType:
			present[e.name] = e.at
			members[i].decode(e.value)
		}
	}
	return present
}

// entries lists a mapping's members, save those whose key was there before.
func (v value) entries() ([]entry, bool) {
	var nodes []*ast.MappingValueNode
	switch n := v.node.(type) {
	case *ast.MappingNode:
		nodes = n.Values
	case *ast.MappingValueNode:
		nodes = []*ast.MappingValueNode{n}
	default:
		return nil, false
	}
	entries := make([]entry, 0, len(nodes))
	seen := map[string]place{}
	for _, n := range nodes {
		name := n.Key.GetToken().Value
		at := tokenPlace(v.src, n.Key.GetToken())
		at.key = v.under(readable(name)).key
		if first, twice := seen[name]; twice {
			at.errorf("is given twice (first: %v)", first)
			continue
		}
		seen[name] = at
		entries = append(entries, entry{name, at, value{memberPlace(at, n.Value), n.Value}})
	}
	return entries, true
}

// items lists what a list holds; anything else is a list of one.
func (v value) items() []value {
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		return []value{v}
	}
	items := make([]value, len(seq.Values))
	for i, n := range seq.Values {
		p := tokenPlace(v.src, firstToken(n))
		p.key = fmt.Sprintf("%s[%d]", v.key, i)
		items[i] = value{p, n}
	}
	return items
}

// text gives a scalar as text of one line.
func (v value) text() (string, bool) {
	s, ok := v.scalar("a single value")
	if ok && strings.ContainsFunc(s, isControl) {
		v.errorf("holds a control character") // not repeated: it may be a token
		return "", false
	}
	return s, ok
}

// message gives a scalar as the text of a message, which may have any
// characters: of STOMP they end with a NUL, of SignalR with a separator.
func (v value) message() (string, bool) { return v.scalar("the message as text, in quotes") }

// scalar gives a scalar, variables filled in. What to write instead of anything
// else is for the error.
func (v value) scalar(instead string) (string, bool) {
	var raw string
	switch n := v.node.(type) {
	case *ast.StringNode:
		raw = n.Value
	case *ast.LiteralNode:
		raw = n.Value.Value
	case *ast.NullNode:
		v.errorf("has no value")
		return "", false
	case ast.ScalarNode:
		raw = n.GetToken().Value
	default:
		v.errorf("is %s; write %s", kind(v.node), instead)
		return "", false
	}
	s, err := expand(raw, v.src.env)
	return s, v.report(err)
}

// isMapping tells a mapping from a scalar or list.
func (v value) isMapping() bool {
	switch v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// kind names what a node is, for errors.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "empty"
	}
	return "a single value"
}

// memberPlace is where errors about a mapping's member point: at a value that
// stands on its own, at the key of a block below it.
func memberPlace(key place, n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle {
			return key
		}
	case *ast.SequenceNode:
		if !n.IsFlowStyle {
			return key
		}
	case *ast.NullNode, *ast.MappingValueNode:
		return key
	}
	p := tokenPlace(key.src, n.GetToken())
	p.key = key.key
	return p
}

// firstToken is where a node begins: a block mapping's own token is the colon
// behind its first key.
func firstToken(n ast.Node) *token.Token {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return m.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return m.Key.GetToken()
	}
	return n.GetToken()
}

func tokenPlace(src *source, t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{src: src, line: 1, col: 1}
	}
	return place{src: src, line: t.Position.Line, col: t.Position.Column}
}

// readable is a key as it may stand in a path.
func readable(name string) string {
	odd := func(r rune) bool { return r <= ' ' || r == '.' || r == '[' || r == ':' || r > '~' }
	if name == "" || strings.ContainsFunc(name, odd) {
		return strconv.Quote(name)
	}
	return name
}
