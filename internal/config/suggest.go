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

// suggest answers an unknown key with the one that was meant or, when none is
// near, with all there are.
func suggest(name string, members []member) string {
	best, nearest := "", 1+max(1, len(name)/3)
	for _, m := range members {
		if d := distance(strings.ToLower(name), m.name); d < nearest {
			best, nearest = m.name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "known here: " + names(members)
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
