package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/sluice-proxy/sluice/internal/content"
)

var inBrackets = regexp.MustCompile(`\[(\d+)\]`)

// parsePath accepts where in a JSON message a value stands. What is written as in
// JSONPath would be the name of a member that no message has.
func parsePath(s string) (string, error) {
	plain := inBrackets.ReplaceAllString(strings.TrimPrefix(strings.TrimPrefix(s, "$"), "."), ".$1")
	if plain = strings.TrimPrefix(plain, "."); plain != s && plain != "" {
		return s, fmt.Errorf("%q is not a path as they are written here; write %s", s, plain)
	}
	_, err := content.ParsePath(s)
	return s, err
}
