//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// lab is what all measurements share: the programs, the certificate and a
// folder that goes when they are done.
type lab struct {
	opt             options
	root, dir       string // the repository, the folder
	present         []*peer
	skipped         []string          // and why
	sluice          string            // program
	programs        map[string]string // of peers that were built or looked for, by name
	cert, key, both string            // PEM files
	tlsSeen         map[string]string // what each server agreed on, by name
	setups          int
	plan            plan
}

func newLab(ctx context.Context, o options) (*lab, error) {
	root, err := repository(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return nil, err
	}
	l := &lab{opt: o, root: root, dir: dir, programs: map[string]string{}, tlsSeen: map[string]string{}}
	l.sluice = filepath.Join(dir, "sluice")
	if err := errors.Join(l.build(ctx, ".", "./cmd/sluice", l.sluice), l.certify()); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// repository finds the top of it.
func repository(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sluice-proxy/sluice").Output()
	if err != nil {
		return "", fmt.Errorf("to be run in the repository: %w", err)
	}
	return strings.TrimSpace(string(root)), nil
}

// build makes a program from a package, as the module in that folder has it.
func (l *lab) build(ctx context.Context, module, pkg, out string) error {
	b, err := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(l.root, module), "-o", out, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build %s: %w: %s", pkg, err, strings.Join(strings.Fields(string(b)), " "))
	}
	return nil
}

func (l *lab) close() { os.RemoveAll(l.dir) }

// environment is what figures depend on, a line each.
func (l *lab) environment() []string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	lines := []string{
		fmt.Sprintf("Machine: %s, %d cores, Linux %s", processor(), runtime.NumCPU(), strings.TrimSpace(string(kernel))),
		fmt.Sprintf("Built with %s", runtime.Version()),
	}
	ours := false
	for _, p := range l.present {
		if p.key == "" && ours {
			continue // Sluice is there once for each way of running it
		}
		ours = ours || p.key == ""
		lines = append(lines, p.name+" "+p.version(l))
	}
	return lines
}

func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if name, value, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
