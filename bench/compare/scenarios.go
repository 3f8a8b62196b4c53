//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/bench"
)

// scenario is one thing that is measured.
type scenario struct {
	group, name string
	title       string // with what is done, to how many
	short       string // in a chart; "": in none
	note        string
	sides       []*peer  // who is measured, Sluice first
	echo        bool     // an echo server is behind them
	source      []string // so is this server of sluice bench, with its flags; nil: none
	path        string   // where the load connects
	tls         bool
	compress    bool          // compression is on, which some have off
	fixed       time.Duration // a measurement takes about that,
	times       int           // and so often -duration
	metrics     []metric      // the first one is the one for the overview
	run         func(context.Context, *setup) ([]float64, error)
}

// metric is a column. Below 1 is better for Sluice in its ratios, unless more
// is better.
type metric struct {
	name   string // with its unit
	format string
	more   bool    // more is better
	bare   bool    // a ratio would mean nothing
	goal   float64 // for Sluice, at most; 0: none
}

var (
	echoMetrics = []metric{
		{name: "CPU us per echo relayed", format: "%.2f"}, {name: "echoes/s", format: "%.0f", more: true},
		{name: "p50 us", format: "%.0f"}, {name: "p99 us", format: "%.0f"}, {name: "proxy's core busy", format: "%.0f %%", bare: true},
	}
	handshakeMetrics = []metric{
		{name: "CPU us per proxied handshake", format: "%.1f"}, {name: "handshakes/s", format: "%.0f", more: true},
		{name: "p50 us", format: "%.0f"}, {name: "p99 us", format: "%.0f"}, {name: "proxy's core busy", format: "%.0f %%", bare: true},
	}
	churnMetrics = []metric{
		{name: "CPU us per session", format: "%.1f"}, {name: "sessions/s", format: "%.0f", more: true},
		{name: "echo p99 us", format: "%.0f"}, {name: "handshake p50 us", format: "%.0f"}, {name: "handshake p99 us", format: "%.0f"},
		{name: "proxy's core busy", format: "%.0f %%", bare: true},
	}
	idleMetrics = []metric{{name: "KiB per idle session", format: "%.2f"}, {name: "resident MiB with all", format: "%.1f"}}
)

// scenarios gives all, in the order of the page.
func scenarios() []*scenario {
	goal := append([]metric{}, idleMetrics...)
	goal[0].goal = 1
	all := []*scenario{
		{group: "echo", name: "echo-100", short: "echo 100 B", title: "Echo of 100 B, 100 connections", run: echo(100, 100)},
		{group: "echo", name: "echo-4k", short: "echo 4 KiB", title: "Echo of 4 KiB, 100 connections", run: echo(4096, 100)},
		{group: "echo", name: "echo-64k", short: "echo 64 KiB", title: "Echo of 64 KiB, 20 connections", run: echo(65536, 20)},
		{group: "handshake", name: "handshake", short: "handshake", title: "Handshakes, 16 at a time", metrics: handshakeMetrics, run: handshakes,
			note: "Connect, handshake through to the echo server, closing handshake, and again. The CPU is that of all of it."},
		{group: "churn", name: "churn", short: "churn", title: "Sessions that come and go: 10 echoes of 100 B each, 100 sessions at a time", metrics: churnMetrics, run: churn,
			note: "Connect, handshake, ten echoes one after the other, closing handshake, and again. The CPU is that of all of it."},
		{group: "tls", name: "tls-echo-100", short: "TLS echo 100 B", title: "TLS: echo of 100 B, 100 connections", run: echo(100, 100)},
		{group: "tls", name: "tls-echo-4k", short: "TLS echo 4 KiB", title: "TLS: echo of 4 KiB, 100 connections", run: echo(4096, 100)},
		{group: "tls", name: "tls-echo-64k", short: "TLS echo 64 KiB", title: "TLS: echo of 64 KiB, 20 connections", run: echo(65536, 20)},
		{group: "tls", name: "tls-handshake", short: "TLS handshake", title: "TLS: handshakes, 16 at a time", metrics: handshakeMetrics, run: handshakes,
			note: "Full TLS handshakes, no resumption."},
		{group: "tls", name: "tls-churn", short: "TLS churn", title: "TLS: sessions that come and go, 10 echoes of 100 B each, 100 sessions at a time", metrics: churnMetrics, run: churn,
			note: "Full TLS handshakes, no resumption."},
		{group: "mixed", name: "mixed", title: "Handshakes while the proxy is busy relaying", run: mixed, fixed: 6 * time.Second, times: 2,
			note: "400 echoes of 100 B are under way all the time, on as many connections, which keeps both cores busy; beside them 50 handshakes a second, one at a time. " +
				"The load's core is full, too; there the load gives way to the handshakes, but part of these times is still not the proxy's.",
			metrics: []metric{{name: "handshake p50 ms", format: "%.2f", goal: 5}, {name: "handshake p99 ms", format: "%.2f"},
				{name: "echoes/s beside", format: "%.0f", more: true}, {name: "proxy's core busy", format: "%.0f %%", bare: true}}},
		{group: "storm", name: "storm", title: "4,000 handshakes at once", run: storm, fixed: 4 * time.Second,
			note:    "Peak is VmHWM of the proxy when all are open; growth is from its resident memory before.",
			metrics: []metric{{name: "peak MiB", format: "%.1f", goal: 48}, {name: "growth MiB", format: "%.1f"}}},
		{group: "idle", name: "idle", short: "session", title: "Idle memory: from 1,000 to 8,000 sessions", metrics: goal, run: idle(1000, 8000), fixed: 10 * time.Second},
		{group: "tls", name: "tls-idle", short: "TLS session", title: "TLS: idle memory, from 500 to 2,000 sessions", metrics: idleMetrics, run: idle(500, 2000), fixed: 5 * time.Second},
	}
	for _, s := range all {
		s.sides, s.echo, s.path, s.tls = proxies, true, "/", s.group == "tls"
		if s.metrics == nil {
			s.metrics = echoMetrics
		}
		if s.fixed == 0 {
			s.fixed, s.times = time.Second, 1
		}
	}
	return append(all, fanouts()...)
}

// columns are the names of its metrics.
func (s *scenario) columns() (names []string) {
	for _, m := range s.metrics {
		names = append(names, m.name)
	}
	return names
}

// remembers tells that a scenario is about memory that must settle.
func (s *scenario) remembers() bool { return strings.HasSuffix(s.name, "idle") }

// limit is how long one measurement may take.
func (s *scenario) limit(o options) time.Duration {
	return 2*time.Minute + 4*o.duration + 2*o.settle
}

func echo(size, connections int) func(context.Context, *setup) ([]float64, error) {
	return func(ctx context.Context, s *setup) ([]float64, error) {
		r, err := s.measured(ctx, "echo", "-c", strconv.Itoa(connections), "--size", strconv.Itoa(size), "-d", s.lab.opt.duration.String())
		if err != nil {
			return nil, err
		}
		return work(r)
	}
}

// handshakes warms the proxy up first, which sluice bench handshake does not.
func handshakes(ctx context.Context, s *setup) ([]float64, error) {
	if _, err := s.measured(ctx, "handshake", "-c", "16", "-d", min(time.Second, s.lab.opt.duration).String()); err != nil {
		return nil, err
	}
	r, err := s.measured(ctx, "handshake", "-c", "16", "-d", s.lab.opt.duration.String())
	if err != nil {
		return nil, err
	}
	return work(r)
}

func churn(ctx context.Context, s *setup) ([]float64, error) {
	r, err := s.measured(ctx, "churn", "-c", "100", "--messages", "10", "--size", "100", "-d", s.lab.opt.duration.String())
	if err != nil {
		return nil, err
	}
	if r.Latency == nil || r.Handshake == nil {
		return nil, errors.New("nothing came through")
	}
	return []float64{r.CPU, r.PerSecond, r.Latency.P99, r.Handshake.P50, r.Handshake.P99, busy(r)}, nil
}

// work gives the columns of echo and handshake.
func work(r *bench.Result) ([]float64, error) {
	if r.Count == 0 || r.Latency == nil {
		return nil, errors.New("nothing came through")
	}
	return []float64{r.CPU, r.PerSecond, r.Latency.P50, r.Latency.P99, busy(r)}, nil
}

// busy is the part of its core that a proxy used, in percent.
func busy(r *bench.Result) float64 { return r.CPU * r.PerSecond / 1e4 }

func idle(base, all int) func(context.Context, *setup) ([]float64, error) {
	return func(ctx context.Context, s *setup) ([]float64, error) {
		r, err := s.measured(ctx, "idle", "--base", strconv.Itoa(base), "-c", strconv.Itoa(all),
			"--parallel", "256", "--settle", s.lab.opt.settle.String(), "-d", "1s")
		if err != nil {
			return nil, err
		}
		if len(r.Resident) != 2 {
			return nil, fmt.Errorf("memory was read %d times, not twice", len(r.Resident))
		}
		return []float64{r.Bytes / 1024, float64(r.Resident[1]) / (1 << 20)}, nil
	}
}

// mixed lets the load give way (nice) to the echo server and to the handshakes
// on its core. That core is full, too, and without that the handshakes would
// wait there: all proxies would look the same. One message on each of 400
// connections is more work for a proxy, beside the load's, than four on 100.
func mixed(ctx context.Context, s *setup) ([]float64, error) {
	long := 2 * s.lab.opt.duration
	background := s.loading(s.url, "echo", "-c", "400", "--size", "100", "--warmup", "1s", "-d", (long + 4*time.Second).String())
	background.nice = true
	load, err := background.start()
	if err != nil {
		return nil, err
	}
	defer load.stop()
	select {
	case <-time.After(2 * time.Second): // connected and warm
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h, err := s.measured(ctx, "handshake", "-c", "1", "--rate", "50", "-d", long.String())
	if err != nil {
		return nil, err
	}
	if load.ended() {
		return nil, fmt.Errorf("the load ended before the handshakes: %v: %s", load.err, load.said())
	}
	e, err := s.result(ctx, load)
	if err != nil {
		return nil, err
	}
	if h.Latency == nil {
		return nil, fmt.Errorf("no handshake came through")
	}
	return []float64{h.Latency.P50 / 1e3, h.Latency.P99 / 1e3, e.PerSecond, busy(e)}, nil
}

// storm reads the high-water mark while all are connected, and again after.
func storm(ctx context.Context, s *setup) ([]float64, error) {
	before, err := memory(s.pids, "VmRSS")
	if err != nil {
		return nil, err
	}
	if _, err := s.measured(ctx, "idle", "-c", "4000", "--base", "0", "--parallel", "4000", "--settle", "0s", "-d", "1s"); err != nil {
		return nil, err
	}
	peak, err := memory(s.pids, "VmHWM")
	if err != nil {
		return nil, err
	}
	return []float64{peak / (1 << 20), (peak - before) / (1 << 20)}, nil
}
