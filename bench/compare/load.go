//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/sluice-proxy/sluice/internal/bench"
)

// Only X25519 is offered: Go would agree with Go on a post-quantum exchange
// that OpenSSL 3.0 doesn't have, and the handshakes would not be the same work.
const sameKeyExchange = "GODEBUG=tlsmlkem=0"

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

// result waits for what a load found, and counts it. One whose counts don't
// agree has given them all the same.
func (s *setup) result(ctx context.Context, p *process) (*bench.Result, error) {
	defer p.stop()
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r := &bench.Result{}
	err := json.Unmarshal(p.out.Bytes(), r)
	s.expected += r.Expected
	s.received += r.Received
	if p.err != nil {
		return nil, fmt.Errorf("load: %w: %s", p.err, p.said())
	}
	return r, err
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
	return s.result(ctx, p)
}
