package hostile_test

import "testing"

// What the tables hold at least. Who adds cases raises them; nobody lowers them.
const (
	leastCases = 325
	leastRuns  = 1186 // cases x roles, on each transport
)

// The tables do not shrink, no name stands twice, and every case says what it
// is about.
func TestCount(t *testing.T) {
	names := map[string]bool{}
	runs := 0
	count := func(table, name, about string, roles int) {
		if name == "" || about == "" {
			t.Errorf("%s: a case needs a name and what it is about: %q, %q", table, name, about)
		}
		if names[table+" "+name] {
			t.Errorf("%s: %q stands twice", table, name)
		}
		names[table+" "+name] = true
		runs += roles
	}
	for _, r := range requests() {
		count("requests", r.name, r.about, len(modes))
	}
	for _, a := range answers() {
		n := len(modes)
		if a.none != "" {
			n--
		}
		count("answers", a.name, a.about, n)
	}
	for _, v := range violations() {
		n := 0
		for _, m := range modes {
			for _, r := range roles(m) {
				if v.by(r) {
					n++
				}
			}
		}
		count("violations", v.name, v.about, n)
	}
	t.Logf("%d cases, %d runs", len(names), runs)
	if len(names) < leastCases || runs < leastRuns {
		t.Errorf("the tables have shrunk: %d cases in %d runs, want %d in %d", len(names), runs, leastCases, leastRuns)
	}
}
