package rule

import (
	"math"
	"strconv"
	"strings"
	"unsafe"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/tidwall/gjson"
)

// read gives a payload as a value of the language. It is judged as a whole, and
// its parts are read when a rule asks for them.
func read(payload []byte, binary, opaque bool) ref.Val {
	switch {
	case binary:
		return types.NewErr("the message is binary, not JSON")
	case opaque:
		return types.NewErr("the message is not JSON that is read in one way only")
	case tooDeep(payload) || !gjson.ValidBytes(payload):
		return types.NewErr("the message is not JSON")
	}
	return view(strings.Trim(unsafe.String(unsafe.SliceData(payload), len(payload)), blanks))
}

// view gives a JSON value that stands alone in raw.
func view(raw string) ref.Val {
	switch raw[0] {
	case '{':
		return &object{nest{raw: raw}}
	case '[':
		return &list{nest{raw: raw}}
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
	opened  bool
	members []member
	places  map[string]int // of members by name, where they are many
}

// member is a value within, which may have a name.
type member struct {
	name, raw string
	val       ref.Val // once it has been asked for
}

const many = 16 // members; fewer are looked through

// open finds the members.
func (n *nest) open() []member {
	if n.opened {
		return n.members
	}
	n.opened = true
	for w := walk(n.raw); w.next(); {
		m := member{raw: w.value}
		if w.name != "" {
			m.name = unquote(w.name)
		}
		n.members = append(n.members, m)
	}
	if n.raw[0] == '{' && len(n.members) > many {
		n.places = make(map[string]int, len(n.members))
		for k, m := range n.members {
			if _, twice := n.places[m.name]; !twice {
				n.places[m.name] = k
			}
		}
	}
	return n.members
}

// at gives a member's value.
func (n *nest) at(k int) ref.Val {
	m := &n.members[k]
	if m.val == nil {
		m.val = view(m.raw)
	}
	return m.val
}

// place finds a member by its name, of two the first; -1 if there is none.
func (n *nest) place(name string) int {
	members := n.open()
	if n.places != nil {
		if k, ok := n.places[name]; ok {
			return k
		}
		return -1
	}
	for k := range members {
		if members[k].name == name {
			return k
		}
	}
	return -1
}
