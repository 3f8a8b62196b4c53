//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-proxy/sluice/internal/bench"
)

// Only X25519 is offered: Go would agree with Go on a post-quantum exchange
// that OpenSSL 3.0 doesn't have, and the handshakes would not be the same work.
const sameKeyExchange = "GODEBUG=tlsmlkem=0"

// An echo server whose loop is always busy accepts new clients only every 10 ms
// if Go has one processor for both. That would be measured instead of the proxy.
const roomToAccept = "GOMAXPROCS=2"

// lab is what all measurements share: the programs, the certificate and a
// folder that goes when they are done.
type lab struct {
	opt             options
	root, dir       string // the repository, the folder
	present         []*peer
	skipped         []string          // and why
	sluice, reverse string            // programs
	hubs            map[string]string // programs of bench/peers, by name
	cert, key, both string            // PEM files
	tlsSeen         map[string]string
	setups          int
	noisy           int // measurements on a machine that was busy before or after
}

func newLab(ctx context.Context, o options) (*lab, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sluice-proxy/sluice").Output()
	if err != nil {
		return nil, fmt.Errorf("to be run in the repository: %w", err)
	}
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return nil, err
	}
	l := &lab{opt: o, root: strings.TrimSpace(string(root)), dir: dir, hubs: map[string]string{}, tlsSeen: map[string]string{}}
	l.sluice = filepath.Join(dir, "sluice")
	if err := errors.Join(l.build(ctx, ".", "./cmd/sluice", l.sluice), l.certify()); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// build makes a program from a package of the module in that folder.
func (l *lab) build(ctx context.Context, module, pkg, out string) error {
	b, err := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(l.root, module), "-o", out, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build %s: %w: %s", pkg, err, strings.Join(strings.Fields(string(b)), " "))
	}
	return nil
}

func (l *lab) close() { os.RemoveAll(l.dir) }

// setup is what one measurement runs on: the server under test and what stands
// behind it, all fresh, so that neither memory nor TIME_WAIT ports of an earlier
// one count.
type setup struct {
	lab    *lab
	peer   *peer
	proxy  *process   // the server under test
	behind []*process // an echo server, a source, or both
	base   string     // URL of the server, without a path
	url    string     // of what is measured
	pids   []int      // of the server
}

// setUp starts all and waits until a WebSocket handshake goes through.
func (l *lab) setUp(ctx context.Context, sc *scenario, p *peer) (*setup, error) {
	var err error
	for range 3 { // a port that was free may be taken since
		var s *setup
		if s, err = l.trySetUp(ctx, sc, p); err == nil || ctx.Err() != nil {
			return s, err
		}
	}
	return nil, err
}

func (l *lab) trySetUp(ctx context.Context, sc *scenario, p *peer) (*setup, error) {
	l.setups++
	w := &wiring{dir: filepath.Join(l.dir, strconv.Itoa(l.setups)), tls: sc.tls, compress: sc.compress}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	w.listen = address(port)
	s := &setup{lab: l, peer: p, base: "ws://" + w.listen}
	if sc.tls {
		s.base = "wss://" + w.listen
	}
	s.url = s.base + sc.path
	if err := s.start(ctx, sc, w); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *setup) start(ctx context.Context, sc *scenario, w *wiring) (err error) {
	if sc.echo {
		if w.echo, err = s.startBehind(ctx, w, "echo-server"); err != nil {
			return err
		}
	}
	if sc.source != nil {
		if w.source, err = s.startBehind(ctx, w, sc.source...); err != nil {
			return err
		}
	}
	args, err := s.peer.command(s.lab, w)
	if err != nil {
		return err
	}
	proxy := spec{name: "server", core: proxyCore, dir: w.dir, death: s.peer.death, args: args}
	if s.proxy, err = proxy.start(); err != nil {
		return err
	}
	agreed, err := s.await(ctx, s.proxy, w.listen+sc.path, w.tls)
	if err != nil {
		return err
	}
	if w.tls {
		s.lab.tlsSeen[s.peer.name] = agreed
	}
	s.pids = s.proxy.workers()
	return nil
}

// startBehind starts one of sluice bench's servers and gives its address.
func (s *setup) startBehind(ctx context.Context, w *wiring, what ...string) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	at := address(port)
	sp := spec{name: what[0], core: loadCore, dir: w.dir, death: syscall.SIGKILL, env: []string{roomToAccept},
		args: slices.Concat([]string{s.lab.sluice, "bench"}, what, []string{"--listen", at, "--loops", "1"})}
	p, err := sp.start()
	if err != nil {
		return "", err
	}
	s.behind = append(s.behind, p)
	_, err = s.await(ctx, p, at+"/", false)
	return at, err
}

func (s *setup) stop() {
	s.proxy.stop()
	for _, p := range s.behind {
		p.stop()
	}
}

// await tries handshakes until one succeeds, and tells what TLS agreed on.
func (s *setup) await(ctx context.Context, p *process, at string, withTLS bool) (string, error) {
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && ctx.Err() == nil; {
		if p.ended() {
			return "", fmt.Errorf("%s ended: %v: %s", p.name, p.err, p.said())
		}
		var agreed string
		if agreed, err = try(at, withTLS); err == nil {
			return agreed, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", errors.Join(fmt.Errorf("%s does not answer: %w: %s", p.name, err, p.said()), ctx.Err())
}

// try makes one WebSocket handshake with address/path and hangs up.
func try(at string, withTLS bool) (agreed string, err error) {
	addr, path, _ := strings.Cut(at, "/")
	var c net.Conn
	c, err = net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer func() { c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second)) // a connection to this machine has deadlines
	if withTLS {
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, CurvePreferences: []tls.CurveID{tls.X25519}})
		if err := t.Handshake(); err != nil {
			return "", err
		}
		st := t.ConnectionState()
		agreed = tls.VersionName(st.Version) + ", " + tls.CipherSuiteName(st.CipherSuite) + ", " + st.CurveID.String()
		c = t
	}
	fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, addr)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		return "", fmt.Errorf("answered %s", r.Status)
	}
	return agreed, nil
}

// loading is a load on a URL that is yet to be started.
func (s *setup) loading(url, what string, flags ...string) *spec {
	pids := []string{}
	for _, pid := range s.pids {
		pids = append(pids, strconv.Itoa(pid))
	}
	sp := &spec{name: "load", core: loadCore, dir: filepath.Dir(s.proxy.log), death: syscall.SIGKILL, env: []string{sameKeyExchange}}
	sp.args = append([]string{s.lab.sluice, "bench", what, "--url", url, "--pid", strings.Join(pids, ","), "--json", "--loops", "1"}, flags...)
	if s.peer.hello != "" && (what == "fanout" || what == "idle") {
		sp.args = append(sp.args, "--hello", s.peer.hello)
	}
	return sp
}

// result waits for what a load found.
func result(ctx context.Context, p *process) (*bench.Result, error) {
	defer p.stop()
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.err != nil {
		return nil, fmt.Errorf("load: %w: %s", p.err, p.said())
	}
	r := &bench.Result{}
	return r, json.Unmarshal(p.out.Bytes(), r)
}

// measured runs sluice bench to its end.
func (s *setup) measured(ctx context.Context, what string, flags ...string) (*bench.Result, error) {
	return s.measuredAt(ctx, s.url, what, flags...)
}

func (s *setup) measuredAt(ctx context.Context, url, what string, flags ...string) (*bench.Result, error) {
	p, err := s.loading(url, what, flags...).start()
	if err != nil {
		return nil, err
	}
	return result(ctx, p)
}

func goVersion(*lab) string { return runtime.Version() + ", net/http/httputil" }
