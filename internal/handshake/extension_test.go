package handshake

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseExtensions(t *testing.T) {
	for line, want := range map[string][]extension{
		"permessage-deflate": {{name: "permessage-deflate", raw: "permessage-deflate"}},
		" A;B=1 ; c=\"2\" ,d": {
			{name: "a", raw: "A;B=1 ; c=\"2\"", params: [][2]string{{"b", "1"}, {"c", "2"}}},
			{name: "d", raw: "d"},
		},
		"":             nil,
		",":            nil,
		"a,":           nil,
		"a;":           nil,
		"a b":          nil,
		"a; b=":        nil,
		"a; b=\"\"":    nil,
		"a; b=\"":      nil,
		"a; b=\"c d\"": nil,
		"a; b=c=d":     nil,
		"a\r\nX: y":    nil,
	} {
		got, ok := parseExtensions(line)
		if ok != (want != nil) || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v, want %+v", line, got, ok, want)
		}
	}
}

// FuzzExtensions: what is read is made of tokens, goes on without a character
// that could end a line, and is read the same again.
func FuzzExtensions(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits; server_max_window_bits=10")
	f.Add(" A;B=1 ; c=\"2\" ,d")
	f.Add("a\r\nX: y")
	f.Fuzz(func(t *testing.T, line string) {
		exts, ok := parseExtensions(line)
		if !ok {
			return
		}
		var raws []string
		for _, e := range exts {
			if !isToken(e.name) || e.name != strings.ToLower(e.name) || !isValue(e.raw) || strings.Contains(e.raw, ",") {
				t.Fatalf("%q gives %+v", line, e)
			}
			for _, p := range e.params {
				if !isToken(p[0]) || p[1] != "" && !isToken(p[1]) {
					t.Fatalf("%q gives %+v", line, e)
				}
			}
			raws = append(raws, e.raw)
			e.validAnswer(raws)
		}
		again, ok := parseExtensions(strings.Join(raws, ", "))
		if !ok || !reflect.DeepEqual(again, exts) {
			t.Fatalf("%q is read as %+v and, joined again, as %+v", line, exts, again)
		}
	})
}
