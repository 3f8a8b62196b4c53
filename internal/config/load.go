package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxFile  = 1 << 20 // bytes; the YAML parser's time grows with the square
	maxDepth = 32      // brackets in brackets, or dashes on a line; the deepest of ours is 6
)

// smallest is what an empty file is told to hold.
const smallest = `routes: {balance: {upstreams: "ws://localhost:9000"}}`

// Load reads the file at path. Variables come from the process's environment;
// relative paths inside it stay relative to the working directory.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse decodes and validates data. The name is for errors alone; env looks up
// the NAME of each ${NAME}. An error is always an Errors.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	src := &source{name: name, env: env}
	root, ok := src.document(data)
	if !ok {
		return nil, src.err()
	}
	d := newDraft(src)
	root.config(d)
	d.check()
	if err := src.err(); err != nil {
		return nil, err
	}
	return d.cfg, nil
}

// document parses data as a single YAML document of the plain kind: mappings,
// lists and scalars.
func (s *source) document(data []byte) (root value, ok bool) {
	start := place{src: s, line: 1, col: 1}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > maxFile {
		start.errorf("the file is larger than %s", formatSize(maxFile))
		return value{}, false
	}
	if i := invalidByte(data); i >= 0 {
		s.at(data, i).errorf("byte %#02x is not text; the file must be UTF-8 without control characters", data[i])
		return value{}, false
	}
	file, err := parseYAML(string(data))
	if err != nil {
		s.syntax(err)
		return value{}, false
	}
	node, ok := s.single(file)
	if !ok {
		return value{}, false
	}
	if node == nil {
		start.errorf("the file is empty; the least it needs is %s", smallest)
		return value{}, false
	}
	ast.Walk(plain{s}, node)
	return value{start, node}, len(s.errs) == 0
}

// parseYAML calls the YAML parser with what it cannot digest kept away.
func parseYAML(text string) (file *ast.File, err error) {
	// The parser is not ours, and a configuration that makes it panic is still
	// only a configuration that is wrong.
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("the file is not YAML that can be read (%v)", r)
		}
	}()
	tokens := lexer.Tokenize(text)
	if t := tooDeep(tokens); t != nil {
		return nil, &yaml.SyntaxError{Message: "is nested too deeply", Token: t}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tooDeep finds the token at which nesting passes maxDepth. The parser recurses
// and builds a path at each level. Block nesting by indentation needs no bound:
// it costs the file the square of its depth.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			entries++
		}
		if flow > maxDepth || entries > maxDepth {
			return t
		}
	}
	return nil
}

// syntax records an error of the YAML parser.
func (s *source) syntax(err error) {
	p := place{src: s, line: 1, col: 1}
	msg := err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		msg = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			p.line, p.col = max(1, t.Position.Line), max(1, t.Position.Column)
		}
	}
	msg, _, _ = strings.Cut(msg, "\n")
	p.errorf("not YAML: %s", msg)
}

// single gives the body of the file's only document; nil when there is none.
func (s *source) single(file *ast.File) (ast.Node, bool) {
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		p := tokenPlace(s, firstToken(doc.Body))
		if doc.Body.Type() == ast.DirectiveType {
			p.errorf("a YAML directive is not supported here")
			return nil, false
		}
		if body != nil {
			p.errorf("a second document begins here; a configuration is one document")
			return nil, false
		}
		body = doc.Body
	}
	return body, true
}

// plain walks a document and refuses what YAML has beyond mappings, lists and
// scalars: an error in a file is to be found where it stands.
type plain struct{ *source }

// Visit judges one node.
func (s plain) Visit(n ast.Node) ast.Visitor {
	p := tokenPlace(s.source, n.GetToken())
	switch n.Type() {
	case ast.AnchorType, ast.AliasType:
		p.errorf("anchors and aliases are not supported; upstreams that routes share go into pools")
	case ast.MergeKeyType:
		p.errorf("merge keys are not supported; upstreams that routes share go into pools")
	case ast.TagType:
		p.errorf("tags are not supported; write the plain value")
	case ast.MappingKeyType:
		p.errorf("a key must be plain text: name, colon, value")
	default:
		return s
	}
	return nil
}

// invalidByte finds the first byte that is not part of UTF-8 text, or -1.
func invalidByte(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 || isControl(r) && r != '\n' && r != '\r' {
			return i
		}
		i += n
	}
	return -1
}

// at is the place of the byte at offset i.
func (s *source) at(data []byte, i int) place {
	before := data[:i]
	return place{
		src:  s,
		line: 1 + bytes.Count(before, []byte("\n")),
		col:  1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]),
	}
}
