package content

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Path is where in a message a value stands: names joined by dots, \ before a
// dot that is part of a name, numbers for places in lists, from 0. So it is
// written in tidwall/gjson, whose queries, modifiers and wildcards are no part
// of it: where one would begin, \ makes a name of it. Paths can be compared.
type Path struct {
	steps string // names, joined by what is in none: see between
}

// between is no byte of UTF-8 (RFC 3629, section 1), so no name has it.
const between = "\xff"

// What means something else in gjson: anywhere in a name, and at its beginning.
const (
	querying  = "*?|#"
	beginning = "@!{["
)

// ParsePath reads a path as it is written.
func ParsePath(s string) (Path, error) {
	if s == "" {
		return Path{}, errors.New("an empty path leads nowhere; name a member, as in user.id")
	}
	if !utf8.ValidString(s) {
		return Path{}, fmt.Errorf("%q is not UTF-8, so no name of a message is like it", s)
	}
	var steps strings.Builder
	for first, rest := true, s; first || rest != ""; first = false {
		if !first {
			steps.WriteString(between)
		}
		name, more, err := cutName(rest)
		if err != nil {
			return Path{}, fmt.Errorf("%s: %w", s, err)
		}
		steps.WriteString(name)
		rest = more
	}
	return Path{steps.String()}, nil
}

// cutName reads the first name of a path, up to the dot behind it.
func cutName(s string) (name, more string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if i == 0 || i == len(s)-1 {
				return "", "", errEmptyName
			}
			return b.String(), s[i+1:], nil
		case c == '\\':
			if i++; i == len(s) {
				return "", "", errors.New(`the \ at its end is before nothing; write \\ if the name ends in one`)
			}
			c = s[i]
		case strings.IndexByte(querying, c) >= 0, i == 0 && strings.IndexByte(beginning, c) >= 0:
			return "", "", fmt.Errorf(`%c would be a query, and a path has names and places alone; write \%c if the name has it`, c, c)
		}
		b.WriteByte(c)
	}
	return b.String(), "", nil
}

var errEmptyName = errors.New(`a name is missing beside a dot; write \. if the dot is part of a name`)

// String writes the path as ParsePath reads it.
func (p Path) String() string {
	var b strings.Builder
	for i := 0; i < len(p.steps); i++ {
		c := p.steps[i]
		first := i == 0 || p.steps[i-1] == between[0]
		switch {
		case c == between[0]:
			c = '.'
		case c == '.', c == '\\', strings.IndexByte(querying, c) >= 0, first && strings.IndexByte(beginning, c) >= 0:
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Zero tells whether there is no path; it finds nothing.
func (p Path) Zero() bool { return p.steps == "" }
