package archtest

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// pure are the packages that do no I/O. config is one but for what it loads.
var pure = []string{"ws", "handshake", "balance", "health", "limit", "keep", "arbiter", "content", "rule", "gather"}

// impure are imports by which I/O, a clock or chance would come in.
var impure = map[string]string{
	"net":              "the core never does I/O, so that its tests need bytes alone",
	"net/http":         "the core never does I/O, so that its tests need bytes alone",
	"os":               "the core reads no file and no environment",
	"io/fs":            "the core reads no file",
	"syscall":          "the core makes no system call",
	"log":              "the core gives errors and verdicts; who calls it logs",
	"log/slog":         "the core gives errors and verdicts; who calls it logs",
	"crypto/rand":      "the core's random bytes are arguments, so that a test can choose them",
	"math/rand":        "math/rand/v2's *rand.Rand is taken as an argument",
	"context":          "the core waits for nothing",
	"crypto/tls":       "the core never does I/O, so that its tests need bytes alone",
	"golang.org/x/sys": "the core makes no system call",
}

func TestCoreImports(t *testing.T) {
	for _, s := range sources(t, false) {
		if !slices.Contains(pure, unit(s.dir())) {
			continue
		}
		for _, p := range s.imports() {
			for bad, why := range impure {
				if p == bad || strings.HasPrefix(p, bad+"/") && bad != "net" && bad != "math/rand" {
					t.Errorf("%s imports %s: %s", s.path, p, why)
				}
			}
		}
	}
}

// TestConfigLoadsAndNoMore: config reads its file and the environment, names a
// log level, splits host from port, and does nothing else to the world.
func TestConfigLoadsAndNoMore(t *testing.T) {
	allowed := map[string][]string{
		"os":       {"ReadFile", "LookupEnv"},
		"log/slog": {"Level", "LevelDebug", "LevelInfo", "LevelWarn", "LevelError"},
		"net":      {"SplitHostPort", "JoinHostPort"},
	}
	for _, s := range sources(t, false) {
		if unit(s.dir()) != "config" {
			continue
		}
		for _, p := range s.imports() {
			if why, bad := impure[p]; bad && allowed[p] == nil {
				t.Errorf("%s imports %s: %s", s.path, p, why)
			}
			s.uses(p, func(n ast.Node, name string) {
				if ok := allowed[p]; ok != nil && !slices.Contains(ok, name) {
					t.Errorf("%s: config uses %s.%s, and may use %s: to check a file must not touch the network or the log", s.at(n), p, name, strings.Join(ok, ", "))
				}
			})
		}
	}
}

func TestCoreHasNoClock(t *testing.T) {
	clocks := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
	everyCoreFile(t, func(s *source) {
		s.uses("time", func(n ast.Node, name string) {
			if slices.Contains(clocks, name) {
				t.Errorf("%s: time.%s in the core: now is an argument, so that tests don't wait and don't flicker", s.at(n), name)
			}
		})
	})
}

func TestCoreHasNoChance(t *testing.T) {
	everyCoreFile(t, func(s *source) {
		s.uses("math/rand/v2", func(n ast.Node, name string) {
			if name != "Rand" && name != "Source" {
				t.Errorf("%s: rand.%s in the core: randomness is an argument, so that a test can repeat it", s.at(n), name)
			}
		})
	})
}

func TestCoreStartsNothing(t *testing.T) {
	everyCoreFile(t, func(s *source) {
		ast.Inspect(s.File, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
				t.Errorf("%s: a goroutine, a channel or a select in the core: it is called, it does not run", s.at(n))
			}
			return true
		})
	})
}

func everyCoreFile(t *testing.T, f func(*source)) {
	for _, s := range sources(t, false) {
		if slices.Contains(core, unit(s.dir())) {
			f(s)
		}
	}
}
