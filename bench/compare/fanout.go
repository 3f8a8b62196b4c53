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
	subscriberMetrics    = []metric{{name: "KiB per idle subscriber", format: "%.2f", goal: 0.5}, {name: "resident MiB with all", format: "%.1f"}}
	tlsSubscriberMetrics = []metric{{name: "KiB per idle subscriber", format: "%.2f"}, {name: "resident MiB with all", format: "%.1f"}}
	mixedFeedMetrics     = []metric{
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
	easy, full, many, few, slowly := source("50", "200", "--text"), source("1000", "200", "--text"), source("15", "200", "--text"), source("5000", "200", "--text"), source("250", "4096", "--text")
	const slowNote = "Times are of the others. First all read, then two stop, for twice as long as other runs take; 1 MB a second that does not get through to each."
	all := []*scenario{
		{name: "fanout-easy", short: "1,000 × 50/s", title: "Fan-out: 1,000 clients, 50 messages of 200 B a second", source: easy, run: fanout(1000), note: "A pace that all can follow."},
		{name: "fanout-1000", short: "1,000 × 1,000/s", title: "Fan-out: 1,000 clients, 1,000 messages of 200 B a second", source: full, run: fanout(1000)},
		{name: "fanout-8000", short: "8,000 × 15/s", title: "Fan-out, many clients: 8,000 clients, 15 messages of 200 B a second", source: many, run: fanout(8000)},
		{name: "fanout-few", short: "20 × 5,000/s", title: "Fan-out, few clients: 20 clients, 5,000 messages of 200 B a second", source: few, run: fanout(20)},
		{name: "fanout-flush", title: "Fan-out with a flush interval: 1,000 clients, 500 messages of 200 B a second", source: source("500", "200", "--text"), run: fanout(1000),
			sides: []*peer{sluiceFlush, sluiceFanout}, note: "At half the pace that fills the core: where it is full, messages are sent together with or without an interval."},
		{name: "fanout-slow", short: "200 × 250/s, 1 % stalled", title: "Fan-out to 200 clients of which two stop reading: 250 messages of 4 KiB a second", source: slowly, metrics: slowMetrics, run: slow, note: slowNote,
			fixed: 5 * time.Second, times: 3},
		{name: "fanout-deflate", short: "1,000 × 50/s, compressed", title: "Fan-out, compressed: 1,000 clients, 50 messages of 1 KiB of JSON a second", source: source("50", "1024", "--json"), compress: true,
			metrics: deflateMetrics, run: deflate, fixed: 5 * time.Second, times: 2, note: "An order book. Plain is the same server with clients that do not offer compression."},
		{name: "fanout-idle", short: "subscriber", title: "Fan-out: idle memory, from 1,000 to 8,000 subscribers", source: []string{"echo-server"}, metrics: subscriberMetrics, run: idle(1000, 8000),
			fixed: 8 * time.Second, note: "The source says nothing."},
		{name: "mixed-feed", title: "An echo beside a feed: 8,000 subscribers, 15 messages of 200 B a second", source: many, echo: true, metrics: mixedFeedMetrics, run: mixedFeed,
			fixed: 12 * time.Second, times: 4, sides: []*peer{sluiceFanout}, note: "One balanced session, one message under way, on the loop that serves the feed. " +
				"The feed's clients give way to the echo's on the load's core, but part of these times is still not the proxy's."},
		{name: "fanout-tls", short: "TLS 1,000 × 50/s", tls: true, title: "Fan-out over TLS: 1,000 clients, 50 messages of 200 B a second", source: easy, run: fanout(1000)},
		{name: "fanout-tls-8000", short: "TLS 8,000 × 15/s", tls: true, title: "Fan-out over TLS, many clients: 8,000 clients, 15 messages of 200 B a second", source: many, run: fanout(8000), fixed: 12 * time.Second, times: 1},
		{name: "fanout-tls-few", short: "TLS 20 × 5,000/s", tls: true, title: "Fan-out over TLS, few clients: 20 clients, 5,000 messages of 200 B a second", source: few, run: fanout(20)},
		{name: "fanout-tls-slow", short: "TLS 200 × 250/s, 1 % stalled", tls: true, title: "Fan-out over TLS to 200 clients of which two stop reading: 250 messages of 4 KiB a second", source: slowly, metrics: slowMetrics, run: slow,
			note: slowNote, fixed: 5 * time.Second, times: 3},
		{name: "fanout-tls-idle", short: "TLS subscriber", tls: true, title: "Fan-out over TLS: idle memory, from 500 to 2,000 subscribers", source: []string{"echo-server"}, metrics: tlsSubscriberMetrics, run: idle(500, 2000),
			fixed: 5 * time.Second, note: "The source says nothing."},
	}
	for _, s := range all {
		s.group, s.path = "fanout", feedPath
		if s.sides == nil {
			s.sides = hubs
		}
		if s.metrics == nil {
			s.metrics = fanoutMetrics
		}
		if s.fixed == 0 {
			s.fixed, s.times = 3*time.Second, 1
		}
	}
	return all
}

// warmup is how long a feed runs before it is measured: servers have their
// buffers by then.
const warmup = "1s"

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
	load := s.loading(s.url, "fanout", append([]string{"-c", strconv.Itoa(clients), "-d", d.String(), "--warmup", warmup, "--open-timeout", "40s"}, flags...)...)
	load.nice = true
	p, err := load.start()
	if err != nil {
		return nil, err
	}
	r, err := s.result(ctx, p)
	if err == nil && (r.Count == 0 || r.Latency == nil) {
		err = errors.New("nothing came through")
	}
	return r, err
}

func slow(ctx context.Context, s *setup) ([]float64, error) {
	all, err := s.delivered(ctx, 200, s.lab.opt.duration)
	if err != nil {
		return nil, err
	}
	some, err := s.delivered(ctx, 200, 2*s.lab.opt.duration, "--slow-readers", "0.01")
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
	r, err := s.result(ctx, feed)
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
