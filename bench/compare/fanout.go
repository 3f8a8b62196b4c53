//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/bench"
)

var (
	fanoutMetrics = []metric{
		{name: "CPU us per delivery", format: "%.2f"}, {name: "deliveries/s", format: "%.0f", more: true},
		{name: "p50 us", format: "%.0f"}, {name: "p99 us", format: "%.0f"},
		{name: "server's core busy", format: "%.0f %%", bare: true}, {name: "load busy", format: "%.0f %%", bare: true},
	}
	slowMetrics = []metric{
		{name: "p99 us, 1 % do not read", format: "%.0f"}, {name: "p99 us, all read", format: "%.0f"},
		{name: "CPU us per delivery, 1 % do not read", format: "%.2f"}, {name: "CPU us per delivery, all read", format: "%.2f"},
	}
	deflateMetrics = []metric{
		{name: "CPU us per delivery, compressed", format: "%.2f"}, {name: "CPU us per delivery, plain", format: "%.2f"},
		{name: "p99 us, compressed", format: "%.0f"}, {name: "p99 us, plain", format: "%.0f"},
		{name: "bytes sent of 100", format: "%.0f"},
	}
	subscriberMetrics = []metric{{name: "KiB per idle subscriber", format: "%.2f", goal: 0.5}, {name: "resident MiB with all", format: "%.1f"}}
	mixedFeedMetrics  = []metric{
		{name: "echo p99 us beside the feed", format: "%.0f"}, {name: "echo p99 us alone", format: "%.0f"},
		{name: "echo p50 us beside the feed", format: "%.0f"}, {name: "echo p50 us alone", format: "%.0f"},
		{name: "deliveries/s beside", format: "%.0f", more: true},
	}
)

// source is one of messages that a stamp in text begins, as centrifuge needs it.
func source(rate, size string, form string) []string {
	return []string{"source", "--rate", rate, "--size", size, form}
}

// fanouts gives the scenarios of a stream for many.
func fanouts() []*scenario {
	all := []*scenario{
		{name: "fanout-easy", title: "Fan-out: 1,000 clients, 50 messages of 200 B a second", source: source("50", "200", "--text"), metrics: fanoutMetrics, run: fanout(1000),
			note: "A pace that all can follow."},
		{name: "fanout-1000", title: "Fan-out: 1,000 clients, 1,000 messages of 200 B a second", source: source("1000", "200", "--text"), metrics: fanoutMetrics, run: fanout(1000)},
		{name: "fanout-8000", title: "Fan-out: 8,000 clients, 15 messages of 200 B a second", source: source("15", "200", "--text"), metrics: fanoutMetrics, run: fanout(8000)},
		{name: "fanout-flush", title: "Fan-out with a flush interval: 1,000 clients, 500 messages of 200 B a second", source: source("500", "200", "--text"),
			metrics: fanoutMetrics, run: fanout(1000), sides: []*peer{sluiceFlush, sluiceFanout},
			note: "At half the pace that fills the core: where it is full, messages are sent together with or without an interval."},
		{name: "fanout-slow", title: "Fan-out to 200 clients of which two stop reading: 250 messages of 4 KiB a second", source: source("250", "4096", "--text"), metrics: slowMetrics, run: slow,
			note: "Times are of the others. First all read, then two stop, for twice as long as other runs take; that is 10 MB that do not get through to each."},
		{name: "fanout-deflate", title: "Fan-out, compressed: 1,000 clients, 50 messages of 1 KiB of JSON a second", source: source("50", "1024", "--json"), compress: true, metrics: deflateMetrics, run: deflate,
			note: "An order book. Plain is the same server with clients that do not offer compression."},
		{name: "fanout-tls", title: "Fan-out over TLS: 1,000 clients, 50 messages of 200 B a second", source: source("50", "200", "--text"), tls: true, metrics: fanoutMetrics, run: fanout(1000)},
		{name: "fanout-idle", title: "Fan-out: idle memory, from 1,000 to 8,000 subscribers", source: []string{"echo-server"}, metrics: subscriberMetrics, run: idle(1000, 8000),
			note: "The source says nothing."},
		{name: "mixed-feed", title: "An echo beside a feed: 8,000 subscribers, 15 messages of 200 B a second", source: source("15", "200", "--text"), echo: true, metrics: mixedFeedMetrics, run: mixedFeed,
			sides: []*peer{sluiceFanout}, note: "One balanced session, one message under way, on the loop that serves the feed. " +
				"The feed's clients give way to the echo's on the load's core, but part of these times is still not the proxy's."},
	}
	for _, s := range all {
		s.group, s.path = "fanout", feedPath
		if s.sides == nil {
			s.sides = hubs
		}
	}
	return all
}

// warmup is how long a feed runs before it is measured: servers have their
// buffers by then.
const warmup = "2s"

func fanout(clients int) func(context.Context, *setup) ([]float64, error) {
	return func(ctx context.Context, s *setup) ([]float64, error) {
		r, err := s.delivered(ctx, clients, s.lab.opt.duration)
		if err != nil {
			return nil, err
		}
		return []float64{r.CPU, r.PerSecond, r.Latency.P50, r.Latency.P99, busy(r), r.LoadCPU * r.PerSecond / 1e4}, nil
	}
}

// delivered runs sluice bench fanout to its end. It gives way to the source on
// its core, which would speak in bursts otherwise, when it gets its turn.
func (s *setup) delivered(ctx context.Context, clients int, d time.Duration, flags ...string) (*bench.Result, error) {
	load := s.loading(s.url, "fanout", append([]string{"-c", strconv.Itoa(clients), "-d", d.String(), "--warmup", warmup}, flags...)...)
	load.nice = true
	p, err := load.start()
	if err != nil {
		return nil, err
	}
	r, err := result(ctx, p)
	if err == nil && (r.Count == 0 || r.Latency == nil) {
		err = errors.New("nothing came through")
	}
	return r, err
}

func slow(ctx context.Context, s *setup) ([]float64, error) {
	long := 2 * s.lab.opt.duration
	all, err := s.delivered(ctx, 200, long)
	if err != nil {
		return nil, err
	}
	some, err := s.delivered(ctx, 200, long, "--slow-readers", "0.01")
	if err != nil {
		return nil, err
	}
	return []float64{some.Latency.P99, all.Latency.P99, some.CPU, all.CPU}, nil
}

func deflate(ctx context.Context, s *setup) ([]float64, error) {
	plain, err := s.delivered(ctx, 1000, s.lab.opt.duration)
	if err != nil {
		return nil, err
	}
	packed, err := s.delivered(ctx, 1000, s.lab.opt.duration, "--compress")
	if err != nil {
		return nil, err
	}
	if packed.Wire == packed.Payload {
		return nil, errors.New("nothing was compressed")
	}
	return []float64{packed.CPU, plain.CPU, packed.Latency.P99, plain.Latency.P99, 100 * float64(packed.Wire) / float64(packed.Payload)}, nil
}

// mixedFeed lets the feed's load give way to the echo's, as mixed does.
func mixedFeed(ctx context.Context, s *setup) ([]float64, error) {
	long := 2 * s.lab.opt.duration
	echo := func() (*bench.Result, error) {
		r, err := s.measuredAt(ctx, s.base+"/", "echo", "-c", "1", "--size", "100", "-d", long.String())
		if err == nil && r.Latency == nil {
			err = errors.New("no echo came through")
		}
		return r, err
	}
	alone, err := echo()
	if err != nil {
		return nil, err
	}
	const clients = 8000
	background := s.loading(s.url, "fanout", "-c", strconv.Itoa(clients), "-d", (long + 5*time.Second).String(), "--warmup", "0s")
	background.nice = true
	feed, err := background.start()
	if err != nil {
		return nil, err
	}
	defer feed.stop()
	if err := s.holds(ctx, feed, clients); err != nil {
		return nil, err
	}
	beside, err := echo()
	if err != nil {
		return nil, err
	}
	if feed.ended() {
		return nil, fmt.Errorf("the feed ended before the echoes: %v: %s", feed.err, feed.said())
	}
	r, err := result(ctx, feed)
	if err != nil {
		return nil, err
	}
	return []float64{beside.Latency.P99, alone.Latency.P99, beside.Latency.P50, alone.Latency.P50, r.PerSecond}, nil
}

// holds waits until the server has so many connections.
func (s *setup) holds(ctx context.Context, load *process, connections int) error {
	for ctx.Err() == nil && !load.ended() {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pids[0]))
		if err != nil {
			return err
		}
		if len(open) >= connections {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(fmt.Errorf("not all of %d clients came: %s", connections, load.said()), ctx.Err())
}
