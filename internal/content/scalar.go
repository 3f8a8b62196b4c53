package content

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// plain are the bytes that stand for themselves in a string; those over ASCII
// were judged with the message.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// special marks those of 8 bytes that are not plain by their top bits, and may
// mark others behind the first: see Bit Twiddling Hacks, "has byte less than n".
func special(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, slash := x^ones*'"', x^ones*'\\'
	return ((x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash) & tops
}

// skipPlain gives where the next byte is that is not plain.
func skipPlain(p []byte, i int) int {
	for ; i+8 <= len(p); i += 8 {
		if marks := special(binary.LittleEndian.Uint64(p[i:])); marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for i < len(p) && plain[p[i]] {
		i++
	}
	return i
}

// quoted reads a string, section 7, and tells whether there are escapes in it.
func (s *scan) quoted(i int) (end int, escaped bool) {
	p := s.p
	for i = skipPlain(p, i+1); i < len(p); i = skipPlain(p, i) {
		if p[i] == '"' {
			return i + 1, escaped
		}
		if p[i] != '\\' {
			return s.fail("a control character in a string", i), false
		}
		_, n := unescape(p[i:])
		if n == 0 {
			return s.badEscape(i), false
		}
		i, escaped = i+n, true
	}
	return s.fail("", i), false
}

// badEscape says which of the rules an escape breaks.
func (s *scan) badEscape(i int) int {
	if hex4(s.p[i:]) >= 0 {
		return s.fail("half of a surrogate pair", i)
	}
	return s.fail("an escape that there is not", i)
}

// unescape gives the character that the escape at the beginning of p stands for
// and how long it is: 0 if it is none.
func unescape[T string | []byte](p T) (r rune, n int) {
	if len(p) < 2 {
		return 0, 0
	}
	switch p[1] {
	case '"', '\\', '/':
		return rune(p[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	if r = hex4(p); r < 0 {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	// A half says no character, and readers make different ones of it (section
	// 8.2): two names could become one.
	if r = utf16.DecodeRune(r, hex4(p[6:])); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// hex4 is the number of a \uXXXX that p begins with, or -1.
func hex4[T string | []byte](p T) (r rune) {
	if len(p) < 6 || p[0] != '\\' || p[1] != 'u' {
		return -1
	}
	for i := 2; i < 6; i++ {
		c := p[i] | 0x20 // digits have that bit
		switch {
		case isDigit(p[i]):
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// number reads a number, section 6.
func (s *scan) number(i int) int {
	if s.p[i] == '-' {
		i++
	}
	zero := s.is('0', i)
	whole := i
	if i = s.digits(i); i < 0 {
		return i
	}
	if zero && i > whole+1 {
		return s.fail("a zero before a number", whole)
	}
	if s.is('.', i) {
		if i = s.digits(i + 1); i < 0 {
			return i
		}
	}
	if s.is('e', i) || s.is('E', i) {
		if i++; s.is('+', i) || s.is('-', i) {
			i++
		}
		i = s.digits(i)
	}
	return i
}

// digits reads one digit or more.
func (s *scan) digits(i int) int {
	first := i
	for i < len(s.p) && isDigit(s.p[i]) {
		i++
	}
	if i == first {
		return s.fail("no digit where a number needs one", i)
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
