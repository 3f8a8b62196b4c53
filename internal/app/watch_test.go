package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
)

// lines is a log, whose lines can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

// want reads up to a line that holds all parts, past none that holds not.
func (l lines) want(t *testing.T, not string, parts ...string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case line := <-l:
			if not != "" && strings.Contains(line, not) {
				t.Fatalf("before %q comes %s", parts, line)
			}
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
				return
			}
		case <-late:
			t.Fatalf("no line with %q", parts)
		}
	}
}

const file = "listen: \"127.0.0.1:0\"\nadmin: \"off\"\nlog: {level: LEVEL}\nroutes: {balance: {upstreams: \"ws://127.0.0.1:1\", health: {probe: none}}}\n"

func text(level string) []byte { return []byte(strings.Replace(file, "LEVEL", level, 1)) }

// watched runs an App of the file at path.
func watched(t *testing.T, path string) lines {
	t.Helper()
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(path, now, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	log := make(lines, 1000)
	a, err := New(t.Context(), cfg, Options{Log: log, File: &File{path, now}, Watch: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = a.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	log.want(t, "", "msg=listening")
	return log
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// link has name lead to target, in place of where it led before.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name+".new"); err != nil {
		t.Skipf("no links here: %v", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestAFileIsWatched however it is changed.
func TestAFileIsWatched(t *testing.T) {
	releases := 0
	release := func() string { releases++; return "release" + strconv.Itoa(releases) }
	for _, c := range []struct {
		name   string
		begin  func(dir string) (path string)
		change func(dir string, text []byte)
	}{
		{"written in place", func(dir string) string {
			write(t, dir+"/s.yaml", text("info"))
			return dir + "/s.yaml"
		}, func(dir string, text []byte) { write(t, dir+"/s.yaml", text) }},
		{"renamed into place", func(dir string) string {
			write(t, dir+"/s.yaml", text("info"))
			return dir + "/s.yaml"
		}, func(dir string, text []byte) {
			write(t, dir+"/s.tmp", text)
			if err := os.Rename(dir+"/s.tmp", dir+"/s.yaml"); err != nil {
				t.Fatal(err)
			}
		}},
		{"a cluster's map of settings", func(dir string) string {
			write(t, dir+"/..1/s.yaml", text("info"))
			link(t, "..1", dir+"/..data")
			link(t, "..data/s.yaml", dir+"/s.yaml")
			return dir + "/s.yaml"
		}, func(dir string, text []byte) {
			next := release()
			write(t, dir+"/"+next+"/s.yaml", text)
			link(t, next, dir+"/..data")
		}},
		{"a folder that is a link", func(dir string) string {
			write(t, dir+"/one/s.yaml", text("info"))
			link(t, "one", dir+"/current")
			return dir + "/current/s.yaml"
		}, func(dir string, text []byte) {
			next := release()
			write(t, dir+"/"+next+"/s.yaml", text)
			link(t, next, dir+"/current")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			log := watched(t, c.begin(dir))
			c.change(dir, text("debug"))
			log.want(t, "", "configuration reloaded", "by=file", "generation=2", "changed=\"log: level\"")
			c.change(dir, bytes.Replace(text("warn"), []byte("ws:"), []byte("xx:"), 1))
			log.want(t, "configuration reloaded", "level=ERROR", "s.yaml:4:")
			c.change(dir, text("info"))
			log.want(t, "", "configuration reloaded", "generation=3")
		})
	}
}

// TestAFileThatSaysTheSame is not reloaded, and what happened before it was
// watched is noticed.
func TestAFileThatSaysTheSame(t *testing.T) {
	path := t.TempDir() + "/s.yaml"
	write(t, path, text("info"))
	log := watched(t, path)
	write(t, path, text("info"))
	write(t, path+".other", text("debug"))
	write(t, path, text("debug"))
	log.want(t, "changed=\"\"", "configuration reloaded", "generation=2")
}
