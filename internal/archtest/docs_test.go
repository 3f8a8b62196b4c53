package archtest

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A link of Markdown; a title or an image is none of ours.
var link = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)

// documents gives the pages that readers begin with, from the module's root.
func documents(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md", "ARCHITECTURE.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d pages, %v: the test looks in the wrong place", pattern, len(found), err)
		}
		for _, name := range found {
			pages = append(pages, path.Join(path.Dir(pattern), filepath.Base(name)))
		}
	}
	return pages
}

// page gives the text of a file from the module's root.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLinksOfDocumentsLead(t *testing.T) {
	for _, from := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(page(t, from), -1) {
			target, heading, _ := strings.Cut(m[2], "#")
			if strings.Contains(target, ":") {
				continue // another site's
			}
			to := from
			if target != "" {
				to = path.Join(path.Dir(from), target)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
				t.Errorf("%s: %s leads nowhere: a reader takes the page for older than it is", from, m[0])
				continue
			}
			if heading != "" && !slices.Contains(headings(page(t, to)), heading) {
				t.Errorf("%s: %s leads to no heading of %s: it was renamed", from, m[0], to)
			}
		}
	}
}

var unanchored = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// headings gives a page's anchors, as code hosts make them of its headings.
func headings(text string) (anchors []string) {
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if title := strings.TrimLeft(line, "#"); !fenced && len(title) < len(line) {
			title = unanchored.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			anchors = append(anchors, strings.ReplaceAll(title, " ", "-"))
		}
	}
	return anchors
}

// TestClausesNameWhatIsThere: in the page of clauses a link to a Go file is
// called by a function of it.
func TestClausesNameWhatIsThere(t *testing.T) {
	const from = "docs/rfc6455.md"
	declared := map[string][]string{}
	for _, s := range sources(t, true) {
		for _, d := range s.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				declared[s.path] = append(declared[s.path], funcName(f))
			}
		}
	}
	n := 0
	for _, m := range link.FindAllStringSubmatch(page(t, from), -1) {
		if path.Ext(m[2]) != ".go" {
			continue
		}
		n++
		if file := path.Join(path.Dir(from), m[2]); !slices.Contains(declared[file], m[1]) {
			t.Errorf("%s says that %s is in %s, and it isn't: look where the clause is obeyed or tested now", from, m[1], file)
		}
	}
	if n < 100 {
		t.Errorf("%s names %d functions: the test does not read it right", from, n)
	}
}

// funcName is a function's name, behind its receiver's type if it has one.
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if p, ok := of.(*ast.StarExpr); ok {
		of = p.X
	}
	if id, ok := of.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}
