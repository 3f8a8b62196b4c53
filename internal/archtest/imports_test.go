package archtest

import (
	"slices"
	"strings"
	"testing"
)

// The layers of the design, section 3: cmd → app → server → modes →
// {upstream, loop} → core.
var (
	core   = []string{"ws", "handshake", "balance", "health", "limit", "keep", "arbiter", "content", "rule", "gather", "config"}
	modes  = []string{"relay", "fanout", "scatter"}
	engine = []string{"loop", "upstream"}
)

// may says what each part may import, and why no more. A part that imports
// what is not in its line points up or sideways.
var may = map[string]struct {
	list []string
	why  string
}{
	"ws":        {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"handshake": {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"balance":   {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"health":    {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"limit":     {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"keep":      {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"arbiter":   {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"content":   {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"rule":      {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"gather":    {core, "the core sees bytes, numbers and a now; whoever needs it from above would drag I/O into it"},
	"config":    {core, "a configuration is plain data that every layer may read, so it knows none of them"},
	"loop":      {core, "a loop moves bytes for any mode and knows no instance"},
	"upstream":  {with(core, "loop"), "instances are shared by all modes and know none of them"},
	"relay":     {with(core, engine...), "a mode stands on the engine; modes that import one another can't be read or changed alone"},
	"fanout":    {with(core, engine...), "a mode stands on the engine; modes that import one another can't be read or changed alone"},
	"scatter":   {with(core, engine...), "a mode stands on the engine; modes that import one another can't be read or changed alone"},
	"server":    {with(core, with(engine, modes...)...), "the server hands connections to modes; app builds it, not the other way round"},
	"admin":     {with(core, with(engine, modes...)...), "the admin side shows what is there; app and server must not depend on being shown"},
	"bench":     {with(core, "loop"), "a load generator that shares code with what it measures beyond loop and wire measures itself"},
	"app":       {with(core, with(with(engine, modes...), "server", "admin")...), "app builds everything but is built by cmd and demo alone"},
	"demo":      {with(core, "loop", "app", "bench"), "the demo is a configuration of the app with load beside it, nothing of its own"},
	".":         {[]string{"app", "config"}, "the library is an app without a listener, made from a configuration"},
	"cmd":       {with(core, "loop", "app", "bench", "demo"), "a command is flags, signals and an exit code; what it does is app's and bench's"},
}

// testOnly are packages that tests alone may import. They may import anything.
var testOnly = []string{"testkit", "archtest", "test"}

func with(list []string, more ...string) []string { return append(slices.Clone(list), more...) }

func TestImportDirections(t *testing.T) {
	for _, s := range sources(t, false) {
		from := unit(s.dir())
		if slices.Contains(testOnly, from) {
			continue
		}
		rule, ok := may[from]
		if !ok {
			t.Errorf("%s: no rule says what %s may import; give it a line in may, with the reason", s.path, from)
			continue
		}
		for _, p := range s.imports() {
			rel, ours := strings.CutPrefix(p, module)
			if to := unit(rel); ours && to != from && !slices.Contains(rule.list, to) {
				t.Errorf("%s: %s imports %s, and may import %s: %s", s.path, from, to, strings.Join(rule.list, ", "), rule.why)
			}
		}
	}
}

// TestModesStandAlone says for modes what the table says already, in case the
// table is changed.
func TestModesStandAlone(t *testing.T) {
	for _, m := range modes {
		for _, other := range modes {
			if slices.Contains(may[m].list, other) {
				t.Errorf("the table lets %s import %s: what two modes share belongs to loop, upstream or the core", m, other)
			}
		}
	}
}

func TestNobodyImportsTestsOnly(t *testing.T) {
	for _, s := range sources(t, false) {
		for _, p := range s.imports() {
			if rel, ours := strings.CutPrefix(p, module); ours && !slices.Contains(testOnly, unit(s.dir())) && slices.Contains(testOnly, unit(rel)) {
				t.Errorf("%s imports %s: what is made for tests does not belong in the program", s.path, p)
			}
		}
	}
}

// TestLibrariesOfTests: what is in go.mod for tests stays out of the program.
func TestLibrariesOfTests(t *testing.T) {
	for _, s := range sources(t, false) {
		for _, p := range s.imports() {
			for _, lib := range []string{"pgregory.net/rapid", "github.com/coder/websocket", "github.com/gorilla/websocket", "github.com/rogpeppe/go-internal", "testing"} {
				if (p == lib || strings.HasPrefix(p, lib+"/")) && !slices.Contains(testOnly, unit(s.dir())) {
					t.Errorf("%s imports %s, which is for tests alone: the program speaks WebSocket by its own ws package", s.path, lib)
				}
			}
		}
	}
}
