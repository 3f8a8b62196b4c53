//go:build unix

package script

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// status runs a program and wants its exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "status N PROGRAM ARGS…")
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// values compares two values, of a JSON object or given.
func values(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 4, "values FILE A OP B")
	d := json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile(args[0]))))
	d.UseNumber()
	var root any
	ts.Check(d.Decode(&root))
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("%s holds more than one JSON value", args[0])
	}
	a, b := valueOf(root, args[1]), valueOf(root, args[3])
	order := compare(a, b)
	holds := map[string]bool{"==": order == 0, "!=": order != 0, "<": order < 0, ">": order > 0}
	ok, known := holds[args[2]]
	if !known {
		ts.Fatalf("%s is not ==, !=, < or >", args[2])
	}
	if !ok {
		ts.Fatalf("%s is %s and %s is %s", args[1], a, args[3], b)
	}
}

// valueOf is what a path like latency.p99_us names, or the word itself.
func valueOf(root any, path string) string {
	at := root
	for name := range strings.SplitSeq(path, ".") {
		object, _ := at.(map[string]any)
		v, ok := object[name]
		if !ok {
			return path
		}
		at = v
	}
	if s, ok := at.(string); ok {
		return s
	}
	b, _ := json.Marshal(at) // it was JSON
	return string(b)
}

// compare goes by number where both are numbers.
func compare(a, b string) int {
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	if err1 == nil && err2 == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// get asks a server and wants a status, 200 if none is given.
func get(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1 || len(args) == 2, "get URL [STATUS]")
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, _ = ts.Stdout().Write(body) // to memory
	want := "200"
	if len(args) == 2 {
		want = args[1]
	}
	if strconv.Itoa(resp.StatusCode) != want {
		ts.Fatalf("%s, want %s", resp.Status, want)
	}
}
