package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a child with its group. Its output is read line by line; the
// end of its standard input asks it to end.
type process struct {
	// Set once, then read-only.
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string   // standard output; closed at its end
	ended chan struct{} // closed when the process is gone
	log   *tail         // standard error
}

var running = struct {
	sync.Mutex
	all map[*process]bool
}{all: map[*process]bool{}}

// start starts a child that ends with the test run at the latest. ready sees
// each line of its standard error; nil where nobody waits for one.
func start(name string, cmd *exec.Cmd, ready func(line string)) (*process, error) {
	cmd.SysProcAttr = apart()
	cmd.WaitDelay = 5 * time.Second // a grandchild may hold the pipes
	p := &process{name: name, cmd: cmd, lines: make(chan string, 4096), ended: make(chan struct{}), log: &tail{ready: ready}}
	cmd.Stderr = p.log
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	running.Lock()
	running.all[p] = true
	running.Unlock()
	go p.follow(out)
	return p, nil
}

// follow owns the child's standard output and its end.
func (p *process) follow(out io.Reader) {
	lines := bufio.NewReaderSize(out, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.lines <- strings.TrimSuffix(line, "\n")
		}
		if err != nil {
			break
		}
	}
	close(p.lines)
	p.cmd.Wait()
	close(p.ended)
	running.Lock()
	delete(running.all, p)
	running.Unlock()
}

// line gives the next line of standard output.
func (p *process) line(within time.Duration) (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", fmt.Errorf("%s ended: %s", p.name, p.log)
		}
		return line, nil
	case <-time.After(within):
		return "", fmt.Errorf("%s said nothing within %v: %s", p.name, within, p.log)
	}
}

// ask sends a question as a JSON line to a child that answers with one, in so
// many seconds of its own.
func (p *process) ask(question any, seconds int, answer any) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, err, p.log)
	}
	text, err := p.line(time.Duration(seconds)*time.Second + 2*time.Minute) // it may have to start first
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		return fmt.Errorf("%s: %w in %q", p.name, err, text)
	}
	return nil
}

// stop asks the child to end, and ends its group if it won't.
func (p *process) stop(grace time.Duration) {
	p.stdin.Close()
	go p.drain()
	select {
	case <-p.ended:
	case <-time.After(grace):
	}
	p.kill()
	<-p.ended
}

// kill ends the whole group, or what is left of it.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}

func (p *process) drain() {
	for range p.lines {
	}
}

func stopAll() {
	running.Lock()
	var all []*process
	for p := range running.all {
		all = append(all, p)
	}
	running.Unlock()
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() { p.stop(5 * time.Second) })
	}
	wg.Wait()
}

// A tail keeps the last of a child's standard error for the report of a
// failure.
type tail struct {
	ready func(line string)

	mu   sync.Mutex
	text []byte
	rest []byte // the beginning of a line
}

const tailSize = 256 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*tailSize {
		l.text = append([]byte(nil), l.text[len(l.text)-tailSize:]...)
	}
	if l.ready == nil {
		return len(p), nil
	}
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := strings.Cut(string(l.rest), "\n")
		if !found {
			return len(p), nil
		}
		l.rest = []byte(rest)
		l.ready(line)
	}
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-tailSize):])
}

// mustStart starts a child that ends with the test at the latest.
func mustStart(t *testing.T, name string, cmd *exec.Cmd, ready func(line string)) *process {
	t.Helper()
	p, err := start(name, cmd, ready)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(5 * time.Second) })
	return p
}
