package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sluice-proxy/sluice/internal/bench"
	"github.com/sluice-proxy/sluice/internal/loop"
)

type benchCmd struct {
	Echo       benchEcho       `cmd:"" help:"Send messages to an echo server and want them back; a closed loop."`
	Churn      benchChurn      `cmd:"" help:"Sessions that open, exchange a few messages and close, again and again."`
	Fanout     benchFanout     `cmd:"" help:"Listen to a source, or to who hands its stream on; check every client's stream."`
	Idle       benchIdle       `cmd:"" help:"Hold connections that say nothing; measure memory."`
	Handshake  benchHandshake  `cmd:"" help:"Connect, close, and again; measure handshakes."`
	EchoServer benchEchoServer `cmd:"" help:"A server that sends every message back."`
	Source     benchSource     `cmd:"" help:"A server that sends stamped messages at a rate."`
}

// measured are the flags of all measurements.
type measured struct {
	URL      string        `required:"" help:"The server: ws://host:port/path, or wss:// (certificates are not verified)." placeholder:"URL"`
	PID      []int         `name:"pid" help:"Process whose CPU and memory are read; several with commas." placeholder:"PID"`
	Loops    int           `help:"Event loops for the load; 0: one a core."`
	Duration time.Duration `short:"d" help:"How long to measure." default:"10s"`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
}

func (m *measured) options(connections int) bench.Options {
	o := bench.Options{URL: m.URL, Connections: connections, Duration: m.Duration, PIDs: m.PID, Loops: m.Loops, Parallel: 64}
	if fi, err := os.Stderr.Stat(); err == nil && fi.Mode()&os.ModeCharDevice != 0 {
		o.Progress = os.Stderr
	}
	return o
}

func (m *measured) print(r *bench.Result, err error) error {
	if err != nil {
		return err
	}
	if err := r.Print(os.Stdout, m.JSON); err != nil {
		return err
	}
	return r.Err()
}

type benchEcho struct {
	measured
	Connections int           `short:"c" help:"How many connections." default:"100"`
	Inflight    int           `help:"Messages under way on each connection." default:"1"`
	Size        int           `help:"Bytes of a message; at least 8." default:"100"`
	Warmup      time.Duration `help:"Not measured." default:"1s"`
	Text        bool          `help:"Send text, not binary."`
	Keys        int           `help:"Send JSON that has a member key of so many values, and a member id, for proxies that route by one."`
}

// Run measures echoes.
func (b *benchEcho) Run(ctx context.Context) error {
	return b.print(bench.Echo(ctx, bench.EchoOptions{
		Options: b.options(b.Connections), Inflight: b.Inflight, Size: b.Size, Warmup: b.Warmup, Text: b.Text, Keys: b.Keys,
	}))
}

type benchChurn struct {
	measured
	Connections int           `short:"c" help:"Sessions under way at a time." default:"100"`
	Messages    int           `help:"Messages that a session exchanges, one after the other." default:"10"`
	Size        int           `help:"Bytes of a message; at least 8." default:"100"`
	Warmup      time.Duration `help:"Not measured." default:"1s"`
}

// Run measures sessions that come and go.
func (b *benchChurn) Run(ctx context.Context) error {
	return b.print(bench.Churn(ctx, bench.ChurnOptions{
		Options: b.options(b.Connections), Messages: b.Messages, Size: b.Size, Warmup: b.Warmup,
	}))
}

type benchFanout struct {
	measured
	Connections int           `short:"c" help:"How many clients." default:"1000"`
	OpenTimeout time.Duration `help:"How long all of them may take to connect." default:"1m"`
	Warmup      time.Duration `help:"Not measured." default:"1s"`
	SlowReaders float64       `help:"This share of the clients reads nothing while it is measured." placeholder:"SHARE"`
	Compress    bool          `help:"Offer permessage-deflate."`
	Hello       []string      `sep:"none" help:"A text message that each client sends first; may be repeated." placeholder:"TEXT"`
}

// Run measures deliveries.
func (b *benchFanout) Run(ctx context.Context) error {
	o := bench.FanoutOptions{
		Options: b.options(b.Connections), Warmup: b.Warmup, Hello: b.Hello, SlowReaders: b.SlowReaders, Compress: b.Compress,
	}
	o.OpenTimeout = b.OpenTimeout
	return b.print(bench.Fanout(ctx, o))
}

type benchIdle struct {
	measured
	Connections int           `short:"c" help:"How many connections." default:"8000"`
	Base        int           `help:"Connections at the first reading of memory; the result is the slope from there." default:"1000"`
	Parallel    int           `help:"Handshakes under way at a time." default:"256"`
	Settle      time.Duration `help:"Between the last handshake and a reading of memory." default:"30s"`
	Hello       []string      `sep:"none" help:"A text message that each client sends first; may be repeated." placeholder:"TEXT"`
}

// Run measures idle connections.
func (b *benchIdle) Run(ctx context.Context) error {
	o := bench.IdleOptions{Options: b.options(b.Connections), Base: b.Base, Settle: b.Settle, Hello: b.Hello}
	o.Parallel = b.Parallel
	return b.print(bench.Idle(ctx, o))
}

type benchHandshake struct {
	measured
	Connections int `short:"c" help:"Handshakes under way at a time." default:"16"`
	Rate        int `help:"Handshakes a second; 0: as fast as they can."`
}

// Run measures handshakes.
func (b *benchHandshake) Run(ctx context.Context) error {
	return b.print(bench.Handshake(ctx, bench.HandshakeOptions{Options: b.options(b.Connections), Rate: b.Rate}))
}

type served struct {
	Listen string `help:"Where clients connect." default:"localhost:9000"`
	Loops  int    `help:"Event loops; 0: one a core."`
}

func (s *served) serve(ctx context.Context, what string, make func(*loop.Group) *bench.Server) error {
	g, err := loop.Start(loop.Options{Loops: s.Loops})
	if err != nil {
		return err
	}
	defer g.Stop()
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s on ws://%s\n", what, l.Addr())
	return make(g).Serve(ctx, l)
}

type benchEchoServer struct {
	served
	Greeting string `help:"A text message for every client that comes."`
}

// Run serves echoes until it is interrupted.
func (b *benchEchoServer) Run(ctx context.Context) error {
	o := bench.ServerOptions{}
	if b.Greeting != "" {
		o.Greeting = []byte(b.Greeting)
	}
	return b.serve(ctx, "echo server", func(g *loop.Group) *bench.Server { return bench.EchoServer(g, o) })
}

type benchSource struct {
	served
	Rate  int  `help:"Messages a second, to each client." default:"100"`
	Burst int  `help:"So many at once, and a pause; the rate stays the same." default:"1"`
	Size  int  `help:"Bytes of a message; at least 16, of text 56." default:"200"`
	Text  bool `help:"Send text, not binary." xor:"form"`
	JSON  bool `name:"json" help:"Send text like that of a market." xor:"form"`
}

// Run sends messages until it is interrupted.
func (b *benchSource) Run(ctx context.Context) error {
	o := bench.ServerOptions{Rate: b.Rate, Burst: b.Burst, Size: b.Size}
	switch {
	case b.Text:
		o.Form = bench.FormText
	case b.JSON:
		o.Form = bench.FormJSON
	}
	return b.serve(ctx, "source", func(g *loop.Group) *bench.Server { return bench.Source(g, o) })
}
