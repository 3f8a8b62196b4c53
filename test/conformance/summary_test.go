package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A comparison is what became of a suite that was run through the proxy and
// without it.
type comparison struct {
	suite        string
	way          way
	cases, equal int
	different    []string // those that are not equal
	reasons      []string // likewise
}

func (c *comparison) differ(id, reason string) {
	c.different = append(c.different, id)
	c.reasons = append(c.reasons, reason)
}

// What was compared in this run, in the order of telling.
var compared = struct {
	sync.Mutex
	all []comparison
}{}

func (c comparison) tell(t *testing.T) {
	t.Logf("%d cases, %d equal", c.cases, c.equal)
	if c.way.direct {
		return // with itself
	}
	compared.Lock()
	defer compared.Unlock()
	compared.all = append(compared.all, c)
}

// summary is a table in Markdown: what was compared, and each difference.
func summary() string {
	compared.Lock()
	defer compared.Unlock()
	if len(compared.all) == 0 {
		return ""
	}
	slices.SortStableFunc(compared.all, func(a, b comparison) int { return strings.Compare(a.suite, b.suite) })
	var table, list strings.Builder
	table.WriteString("| suite | way | cases | equal | different |\n|---|---|---:|---:|---:|\n")
	for _, c := range compared.all {
		fmt.Fprintf(&table, "| %s | %s | %d | %d | %d |\n", c.suite, c.way, c.cases, c.equal, len(c.different))
		for i, id := range c.different {
			fmt.Fprintf(&list, "- %s, %s, %s: %s\n", c.suite, c.way, id, c.reasons[i])
		}
	}
	if list.Len() == 0 {
		list.WriteString("No differences.\n")
	}
	return table.String() + "\n" + list.String()
}

// conclude keeps the summary of a full run among the tools; make conformance
// prints it.
func conclude() {
	text := summary()
	if !full || text == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(toolsFolder(), "conformance.md"), []byte(text), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
