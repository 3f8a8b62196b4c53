//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// peer is a server under measurement.
type peer struct {
	name  string // as on the page
	key   string // as in -peers; "": Sluice, which is always there
	death syscall.Signal
	hello string // what its clients must send to be told anything
	// ready finds or builds its program; nil: it is there.
	ready func(ctx context.Context, l *lab) error
	// command gives what to run, after it has written what that reads.
	command func(l *lab, w *wiring) ([]string, error)
	// beside gives what else runs once the server answers, on the load's core;
	// nil: nothing.
	beside  func(l *lab, w *wiring) []string
	version func(l *lab) string
}

// wiring is one server's place.
type wiring struct {
	dir                           string // its own
	listen, publish, echo, source string // addresses; publish is for messages that come in
	tls, compress                 bool
}

// proxies relay to an echo server.
var proxies = []*peer{
	{name: "Sluice", death: syscall.SIGKILL, command: sluiceCommand, version: sluiceVersion},
	{name: "HAProxy", key: "haproxy", death: syscall.SIGKILL, ready: installed("haproxy"), command: haproxyCommand, version: firstVersion("haproxy", "-v")},
	// The master takes its worker with it when it is told to end.
	{name: "nginx", key: "nginx", death: syscall.SIGTERM, ready: installed("nginx"), command: nginxCommand, version: firstVersion("nginx", "-v")},
	{name: "Envoy", key: "envoy", death: syscall.SIGKILL, ready: findEnvoy, command: envoyCommand, version: envoyVersion},
	{name: "Caddy", key: "caddy", death: syscall.SIGKILL, ready: buildCaddy, command: caddyCommand, version: moduleVersion("bench/caddy", "github.com/caddyserver/caddy/v2")},
	{name: "ReverseProxy", key: "reverseproxy", death: syscall.SIGKILL, ready: buildPeer("reverseproxy"), command: reverseCommand, version: goVersion},
	{name: "Python websockets", key: "python", death: syscall.SIGKILL, ready: findWebsockets, command: pythonProxy, version: pythonVersion},
}

// findPeers gets those asked for ready that the scenarios measure, and says why
// others can't be.
func (l *lab) findPeers(ctx context.Context, chosen []*scenario) error {
	known := map[string]bool{"": true, "none": true}
	for _, p := range slices.Concat(proxies, hubs) {
		known[p.key] = true
	}
	for _, key := range l.opt.peers {
		if !known[key] {
			return fmt.Errorf("-peers %s: not known", key)
		}
	}
	tried := map[*peer]bool{}
	for _, s := range chosen {
		for _, p := range s.sides {
			if tried[p] || p.key != "" && !slices.Contains(l.opt.peers, p.key) {
				continue
			}
			tried[p] = true
			if p.ready != nil {
				if err := p.ready(ctx, l); err != nil {
					l.skipped = append(l.skipped, fmt.Sprintf("%s: %v", p.name, err))
					continue
				}
			}
			l.present = append(l.present, p)
		}
	}
	return ctx.Err()
}

// installed finds a program.
func installed(program string) func(context.Context, *lab) error {
	return func(context.Context, *lab) error {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("not installed (bench/setup.sh)")
		}
		return nil
	}
}

// peersModule has what needs modules that Sluice doesn't.
const peersModule = "bench/peers"

// buildPeer builds one of ours.
func buildPeer(name string) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		l.programs[name] = filepath.Join(l.dir, name)
		return l.build(ctx, peersModule, "./"+name, l.programs[name])
	}
}

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+[^\s/]*`)

const unknownVersion = "of an unknown version"

// firstVersion runs a program for its version.
func firstVersion(program, flag string) func(*lab) string {
	return func(*lab) string {
		b, _ := exec.Command(program, flag).CombinedOutput()
		if v := versionNumber.Find(b); v != nil {
			return string(v)
		}
		return unknownVersion
	}
}

func moduleVersion(folder, module string) func(*lab) string {
	return func(l *lab) string {
		b, err := exec.Command("go", "list", "-C", filepath.Join(l.root, folder), "-m", "-f", "{{.Version}}", module).Output()
		if err != nil {
			return unknownVersion
		}
		return strings.TrimSpace(string(b))
	}
}

func goVersion(*lab) string { return runtime.Version() + ", net/http/httputil" }

func sluiceVersion(l *lab) string {
	b, _ := exec.Command(l.sluice, "version").Output()
	v := strings.TrimPrefix(strings.TrimSpace(string(b)), "sluice ")
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return v
	}
	v += ", commit " + strings.TrimSpace(string(commit))
	if changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changed) > 0 {
		v += " with uncommitted changes"
	}
	return v
}
