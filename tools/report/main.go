// Command report runs go test and tells what a person wants to know of it: a
// line for each package, what failed in full, and which tests were skipped and
// why.
//
//	report [-skipped FILE] go test -json ./...
//
// The skipped are added to FILE, too. The exit status is that of go test.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	skipped := flag.String("skipped", "", "add what was skipped to this file")
	flag.Parse()
	code, err := run(flag.Args(), *skipped)
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(args []string, skipped string) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("no command; write: report go test -json PACKAGES")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	r := &report{w: os.Stdout, said: map[string]*strings.Builder{}}
	readErr := r.read(out)
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	r.end()
	return cmd.ProcessState.ExitCode(), errors.Join(readErr, r.save(skipped))
}

// event is a line of go test -json, as go doc test2json tells.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// report is what has been learned so far.
type report struct {
	w              io.Writer
	said           map[string]*strings.Builder // by package and test, until it has passed
	order          []string                    // the keys of said, oldest first
	skips          []string
	passed, failed int
}

func key(pkg, test string) string { return pkg + " " + test }

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) > 0 && line[0] == '{' && json.Unmarshal(line, &e) == nil:
			r.event(e)
		default:
			_, _ = r.w.Write(line) // to a screen
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) event(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.w, e.Output)
	case "output":
		r.keep(e)
	case "pass", "skip", "fail":
		if e.Test == "" {
			r.packageEnds(e)
		} else {
			r.testEnds(e)
		}
	}
}

func (r *report) keep(e event) {
	if strings.HasPrefix(e.Output, "=== ") {
		return // which test runs now: the event says so
	}
	k := key(e.Package, e.Test)
	if r.said[k] == nil {
		r.said[k] = &strings.Builder{}
		r.order = append(r.order, k)
	}
	r.said[k].WriteString(e.Output)
}

func (r *report) testEnds(e event) {
	k := key(e.Package, e.Test)
	switch e.Action {
	case "pass":
		r.passed++
		delete(r.said, k)
	case "fail":
		r.failed++
	case "skip":
		r.skips = append(r.skips, short(e.Package)+" "+e.Test+": "+reason(r.said[k]))
		delete(r.said, k)
	}
}

// short leaves the module's path out.
func short(pkg string) string {
	_, rest, found := strings.Cut(pkg, "/sluice/")
	if !found {
		return pkg
	}
	return rest
}

// reason is what a skipped test said, without the lines of go test.
func reason(said *strings.Builder) string {
	if said == nil {
		return "no reason given"
	}
	var words []string
	for line := range strings.Lines(said.String()) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- ") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

// packageEnds writes the package's line, behind all that did not pass.
func (r *report) packageEnds(e event) {
	own := r.said[key(e.Package, "")]
	if e.Action == "fail" {
		for _, k := range r.order {
			if said := r.said[k]; said != nil && said != own && strings.HasPrefix(k, e.Package+" ") {
				fmt.Fprint(r.w, said)
			}
		}
	}
	if own != nil {
		for line := range strings.Lines(own.String()) {
			if e.Action == "fail" || line != "PASS\n" && !strings.Contains(line, "[no test files]") {
				fmt.Fprint(r.w, line)
			}
		}
	}
	r.order = slices.DeleteFunc(r.order, func(k string) bool {
		mine := strings.HasPrefix(k, e.Package+" ")
		if mine {
			delete(r.said, k)
		}
		return mine
	})
}

// end writes the last lines.
func (r *report) end() {
	for _, s := range r.skips {
		fmt.Fprintln(r.w, "skipped:", s)
	}
	fmt.Fprintf(r.w, "tests: %d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skips))
}

// save adds what was skipped to a file.
func (r *report) save(name string) error {
	if name == "" || len(r.skips) == 0 {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(r.skips, "\n") + "\n")
	return errors.Join(err, f.Close())
}
