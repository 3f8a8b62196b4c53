package content

import (
	"bytes"
	"hash/maphash"
	"unicode/utf8"
)

// names are those of the objects that are open in a message, the innermost's
// last. An object is judged when it closes, when those inside of it have been:
// so each name is looked at once, and one table does for all.
type names struct {
	list  []name
	text  []byte // of names that have escapes, as they read
	slots []slot // filled a run at a time: older runs' are free
	run   uint32
}

// name is a member's. Its text is in the message or, if it has escapes, in
// names.text.
type name struct {
	at       uint32 // of its quote
	from, to uint32
	escaped  bool
}

// slot holds the place of a name in the list.
type slot struct{ run, name uint32 }

// few names are compared with one another, more are hashed.
const few = 12

// The seed is what makes names that fall together hard to choose. Nothing but
// time depends on it.
var seed = maphash.MakeSeed()

// add notes the name that is quoted in p from i to end.
func (n *names) add(p []byte, i, end int, escaped bool) {
	m := name{at: uint32(i), from: uint32(i + 1), to: uint32(end - 1)}
	if escaped {
		m.from = uint32(len(n.text))
		n.text = appendText(n.text, p[i+1:end-1])
		m.to, m.escaped = uint32(len(n.text)), true
	}
	n.list = append(n.list, m)
}

// appendText appends what the inside of a quoted string reads.
func appendText[T string | []byte](b []byte, quoted T) []byte {
	for i := 0; i < len(quoted); {
		if quoted[i] != '\\' {
			b = append(b, quoted[i])
			i++
			continue
		}
		r, n := unescape(quoted[i:])
		if n == 0 {
			return b // not of a message that was checked
		}
		b = utf8.AppendRune(b, r)
		i += n
	}
	return b
}

// of gives a name's text.
func (n *names) of(p []byte, m name) []byte {
	if m.escaped {
		p = n.text
	}
	return p[m.from:m.to]
}

// close forgets the names of an object, from first, and gives where one stands
// that was there before it, or -1.
func (n *names) close(p []byte, first int) (at int) {
	if len(n.list)-first <= few {
		at = n.compare(p, n.list[first:])
	} else {
		at = n.hash(p, n.list[first:])
	}
	for k := first; k < len(n.list); k++ {
		if n.list[k].escaped {
			n.text = n.text[:n.list[k].from]
			break
		}
	}
	n.list = n.list[:first]
	return at
}

// compare holds each name against those before it, if there is one that is
// like it at a glance.
func (n *names) compare(p []byte, list []name) (at int) {
	var seen uint64
	for k, m := range list {
		text := n.of(p, m)
		look := uint64(1) << (len(text) % 64)
		if len(text) > 0 {
			look = 1 << ((len(text) + 7*int(text[0]) + 31*int(text[len(text)-1])) % 64)
		}
		if seen&look == 0 {
			seen |= look
			continue
		}
		for _, before := range list[:k] {
			if bytes.Equal(text, n.of(p, before)) {
				return int(m.at)
			}
		}
	}
	return -1
}

// hash puts the names into a table that is at most half full.
func (n *names) hash(p []byte, list []name) (at int) {
	size := 32
	for size < 2*len(list) {
		size *= 2
	}
	if size > len(n.slots) {
		n.slots, n.run = make([]slot, size), 0
	}
	if n.run++; n.run == 0 {
		clear(n.slots)
		n.run++
	}
	for k, m := range list {
		text := n.of(p, m)
		h := maphash.Bytes(seed, text) % uint64(size)
		for ; n.slots[h].run == n.run; h = (h + 1) % uint64(size) {
			if bytes.Equal(text, n.of(p, list[n.slots[h].name])) {
				return int(m.at)
			}
		}
		n.slots[h] = slot{n.run, uint32(k)}
	}
	return -1
}
