//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
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
	{name: "gorilla hub", key: "gorilla", death: syscall.SIGKILL, ready: buildPeer("gorillahub"), command: hubCommand("gorillahub"), version: moduleVersion(peersModule, "github.com/gorilla/websocket")},
	{name: "centrifuge", key: "centrifuge", death: syscall.SIGKILL, ready: buildPeer("centrifuge"), command: hubCommand("centrifuge"), version: moduleVersion(peersModule, "github.com/centrifugal/centrifuge"),
		hello: `{"id":1,"connect":{}}`},
	// As with nginx, and beside it what publishes.
	{name: "Nchan", key: "nchan", death: syscall.SIGTERM, ready: findNchan, command: nchanCommand, beside: nchanPublisher, version: nchanVersion},
	{name: "Python broadcast()", key: "python", death: syscall.SIGKILL, ready: findWebsockets, command: pythonHub, version: pythonVersion},
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

func hubCommand(name string) func(*lab, *wiring) ([]string, error) {
	return func(l *lab, w *wiring) ([]string, error) {
		args := []string{l.programs[name], "-listen", w.listen, "-source", "ws://" + w.source}
		if w.tls {
			args = append(args, "-tls-cert", l.cert, "-tls-key", l.key)
		}
		if w.compress {
			args = append(args, "-compress")
		}
		return args, nil
	}
}
