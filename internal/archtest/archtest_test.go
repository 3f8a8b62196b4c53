// Package archtest holds the rules of the house as tests: who imports whom,
// what the core may not touch, where goroutines start, how long code may be.
// Each failure says why the rule is there. The tree is read with go/parser
// alone; nothing is built. There is nothing to call.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is the prefix of our own import paths.
const module = "github.com/sluice-proxy/sluice/"

// root is the module's directory, seen from this one.
var root = filepath.Join("..", "..")

// source is a parsed file of ours.
type source struct {
	path  string // from the module's root, with slashes
	test  bool
	lines int
	*ast.File
}

// dir is the folder, and so the package, that the file is in.
func (s *source) dir() string { return path.Dir(s.path) }

var files = token.NewFileSet()

// at is where a node stands, as a compiler would say it.
func (s *source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(files.Position(n.Pos()).Line)
}

// tree gives all Go files of the module.
var tree = sync.OnceValues(func() (all []*source, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && foreign(name) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		s, err := read(name)
		all = append(all, s)
		return err
	})
	return all, err
})

// foreign tells whether a folder is no part of the module's code.
func foreign(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || base == "node_modules" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func read(name string) (*source, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseFile(files, name, text, parser.ParseComments)
	return &source{
		path: filepath.ToSlash(rel), test: strings.HasSuffix(name, "_test.go"), lines: strings.Count(string(text), "\n"), File: f,
	}, err
}

// sources gives the files, those of tests too if they are asked for.
func sources(t *testing.T, tests bool) []*source {
	t.Helper()
	all, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	var out []*source
	for _, s := range all {
		if tests || !s.test {
			out = append(out, s)
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %d files found: the test looks in the wrong place", len(out))
	}
	return out
}

// unit names the part of the design's layout that a folder belongs to: ws for
// internal/ws, cmd for cmd/sluice, test for test/conformance.
func unit(dir string) string {
	first, rest, _ := strings.Cut(dir, "/")
	if first == "internal" {
		first, _, _ = strings.Cut(rest, "/")
	}
	return first
}

// uses calls f with each name that the file takes from the package imported as
// that path.
func (s *source) uses(importPath string, f func(n ast.Node, name string)) {
	local := s.importedAs(importPath)
	if local == "" {
		return
	}
	ast.Inspect(s.File, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// Obj is set where the name is a variable that hides the package.
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && x.Obj == nil {
			f(sel, sel.Sel.Name)
		}
		return true
	})
}

// importedAs is the name that the file gives an import, or "".
func (s *source) importedAs(importPath string) string {
	for _, spec := range s.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		base := path.Base(importPath)
		if base == "v2" {
			base = path.Base(path.Dir(importPath))
		}
		return base
	}
	return ""
}

// imports gives the paths that the file imports.
func (s *source) imports() (paths []string) {
	for _, spec := range s.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}
