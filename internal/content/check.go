package content

import (
	"math"
	"sync"
	"unicode/utf8"
)

// maxLen keeps places in a message within 32 bits.
const maxLen = math.MaxInt32

// Check tells what keeps p from being one JSON value of RFC 8259, in UTF-8,
// with nothing but white space around it, no name twice in an object, no half
// of a surrogate pair, and at most MaxDepth deep. The error is an *Invalid.
func Check(p []byte) error {
	if len(p) > maxLen {
		return &Invalid{"too long", maxLen}
	}
	if !utf8.Valid(p) {
		return &Invalid{"not UTF-8", validUTF8(p)}
	}
	s := scans.Get().(*scan)
	s.p = p
	var err error
	if !s.message() {
		err = &Invalid{s.what, s.wrong}
	}
	s.p, s.open.list, s.open.text = nil, s.open.list[:0], s.open.text[:0]
	scans.Put(s)
	return err
}

// validUTF8 is how far p is valid.
func validUTF8(p []byte) int {
	at := 0
	for at < len(p) {
		r, n := utf8.DecodeRune(p[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}

// scan is a message being checked. Its methods read what begins at a byte and
// give where it ends, or a negative number when it is wrong.
type scan struct {
	p     []byte
	what  string // is wrong
	wrong int    // where
	open  names  // of the objects that we are in
}

// What has grown for one message stays until the collector empties the pool.
var scans = sync.Pool{New: func() any { return new(scan) }}

// fail notes what is wrong.
func (s *scan) fail(what string, at int) int {
	s.what, s.wrong = what, at
	if at >= len(s.p) {
		s.what, s.wrong = "it ends too early", len(s.p)
	}
	return -1
}

// message reads all there is.
func (s *scan) message() bool {
	i := s.value(space(s.p, 0), 0)
	if i < 0 {
		return false
	}
	if i = space(s.p, i); i < len(s.p) {
		s.fail("more than one value", i)
		return false
	}
	return true
}

// space skips white space.
func space(p []byte, i int) int {
	for i < len(p) && p[i] <= ' ' && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t') {
		i++
	}
	return i
}

// is tells whether the byte at i is c.
func (s *scan) is(c byte, i int) bool { return i < len(s.p) && s.p[i] == c }

// value reads any value, inside of that many objects and lists.
func (s *scan) value(i, depth int) int {
	if i >= len(s.p) {
		return s.fail("", i)
	}
	switch c := s.p[i]; {
	case c == '"':
		end, _ := s.quoted(i)
		return end
	case c == '{' || c == '[':
		if depth == MaxDepth {
			return s.fail("too deep", i)
		}
		if c == '{' {
			return s.object(i, depth+1)
		}
		return s.list(i, depth+1)
	case c == '-' || isDigit(c):
		return s.number(i)
	case c == 't':
		return s.word("true", i)
	case c == 'f':
		return s.word("false", i)
	case c == 'n':
		return s.word("null", i)
	}
	return s.fail("no value", i)
}

// object reads an object, section 4.
func (s *scan) object(i, depth int) int {
	first := len(s.open.list)
	if i = space(s.p, i+1); s.is('}', i) {
		return i + 1
	}
	for {
		if !s.is('"', i) {
			return s.fail("no name of a member", i)
		}
		end, escaped := s.quoted(i)
		if end < 0 {
			return end
		}
		s.open.add(s.p, i, end, escaped)
		if i = space(s.p, end); !s.is(':', i) {
			return s.fail("no colon behind a name", i)
		}
		if i = s.value(space(s.p, i+1), depth); i < 0 {
			return i
		}
		if i = space(s.p, i); s.is(',', i) {
			i = space(s.p, i+1)
			continue
		}
		if !s.is('}', i) {
			return s.fail("neither a comma nor the end of an object", i)
		}
		if twice := s.open.close(s.p, first); twice >= 0 {
			return s.fail("a name that the object has already", twice)
		}
		return i + 1
	}
}

// list reads an array, section 5.
func (s *scan) list(i, depth int) int {
	if i = space(s.p, i+1); s.is(']', i) {
		return i + 1
	}
	for {
		if i = s.value(i, depth); i < 0 {
			return i
		}
		if i = space(s.p, i); s.is(',', i) {
			i = space(s.p, i+1)
			continue
		}
		if !s.is(']', i) {
			return s.fail("neither a comma nor the end of a list", i)
		}
		return i + 1
	}
}

// word reads a literal name, section 3.
func (s *scan) word(w string, i int) int {
	for k := range len(w) {
		if !s.is(w[k], i+k) {
			return s.fail("no value", min(i+k, len(s.p)))
		}
	}
	return i + len(w)
}
