package content

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// Find gives the value at the path, of a message that Check has passed; null
// counts as not there. The Value lives as long as the message's bytes do. Of
// other messages it gives anything, or nothing.
func (p Path) Find(msg []byte) (Value, bool) {
	if p.Zero() {
		return Value{}, false
	}
	i := space(msg, 0)
	for rest, more := p.steps, true; more; {
		var step string
		if step, rest, more = strings.Cut(rest, between); i < len(msg) {
			i = enter(msg, i, step)
		}
		if i < 0 || i >= len(msg) {
			return Value{}, false
		}
	}
	raw := msg[i:skip(msg, i)]
	v := Value{unsafe.String(unsafe.SliceData(raw), len(raw))}
	return v, v.Raw != "" && v.Raw != "null"
}

// enter goes from the value at i to the member or the element that step names,
// or to nowhere: -1.
func enter(m []byte, i int, step string) int {
	switch m[i] {
	case '{':
		return member(m, i, step)
	case '[':
		return element(m, i, step)
	}
	return -1
}

// member finds the value of that name in the object at i.
func member(m []byte, i int, step string) int {
	for i = space(m, i+1); i < len(m) && m[i] == '"'; i = space(m, i+1) {
		end := skipString(m, i)
		found := reads(m[i:end], step)
		i = space(m, end)
		i = space(m, i+1) // the colon
		if found || i >= len(m) {
			return i
		}
		if i = space(m, skip(m, i)); i >= len(m) || m[i] != ',' {
			return -1
		}
	}
	return -1
}

// element finds the value at that place in the list at i.
func element(m []byte, i int, step string) int {
	place, ok := placeOf(step)
	if i = space(m, i+1); !ok || i >= len(m) || m[i] == ']' {
		return -1
	}
	for ; place > 0; place-- {
		if i = space(m, skip(m, i)); i >= len(m) || m[i] != ',' {
			return -1
		}
		if i = space(m, i+1); i >= len(m) {
			return -1
		}
	}
	return i
}

// placeOf reads a place in a list. One of more than 9 digits is in no message.
func placeOf(step string) (n int, ok bool) {
	if step == "" || len(step) > 9 || step[0] == '0' && len(step) > 1 {
		return 0, false
	}
	for k := range len(step) {
		if !isDigit(step[k]) {
			return 0, false
		}
		n = 10*n + int(step[k]-'0')
	}
	return n, true
}

// reads tells whether a quoted name reads like that.
func reads(quoted []byte, name string) bool {
	if len(quoted) < 2 {
		return false
	}
	quoted = quoted[1 : len(quoted)-1]
	if len(quoted) <= len(name) {
		// With an escape in it, it would be longer.
		return string(quoted) == name && strings.IndexByte(name, '\\') < 0
	}
	for len(quoted) > 0 {
		if quoted[0] != '\\' {
			if name == "" || name[0] != quoted[0] {
				return false
			}
			quoted, name = quoted[1:], name[1:]
			continue
		}
		r, n := unescape(quoted)
		size := utf8.RuneLen(r)
		if n == 0 || len(name) < size {
			return false
		}
		if got, _ := utf8.DecodeRuneInString(name); got != r {
			return false
		}
		quoted, name = quoted[n:], name[size:]
	}
	return name == ""
}

// skip gives where the value at i ends.
func skip(m []byte, i int) int {
	if i >= len(m) {
		return len(m)
	}
	switch m[i] {
	case '"':
		return skipString(m, i)
	case '{', '[':
		return skipNest(m, i)
	}
	for i < len(m) && m[i] != ',' && m[i] != '}' && m[i] != ']' && m[i] > ' ' {
		i++
	}
	return i
}

// skipNest goes behind the object or list at i.
func skipNest(m []byte, i int) int {
	for depth := 0; i < len(m); {
		switch m[i] {
		case '"':
			i = skipString(m, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(m)
}

// skipString goes behind the string at i.
func skipString(m []byte, i int) int {
	for i = skipPlain(m, i+1); i < len(m); i = skipPlain(m, i) {
		switch m[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return len(m)
}
