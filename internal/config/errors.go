package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration and what would be
// right.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 when the fault is in a flag or an argument
	Key          string // routes[0].timeouts.ping, --policy, argument 2; "" for the whole file
	Msg          string
}

// Error gives the error on one line: where, which key, what.
func (e Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	} else if e.File != "" {
		fmt.Fprintf(&b, "%s: ", e.File)
	}
	if e.Key != "" {
		fmt.Fprintf(&b, "%s: ", e.Key)
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Errors is all that is wrong with a configuration, in the order of the file.
type Errors []Error

// Error gives one error a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// source is what all values of one file, or of one command line, share.
type source struct {
	name string // "" for a command line
	env  func(string) (string, bool)
	errs Errors
}

// err is nil or the sorted errors.
func (s *source) err() error {
	if len(s.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(s.errs, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return s.errs
}

// place is somewhere an error can point at.
type place struct {
	src       *source
	line, col int
	key       string
}

// errorf records an error at p.
func (p place) errorf(format string, args ...any) {
	p.src.errs = append(p.src.errs, Error{
		File: p.src.name, Line: p.line, Column: p.col, Key: p.key,
		Msg: fmt.Sprintf(format, args...),
	})
}

// report records err, if there is one, and tells whether there was none.
func (p place) report(err error) bool {
	if err != nil {
		p.errorf("%v", err)
	}
	return err == nil
}

// String names the place for an error that stands elsewhere: by its line in a
// file, by its flag or argument on a command line.
func (p place) String() string {
	if p.line > 0 {
		return fmt.Sprintf("line %d", p.line)
	}
	return p.key
}

// before tells whether p stands above or left of q.
func (p place) before(q place) bool {
	return p.line < q.line || p.line == q.line && p.col < q.col
}

// under is the place of a member of p.
func (p place) under(name string) place {
	if p.key != "" {
		name = p.key + "." + name
	}
	p.key = name
	return p
}
