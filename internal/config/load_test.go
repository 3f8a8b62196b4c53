package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const smallFile = `routes: {balance: {upstreams: "ws://${SLUICE_TEST_HOST}"}}`

func TestLoadTakesTheEnvironment(t *testing.T) {
	t.Setenv("SLUICE_TEST_HOST", "a.example.com")
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(smallFile), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if host := c.Pools["default"].Upstreams[0].URL.Host; host != "a.example.com" {
		t.Errorf("the upstream's host is %q", host)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), path+":1:1: ") {
		t.Errorf("an empty file: %v", err)
	}
}

// TestFilesThatNoEditorWrites refuses each with its place.
func TestFilesThatNoEditorWrites(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"a byte that is not UTF-8", "drain: 1s\nlog: \xff\n", "f:2:6: byte 0xff is not text; the file must be UTF-8 without control characters"},
		{"a NUL", "drain: é\x00", "f:1:9: byte 0x00 is not text; the file must be UTF-8 without control characters"},
		{"too many bytes", strings.Repeat("#", maxFile+1), "f:1:1: the file is larger than 1MiB"},
		{"brackets in brackets", strings.Repeat("[", 100_000), "f:1:33: not YAML: is nested too deeply"},
		{"mappings in mappings", strings.Repeat("{a: ", 10_000), "f:1:129: not YAML: is nested too deeply"},
		{"dashes behind dashes", strings.Repeat("- ", 10_000), "f:1:65: not YAML: is nested too deeply"},
	} {
		_, err := Parse("f", []byte(c.text), environment)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
	}
}

func TestByteOrderMarkAndCarriageReturns(t *testing.T) {
	c := parse(t, "\ufeffdrain: 3s\r\nroutes:\r\n  balance: {upstreams: ws://a}\r\n")
	if c.Drain.String() != "3s" {
		t.Errorf("drain is %v", c.Drain)
	}
}

func TestExpand(t *testing.T) {
	env := func(name string) (string, bool) { return "<" + name + ">", name != "NONE" }
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"${A}", "<A>"},
		{"a${A}b${_b1}c", "a<A>b<_b1>c"},
		{"$A $ $$ {A}", "$A $ $$ {A}"},
		{"$${A}", "${A}"},
		{"$$${A}", "$${A}"},
		{"$${${A}", "${<A>"},
		{"${", `${ has no closing }; write ${NAME}, or $${ for the two characters`},
		{"${}", `"" is not the name of an environment variable; write ${NAME}, or $${ for the two characters`},
		{"${NONE}", "the environment variable NONE is not set"},
	} {
		got, err := expand(c.in, env)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s becomes %s, want %s", c.in, got, c.want)
		}
	}
}
