//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An echo server whose loop is always busy accepts new clients only every 10 ms
// if Go has one processor for both. That would be measured instead of the proxy.
const roomToAccept = "GOMAXPROCS=2"

// setup is what one measurement runs on: the server under test and what stands
// behind it, all fresh, so that neither memory nor TIME_WAIT ports of an earlier
// one count.
type setup struct {
	lab    *lab
	peer   *peer
	proxy  *process   // the server under test
	behind []*process // on the load's core: an echo server, a source, or both; and what a peer needs beside it
	base   string     // URL of the server, without a path
	url    string     // of what is measured
	pids   []int      // of the server
	// Of all loads so far: messages, of handshake and idle runs connections.
	expected, received uint64
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
	var err error
	for _, at := range []*string{&w.listen, &w.publish} {
		if *at, err = freeAddress(); err != nil {
			return nil, err
		}
	}
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
	if s.peer.beside == nil {
		return nil
	}
	beside := spec{name: "beside", core: loadCore, dir: w.dir, death: syscall.SIGKILL, args: s.peer.beside(s.lab, w)}
	p, err := beside.start()
	s.behind = append(s.behind, p)
	return err
}

// startBehind starts one of sluice bench's servers and gives its address.
func (s *setup) startBehind(ctx context.Context, w *wiring, what ...string) (string, error) {
	at, err := freeAddress()
	if err != nil {
		return "", err
	}
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

// said is what they wrote who may be to blame for a failure.
func (s *setup) said() (lines string) {
	if said := s.proxy.said(); said != "" {
		lines = "; " + s.peer.name + " said: " + said
	}
	for _, p := range s.behind {
		if p.ended() {
			lines += "; " + p.name + " ended: " + p.said()
		}
	}
	return lines
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
