package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand fills in each ${NAME}; $${ stands for ${ itself.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1])
			b.WriteString("${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return "", errors.New("${ has no closing }; write ${NAME}, or $${ for the two characters")
		}
		val, err := lookup(name, env)
		if err != nil {
			return "", err
		}
		b.WriteString(val)
		s = rest
	}
}

// escape is the inverse of expand.
func escape(s string) string { return strings.ReplaceAll(s, "${", "$${") }

func lookup(name string, env func(string) (string, bool)) (string, error) {
	if !variable.MatchString(name) {
		return "", fmt.Errorf("%q is not the name of an environment variable; write ${NAME}, or $${ for the two characters", name)
	}
	val, set := env(name)
	if !set {
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	if !utf8.ValidString(val) {
		return "", fmt.Errorf("the environment variable %s is not UTF-8 text", name)
	}
	return val, nil
}

// isControl tells the characters that no value of ours may hold.
func isControl(r rune) bool { return r != '\t' && unicode.IsControl(r) }
