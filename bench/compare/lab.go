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
	dir             string
	sluice, reverse string // programs
	cert, key, both string // PEM files
	tlsSeen         map[string]string
	setups          int
	noisy           int // measurements on a machine that was busy before or after
}

func newLab(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return nil, err
	}
	l := &lab{opt: o, dir: dir, tlsSeen: map[string]string{}}
	l.sluice, l.reverse = filepath.Join(dir, "sluice"), filepath.Join(dir, "reverseproxy")
	for pkg, out := range map[string]string{"cmd/sluice": l.sluice, "bench/reverseproxy": l.reverse} {
		b, err := exec.CommandContext(ctx, "go", "build", "-o", out, "github.com/sluice-proxy/sluice/"+pkg).CombinedOutput()
		if err != nil {
			l.close()
			return nil, fmt.Errorf("go build %s: %w: %s", pkg, err, b)
		}
	}
	if err := l.certify(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) close() { os.RemoveAll(l.dir) }

// setup is what one measurement runs on: a proxy and an echo server, both
// fresh, so that neither memory nor TIME_WAIT ports of an earlier one count.
type setup struct {
	lab         *lab
	proxy, echo *process
	url         string // of the proxy
	pids        []int  // of the proxy
}

// setUp starts both and waits until a WebSocket handshake goes through.
func (l *lab) setUp(ctx context.Context, p *peer, withTLS bool) (*setup, error) {
	var err error
	for range 3 { // a port that was free may be taken since
		var s *setup
		if s, err = l.trySetUp(ctx, p, withTLS); err == nil || ctx.Err() != nil {
			return s, err
		}
	}
	return nil, err
}

func (l *lab) trySetUp(ctx context.Context, p *peer, withTLS bool) (*setup, error) {
	l.setups++
	w := &wiring{dir: filepath.Join(l.dir, strconv.Itoa(l.setups)), tls: withTLS}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	echoPort, err := freePort()
	if err != nil {
		return nil, err
	}
	w.listen, w.echo = address(port), address(echoPort)
	s := &setup{lab: l, url: "ws://" + w.listen + "/"}
	if withTLS {
		s.url = "wss://" + w.listen + "/"
	}
	if err := s.start(ctx, p, w); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *setup) start(ctx context.Context, p *peer, w *wiring) error {
	args, err := p.command(s.lab, w)
	if err != nil {
		return err
	}
	echo := spec{name: "echo", core: loadCore, dir: w.dir, death: syscall.SIGKILL, env: []string{roomToAccept},
		args: []string{s.lab.sluice, "bench", "echo-server", "--listen", w.echo, "--loops", "1"}}
	if s.echo, err = echo.start(); err != nil {
		return err
	}
	if _, err := s.await(ctx, s.echo, w.echo, false); err != nil {
		return err
	}
	proxy := spec{name: p.key, core: proxyCore, dir: w.dir, death: p.death, args: args}
	if s.proxy, err = proxy.start(); err != nil {
		return err
	}
	agreed, err := s.await(ctx, s.proxy, w.listen, w.tls)
	if err != nil {
		return err
	}
	if w.tls {
		s.lab.tlsSeen[p.name] = agreed
	}
	s.pids = s.proxy.workers()
	return nil
}

func (s *setup) stop() {
	s.proxy.stop()
	s.echo.stop()
}

// await tries handshakes until one succeeds, and tells what TLS agreed on.
func (s *setup) await(ctx context.Context, p *process, addr string, withTLS bool) (string, error) {
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && ctx.Err() == nil; {
		if p.ended() {
			return "", fmt.Errorf("%s ended: %v: %s", p.name, p.err, p.said())
		}
		var agreed string
		if agreed, err = try(addr, withTLS); err == nil {
			return agreed, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", errors.Join(fmt.Errorf("%s does not answer: %w: %s", p.name, err, p.said()), ctx.Err())
}

// try makes one WebSocket handshake and hangs up.
func try(addr string, withTLS bool) (agreed string, err error) {
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
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		return "", fmt.Errorf("answered %s", r.Status)
	}
	return agreed, nil
}

// load starts sluice bench against the proxy.
func (s *setup) load(what string, flags ...string) (*process, error) {
	sp := s.loading(what, flags...)
	return sp.start()
}

// loading is a load that is yet to be started.
func (s *setup) loading(what string, flags ...string) *spec {
	pids := []string{}
	for _, pid := range s.pids {
		pids = append(pids, strconv.Itoa(pid))
	}
	sp := &spec{name: "load", core: loadCore, dir: filepath.Dir(s.proxy.log), death: syscall.SIGKILL, env: []string{sameKeyExchange}}
	sp.args = append([]string{s.lab.sluice, "bench", what, "--url", s.url, "--pid", strings.Join(pids, ","), "--json", "--loops", "1"}, flags...)
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
	p, err := s.load(what, flags...)
	if err != nil {
		return nil, err
	}
	return result(ctx, p)
}

func goVersion(*lab) string { return runtime.Version() + ", net/http/httputil" }
