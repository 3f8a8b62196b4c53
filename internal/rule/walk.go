package rule

import "strings"

const blanks = " \t\r\n"

// walker goes over the members of a JSON object or array that is known to be
// right.
type walker struct {
	raw         string // what is left
	named       bool
	name, value string // as they stand
}

func walk(raw string) walker { return walker{raw: raw[1:], named: raw[0] == '{'} }

// next goes to the next member; false behind the last.
func (w *walker) next() bool {
	w.raw = strings.TrimLeft(w.raw, blanks+",")
	if w.raw[0] == '}' || w.raw[0] == ']' {
		return false
	}
	if w.named {
		n := end(w.raw)
		w.name, w.raw = w.raw[:n], strings.TrimLeft(w.raw[n:], blanks+":")
	}
	n := end(w.raw)
	w.value, w.raw = w.raw[:n], w.raw[n:]
	return true
}

// is tells whether the member has that name.
func (w *walker) is(name string) bool {
	written := w.name[1 : len(w.name)-1]
	return written == name || strings.IndexByte(written, '\\') >= 0 && unquote(w.name) == name
}

// end is where the value ends that s begins with.
func end(s string) int {
	switch s[0] {
	case '"':
		return endOfText(s)
	case '{', '[':
		return endOfNest(s)
	}
	return strings.IndexAny(s, ",]}"+blanks) // a member never stands at the end
}

func endOfText(s string) int {
	for i := 1; ; i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func endOfNest(s string) int {
	for i, depth := 0, 0; ; i++ {
		switch s[i] {
		case '"':
			i += endOfText(s[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}
