//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	proxyCore = "0"
	loadCore  = "1" // the load and the echo server
	files     = 20000
)

// enoughFiles raises this process's limit, which its children inherit, to what
// 8,000 proxied sessions need.
func enoughFiles() error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	if r.Max < files {
		return fmt.Errorf("%d open files are allowed, %d are needed: ulimit -n %d", r.Max, files, files)
	}
	// The same for all, so that none prepares for a million connections.
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: r.Max})
}

// process is a child on one core, in a process group of its own.
type process struct {
	name string
	cmd  *exec.Cmd
	out  bytes.Buffer // standard output; to be read when done is closed
	log  string       // the file of standard error
	done chan struct{}
	err  error // of its end; set before done is closed
}

// spec says how a process is started.
type spec struct {
	name  string
	core  string
	nice  bool   // gives way to others on its core
	dir   string // for its log
	death syscall.Signal
	env   []string
	args  []string // the command first
}

func (s *spec) start() (*process, error) {
	p := &process{name: s.name, done: make(chan struct{})}
	args := []string{"-c", s.core}
	if s.nice {
		args = append(args, "nice", "-n", "19")
	}
	p.cmd = exec.Command("taskset", append(args, s.args...)...)
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.WaitDelay = 2 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: s.death}
	f, err := os.CreateTemp(s.dir, s.name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.log = f.Name()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, f
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.wait()
	return p, nil
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// stop kills the process and those that it started, and waits for it. If it
// has ended its number may be another's: workers of a master that is gone end
// by themselves.
func (p *process) stop() {
	if p == nil || p.ended() {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// ended tells whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// said is the end of what the process wrote to standard error.
func (p *process) said() string {
	b, _ := os.ReadFile(p.log)
	b = b[max(0, len(b)-600):]
	return strings.Join(strings.Fields(string(b)), " ")
}

// workers are the children of a process, or itself if it has none.
func (p *process) workers() []int {
	pid := p.cmd.Process.Pid
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	if len(pids) == 0 {
		return []int{pid}
	}
	return pids
}

// memory sums a field of /proc/PID/status, such as VmHWM, in bytes.
func memory(pids []int, field string) (float64, error) {
	sum := 0.0
	for _, pid := range pids {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			return 0, err
		}
		_, rest, found := strings.Cut(string(b), "\n"+field+":")
		f := strings.Fields(rest)
		if !found || len(f) == 0 {
			return 0, fmt.Errorf("process %d has no %s", pid, field)
		}
		kib, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return 0, err
		}
		sum += kib * 1024
	}
	return sum, nil
}

// freeAddress finds a port that nobody listens on, below those that the kernel
// gives to outgoing connections: thousands of these are about to be made.
func freeAddress() (string, error) {
	for range 100 {
		at := "127.0.0.1:" + strconv.Itoa(10000+rand.IntN(22000))
		l, err := net.Listen("tcp", at)
		if err == nil {
			return at, l.Close()
		}
	}
	return "", fmt.Errorf("no free port")
}
