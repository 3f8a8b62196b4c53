package config

import (
	"fmt"
	"strings"
)

// names lists the keys of this version, in the reference's order.
func names(members []member) string {
	var known []string
	for _, m := range members {
		if m.decode != nil {
			known = append(known, m.name)
		}
	}
	return strings.Join(known, ", ")
}

// shape is what a mapping looks like, for one who wrote something else.
func shape(members []member) string {
	if len(members) == 1 {
		return "{" + members[0].name + ": ...}"
	}
	return "a mapping of " + names(members)
}

// suggest answers an unknown key with the one that was meant or, when none was,
// with all there are.
func suggest(meant string, members []member) string {
	if meant != "" {
		return fmt.Sprintf("did you mean %s?", meant)
	}
	return "known here: " + names(members)
}

// nearest is the key that name is a slip of; "" if there is none.
func nearest(name string, members []member) string {
	best, least := "", 1+max(1, len(name)/3)
	for _, m := range members {
		if d := distance(strings.ToLower(name), m.name); d < least {
			best, least = m.name, d
		}
	}
	return best
}

// distance counts the bytes to insert, delete, replace or swap with their
// neighbour to get from a to b.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	// Three rows of the table: d[i][j] is the distance of a[:i] and b[:j].
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
