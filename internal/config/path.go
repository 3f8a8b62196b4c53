package config

import (
	"fmt"
	"strings"
)

// parsePath accepts where in a JSON message a value stands.
func parsePath(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("is empty; write symbol, or data.0.id")
	}
	segment := 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == '.':
			if segment == 0 {
				return "", fmt.Errorf("%q has an empty name; write symbol, or data.0.id", s)
			}
			segment = 0
			continue
		case s[i] == '\\':
			if i++; i == len(s) {
				return "", fmt.Errorf("%q ends with a backslash that escapes nothing", s)
			}
		case strings.IndexByte("@#|!*?{[", s[i]) >= 0:
			return "", fmt.Errorf("%q has a %c; a path is plain names joined by dots, as data.0.id. Write \\%c for the character itself", s, s[i], s[i])
		}
		segment++
	}
	return s, nil
}
