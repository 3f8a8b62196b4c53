//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// feedPath is where a stream is. The hubs don't look at it.
const feedPath = "/feed"

var (
	sluiceFanout = &peer{name: "Sluice", death: syscall.SIGKILL, command: sluiceFeed(""), version: sluiceVersion}
	sluiceFlush  = &peer{name: "Sluice, flush_interval 10ms", death: syscall.SIGKILL, command: sluiceFeed("10ms"), version: sluiceVersion}
)

// hubs hand the stream of a source on to many.
var hubs = []*peer{
	sluiceFanout,
	{name: "gorilla hub", key: "gorilla", death: syscall.SIGKILL, ready: buildHub("gorillahub"), command: hubCommand("gorillahub"), version: moduleVersion("github.com/gorilla/websocket")},
	{name: "centrifuge", key: "centrifuge", death: syscall.SIGKILL, ready: buildHub("centrifuge"), command: hubCommand("centrifuge"), version: moduleVersion("github.com/centrifugal/centrifuge"),
		hello: `{"id":1,"connect":{}}`},
	{name: "Python broadcast()", key: "python", death: syscall.SIGKILL, ready: findWebsockets, command: pythonCommand, version: pythonVersion},
}

// sluiceConfig: the feed, and what a scenario wants beside it.
const sluiceConfig = `listen: {address: "%s"%s}
admin: off
log: {sessions: none}
routes:
  - name: feed
    match: {path: %s}
    fanout: {source: "ws://%s"%s}
`

const sluiceEcho = `  - name: echo
    match: {path: /}
    balance: {upstreams: ["ws://%s"]}
`

func sluiceFeed(flush string) func(*lab, *wiring) ([]string, error) {
	return func(l *lab, w *wiring) ([]string, error) {
		tls, more := "", ""
		if w.tls {
			tls = fmt.Sprintf(", tls: {cert: %s, key: %s}", l.cert, l.key)
		}
		if flush != "" {
			more = ", flush_interval: " + flush
		}
		config := fmt.Sprintf(sluiceConfig, w.listen, tls, feedPath, w.source, more)
		if w.echo != "" {
			config += fmt.Sprintf(sluiceEcho, w.echo)
		}
		file := filepath.Join(w.dir, "sluice.yaml")
		return []string{l.sluice, "run", "-c", file}, os.WriteFile(file, []byte(config), 0o600)
	}
}

// peersModule has what needs modules that Sluice doesn't.
const peersModule = "bench/peers"

func buildHub(name string) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		l.hubs[name] = filepath.Join(l.dir, name)
		return l.build(ctx, peersModule, "./"+name, l.hubs[name])
	}
}

func hubCommand(name string) func(*lab, *wiring) ([]string, error) {
	return func(l *lab, w *wiring) ([]string, error) {
		args := []string{l.hubs[name], "-listen", w.listen, "-source", "ws://" + w.source}
		if w.tls {
			args = append(args, "-tls-cert", l.cert, "-tls-key", l.key)
		}
		if w.compress {
			args = append(args, "-compress")
		}
		return args, nil
	}
}

func moduleVersion(module string) func(*lab) string {
	return func(l *lab) string {
		b, err := exec.Command("go", "list", "-C", filepath.Join(l.root, peersModule), "-m", "-f", "{{.Version}}", module).Output()
		if err != nil {
			return "of an unknown version"
		}
		return strings.TrimSpace(string(b))
	}
}

// python has the packages of test/conformance/setup.sh.
func (l *lab) python() string { return filepath.Join(l.root, ".tools", "python3", "bin", "python") }

func findWebsockets(ctx context.Context, l *lab) error {
	if exec.CommandContext(ctx, l.python(), "-c", "import websockets.asyncio.server").Run() != nil {
		return errors.New("websockets is not installed (test/conformance/setup.sh)")
	}
	return nil
}

// opensslConfig chooses the cipher that all others use: Python's ssl has no way
// to.
const opensslConfig = `openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
Ciphersuites = TLS_AES_128_GCM_SHA256
`

func pythonCommand(l *lab, w *wiring) ([]string, error) {
	file := filepath.Join(w.dir, "openssl.cnf")
	if err := os.WriteFile(file, []byte(opensslConfig), 0o600); err != nil {
		return nil, err
	}
	args := []string{"env", "OPENSSL_CONF=" + file, l.python(), filepath.Join(l.root, peersModule, "broadcast.py"), w.listen, "ws://" + w.source}
	if w.tls {
		args = append(args, l.cert, l.key)
	}
	if w.compress {
		args = append(args, "--compress")
	}
	return args, nil
}

func pythonVersion(l *lab) string {
	b, _ := exec.Command(l.python(), "-c", "import sys, websockets; print('of websockets', websockets.__version__ + ', Python', sys.version.split()[0])").Output()
	return strings.TrimSpace(string(b))
}
