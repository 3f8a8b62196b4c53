package archtest

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayStart are the packages in which a goroutine may be started, with the
// reason. Everywhere else state belongs to a loop, and others post to it.
var mayStart = map[string]string{
	"loop":     "a loop is a goroutine, and a stream connection is a pair",
	"upstream": "probes and resolving wait for the network",
	"fanout":   "looking up a source waits for the network, and an encoder would hold its loop up",
	"server":   "listeners and shutdown wait",
	"app":      "runs the parts side by side and waits for them",
	"admin":    "serves HTTP",
	"bench":    "shows progress beside a run",
	".":        "runs an app beside the program's own server",
	"demo":     "runs an app, its instances and their load in one process",
	"cmd":      "waits for signals",
	"testkit":  "plays both ends of a proxy",
	"test":     "plays both ends of a proxy",
}

func TestWhereGoStands(t *testing.T) {
	for _, s := range sources(t, false) {
		if mayStart[unit(s.dir())] != "" {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: a go statement in %s: a session's state belongs to its loop and needs no lock while nobody else runs; "+
					"who must start one gives the package a line in mayStart, with the reason, and waits for it", s.at(n), unit(s.dir()))
			}
			return true
		})
	}
}

func TestPackageDocs(t *testing.T) {
	docs, kinds := map[string]string{}, map[string]string{}
	for _, s := range sources(t, true) {
		if strings.HasSuffix(s.Name.Name, "_test") {
			continue
		}
		if kinds[s.dir()] = "Package"; s.Name.Name == "main" {
			kinds[s.dir()] = "Command"
		}
		docs[s.dir()] += s.Doc.Text()
	}
	for dir, doc := range docs {
		name := path.Base(dir)
		if dir == "." {
			name = path.Base(module)
		}
		if want := kinds[dir] + " " + name + " "; !strings.HasPrefix(doc, want) {
			t.Errorf("%s: its doc does not begin with %q: a reader learns there what it is for, how to use it, what may be called at once and what it does not do", dir, want)
		}
	}
}

func TestNoReplace(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for k, line := range strings.Split(string(text), "\n") {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word == "replace" || word == "replace(" {
			t.Errorf("go.mod:%d: %s: go install of a module with a replace is refused, so nobody could install it", k+1, line)
		}
	}
}

func TestNoPackageForAnything(t *testing.T) {
	for _, s := range sources(t, true) {
		for _, name := range []string{s.Name.Name, path.Base(s.dir())} {
			if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "models", "misc", "shared"}, strings.TrimSuffix(name, "_test")) {
				t.Errorf("%s is in package %s: a package exists because an import rule needs it, and is named after what it is", s.path, name)
			}
		}
	}
}

const (
	longestFunc = 80
	longestFile = 500
)

func TestLengths(t *testing.T) {
	for _, s := range sources(t, true) {
		if s.lines > longestFile {
			t.Errorf("%s has %d lines, over %d: a file holds one noun", s.path, s.lines, longestFile)
		}
		if s.test {
			continue // tables are long
		}
		for _, d := range s.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n > longestFunc {
				t.Errorf("%s: %s has %d lines, over %d: the tail of long functions is where code stops being read", s.at(f), f.Name.Name, n, longestFunc)
			}
		}
	}
}
