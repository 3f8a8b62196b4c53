//go:build unix

package script

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds each wait: a script that hangs tells where.
const patience = 30 * time.Second

// cast is the programs that a script has started, by name.
type cast map[string]*program

type castKey struct{}

// program runs in the background.
type program struct {
	cmd   *exec.Cmd
	lines *lines
	done  chan struct{} // closed at its end, when all that it wrote is there
}

// lines is what a program writes, for those who wait for a line.
type lines struct {
	mu   sync.Mutex // guards what follows
	text []byte
	more chan struct{} // closed when there is more, and replaced
}

// Write takes what the program wrote.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	close(l.more)
	l.more = make(chan struct{})
	return len(p), nil
}

// find matches the whole lines so far; more is closed when there are others.
func (l *lines) find(re *regexp.Regexp) (match []string, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := l.text[:bytes.LastIndexByte(l.text, '\n')+1]
	for line := range strings.Lines(string(whole)) {
		if m := re.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			return m, nil
		}
	}
	return nil, l.more
}

func usage(ts *testscript.TestScript, neg, ok bool, text string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", text)
	}
}

// start runs a program in the background, until the script's end at the
// latest.
func start(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "start NAME PROGRAM ARGS…")
	name := args[0]
	p := &program{cmd: exec.Command(args[1], args[2:]...), lines: &lines{more: make(chan struct{})}, done: make(chan struct{})}
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	errs, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Stdout = io.MultiWriter(out, p.lines)
	p.cmd.Stderr = io.MultiWriter(errs, p.lines)
	ts.Check(p.cmd.Start())
	go p.wait(out, errs)
	(*ts.Value(castKey{}).(*cast))[name] = p
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	})
}

// wait waits for the program's end.
func (p *program) wait(files ...*os.File) {
	_ = p.cmd.Wait() // ended reads its status
	for _, f := range files {
		_ = f.Close()
	}
	close(p.done)
}

func started(ts *testscript.TestScript, name string) *program {
	p := (*ts.Value(castKey{}).(*cast))[name]
	if p == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return p
}

// written is all that a program has written, for a failure's report.
func (p *program) written() string {
	p.lines.mu.Lock()
	defer p.lines.mu.Unlock()
	return string(p.lines.text)
}

// await waits for a line.
func await(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2 || len(args) == 3, "await NAME REGEXP [VAR]")
	p := started(ts, args[0])
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	if len(args) == 3 && re.NumSubexp() == 0 {
		ts.Fatalf("%s has no group for %s", re, args[2])
	}
	late := time.After(patience)
	ended := (<-chan struct{})(p.done)
	for {
		m, more := p.lines.find(re)
		if m != nil {
			if len(args) == 3 {
				ts.Setenv(args[2], m[1])
			}
			return
		}
		if ended == nil {
			ts.Fatalf("%s ended without a line that matches %s:\n%s", args[0], re, p.written())
		}
		select {
		case <-more:
		case <-ended: // look once more: all is there now
			ended = nil
		case <-late:
			ts.Fatalf("%s: no line matched %s in %v:\n%s", args[0], re, patience, p.written())
		}
	}
}

var signals = map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}

// signal sends a program a signal.
func signal(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2 && signals[args[1]] != nil, "signal NAME TERM|INT|HUP")
	ts.Check(started(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ended waits for a program's end and wants its exit status.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "ended NAME STATUS")
	p := started(ts, args[0])
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended in %v:\n%s", args[0], patience, p.written())
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s: %v, want exit status %s:\n%s", args[0], p.cmd.ProcessState, args[1], p.written())
	}
}
