package content

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Value is a value of a message. It has its kind at its first byte.
type Value struct {
	Raw string // as it stands in the message
}

// What an ID begins with.
const (
	idText   = 's'
	idNumber = 'n'
	idWord   = 'b'
)

// Key appends what names the value among others of its path: a string's text,
// true, false, or a number's one form: 5 for 5, 5.0 and 5e0, and so like "5".
// Objects and lists have none, nor have numbers whose exponent has more than 18
// digits.
func (v Value) Key(b []byte) ([]byte, bool) {
	_, b, ok := v.name(b)
	return b, ok
}

// ID appends what names the value as an id: numbers are exact, of any length,
// in their one form, and "5" is not 5. What has a key has an id.
func (v Value) ID(b []byte) ([]byte, bool) {
	at := len(b)
	kind, b, ok := v.name(append(b, 0))
	if !ok {
		return b[:at], false
	}
	b[at] = kind
	return b, true
}

// name appends the value's name and tells its kind.
func (v Value) name(b []byte) (kind byte, named []byte, ok bool) {
	if v.Raw == "" {
		return 0, b, false
	}
	switch c := v.Raw[0]; {
	case c == '"' && len(v.Raw) >= 2:
		return idText, appendText(b, v.Raw[1:len(v.Raw)-1]), true
	case c == '-' || isDigit(c):
		b, ok = appendNumber(b, v.Raw)
		return idNumber, b, ok
	case c == 't' || c == 'f':
		return idWord, append(b, v.Raw...), true
	}
	return 0, b, false
}

// appendNumber appends the one form of a number: no zeros around its digits and
// no exponent, if it can be had without adding more than maxZeros to them.
func appendNumber(b []byte, raw string) ([]byte, bool) {
	if isShortWhole(raw) {
		return append(b, raw...), true // Fast path: most ids
	}
	begin := len(b)
	if raw[0] == '-' {
		b, raw = append(b, '-'), raw[1:]
	}
	mantissa, exponent := raw, ""
	if e := strings.IndexAny(raw, "eE"); e >= 0 {
		mantissa, exponent = raw[:e], raw[e+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	shift := -len(fraction)
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		fraction = strings.TrimLeft(fraction, "0")
	}
	first := len(b)
	b = append(append(b, whole...), fraction...)
	digits := len(bytes.TrimRight(b[first:], "0"))
	shift += len(b) - first - digits
	if digits == 0 {
		return append(b[:begin], '0'), true // -0 too
	}
	by, ok := power(exponent)
	if !ok {
		return b[:begin], false
	}
	return shifted(b[:first+digits], first, by+int64(shift)), true
}

// isShortWhole tells whether a number is in its one form, as one can see without
// taking it apart.
func isShortWhole(raw string) bool {
	if len(raw) > maxZeros || raw[0] == '0' {
		return false
	}
	for k := range len(raw) {
		if !isDigit(raw[k]) {
			return false
		}
	}
	return true
}

// power reads an exponent, if it is short enough to be reckoned with.
func power(s string) (int64, bool) {
	s = strings.TrimPrefix(s, "+")
	minus := strings.HasPrefix(s, "-")
	s = strings.TrimLeft(strings.TrimPrefix(s, "-"), "0")
	if len(s) > 18 {
		return 0, false
	}
	n := int64(0)
	for k := range len(s) {
		n = 10*n + int64(s[k]-'0')
	}
	if minus {
		n = -n
	}
	return n, true
}

const maxZeros = 21

var leading = []byte("0.000000000000000000000")

// shifted multiplies the digits from first on by a power of ten. 1e999999999 is
// left like that.
func shifted(b []byte, first int, power int64) []byte {
	point := int64(len(b)-first) + power // digits before it
	switch {
	case power >= 0 && power <= maxZeros:
		return append(b, leading[2:2+power]...)
	case power < 0 && point > 0:
		return slices.Insert(b, first+int(point), '.')
	case power < 0 && -point <= maxZeros:
		return slices.Insert(b, first, leading[:2-point]...)
	}
	return strconv.AppendInt(append(b, 'e'), power, 10)
}
