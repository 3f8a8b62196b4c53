package rule

import (
	"math"
	"strconv"
	"strings"
	"unsafe"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/tidwall/gjson"

	"github.com/sluice-proxy/sluice/internal/content"
)

// message reads the payload as JSON, once. It is judged as a whole, and its
// parts are read when a rule asks for them.
func (v *variables) message() ref.Val {
	if v.msg != nil {
		return v.msg
	}
	if v.Binary {
		v.msg = types.NewErr("the message is binary, not JSON")
	} else if v.Opaque {
		v.msg = types.NewErr("the message is not JSON, or not read")
	} else if err := v.check(); err != nil {
		v.msg = types.NewErr("the message is not JSON: %v", err)
	} else {
		v.left = maxMembers
		text := unsafe.String(unsafe.SliceData(v.Payload), len(v.Payload))
		v.msg = view(strings.Trim(text, blanks), &v.left)
	}
	return v.msg
}

func (v *variables) check() error {
	if v.Checked {
		return nil
	}
	return content.Check(v.Payload)
}

// view gives a JSON value that stands alone in raw.
func view(raw string, left *budget) ref.Val {
	switch raw[0] {
	case '{':
		return &object{nest{raw: raw, left: left}}
	case '[':
		return &list{nest{raw: raw, left: left}}
	case '"':
		return types.String(unquote(raw))
	case 't':
		return types.True
	case 'f':
		return types.False
	case 'n':
		return types.NullValue
	}
	return number(raw)
}

// number keeps whole numbers exact as long as they have 64 bits; others are
// the nearest double.
func number(raw string) ref.Val {
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return types.Int(n)
	}
	if n, err := strconv.ParseUint(raw, 10, 64); err == nil {
		return types.Uint(n)
	}
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil {
		f = math.Copysign(math.Inf(1), f)
	}
	return types.Double(f)
}

func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	return gjson.Parse(raw).String()
}

// nest is a JSON object or array: its bytes, and its members once they have
// been asked for. That is done once, since a rule may come back to it for each
// member of another.
type nest struct {
	raw     string
	left    *budget
	opened  bool
	members []member
	places  map[string]int // of members by name, where they are many
}

// member is a value within, which may have a name.
type member struct {
	name, raw string
	val       ref.Val // once it has been asked for
}

const (
	short = 512 // bytes; to look through so many costs less than to remember
	many  = 16  // members; fewer are looked through
)

// open finds the members.
func (n *nest) open() []member {
	if n.opened {
		return n.members
	}
	var members []member
	for w := walk(n.raw); w.next(); {
		n.left.spend(1) // when it is spent the nest stays closed
		m := member{raw: w.value}
		if w.name != "" {
			m.name = unquote(w.name)
		}
		members = append(members, m)
	}
	if n.raw[0] == '{' && len(members) > many {
		n.places = make(map[string]int, len(members))
		for k, m := range members {
			n.places[m.name] = k
		}
	}
	n.opened, n.members = true, members
	return members
}

// at gives a member's value.
func (n *nest) at(k int) ref.Val {
	m := &n.members[k]
	if m.val == nil {
		m.val = view(m.raw, n.left)
	}
	return m.val
}

// find gives the member of that name.
func (n *nest) find(name string) (ref.Val, bool) {
	if !n.opened && len(n.raw) <= short {
		for w := walk(n.raw); w.next(); {
			if w.is(name) {
				return view(w.value, n.left), true
			}
		}
		return nil, false
	}
	members := n.open()
	if n.places != nil {
		if k, ok := n.places[name]; ok {
			return n.at(k), true
		}
		return nil, false
	}
	for k := range members {
		if members[k].name == name {
			return n.at(k), true
		}
	}
	return nil, false
}
