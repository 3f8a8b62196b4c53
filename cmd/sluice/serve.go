package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/config"
)

// transport is the flag that all servers have.
type transport struct {
	Transport string `help:"How connections are carried: raw is epoll on Linux; stream works everywhere." enum:"raw,stream" default:"raw"`
}

func serve(ctx context.Context, cfg *config.Config, t transport) error {
	a, err := app.New(ctx, cfg, app.Options{Stream: t.Transport == "stream", Log: os.Stderr, Version: version})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

type runCmd struct {
	Config string `short:"c" help:"The configuration file." default:"sluice.yaml"`
	Watch  bool   `help:"Reload the file when it changes; SIGHUP and sluice reload always do." default:"true" negatable:""`
	transport
}

// Run serves a configuration file.
func (c *runCmd) Run(ctx context.Context) error {
	hangups, done := hangups()
	defer done()
	text, err := os.ReadFile(c.Config)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(c.Config, text, os.LookupEnv)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, cfg, app.Options{
		Stream: c.Transport == "stream", Log: os.Stderr, Version: version, File: &app.File{Path: c.Config, Text: text}, Watch: c.Watch,
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go reloadOn(ctx, a, hangups, ended)
	err = a.Run(ctx)
	done()
	<-ended
	return err
}

// reloadOn reloads the configuration at each hangup, until there are no more.
func reloadOn(ctx context.Context, a *app.App, hangups <-chan os.Signal, ended chan<- struct{}) {
	defer close(ended)
	for range hangups {
		_, _ = a.ReloadFile(ctx, "SIGHUP") // it has said what came of it
	}
}

type checkCmd struct {
	Config      string `short:"c" help:"The configuration file." default:"sluice.yaml"`
	PrintConfig bool   `help:"Print the whole configuration, with every default filled in."`
}

// Run checks a configuration file.
func (c *checkCmd) Run() error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if c.PrintConfig {
		os.Stdout.Write(cfg.YAML())
		return nil
	}
	fmt.Printf("%s: ok: %d route(s), %d pool(s)\n", c.Config, len(cfg.Routes), len(cfg.Pools))
	return nil
}

// face are the flags of servers that are made on the command line.
type face struct {
	Listen      []string      `help:"Where clients connect: host:port, or unix:PATH. May be given more than once." default:"localhost:8080"`
	Admin       string        `help:"Where metrics, health and the API are; off for nowhere." default:"localhost:9090"`
	Origins     []string      `name:"origin" help:"Allow browsers from these origins: self, https://example.com, or * for any. Not given: balance and scatter leave it to the instance, fanout allows self." placeholder:"ORIGIN"`
	TLSCert     string        `help:"Certificate chain for the listeners, PEM; read again when it changes." placeholder:"FILE"`
	TLSKey      string        `help:"Its key, PEM." placeholder:"FILE"`
	LogLevel    string        `help:"debug, info, warn or error." default:"info"`
	LogFormat   string        `help:"text or json." default:"text"`
	LogSessions string        `help:"Log lines for sessions: both, close or none." default:"close"`
	Drain       time.Duration `help:"How long a stop may take; closes are spread over it." default:"10s"`
	transport
}

func (f *face) quick() config.QuickServer {
	return config.QuickServer{
		Listen: f.Listen, Admin: f.Admin, Origins: f.Origins, TLSCert: f.TLSCert, TLSKey: f.TLSKey,
		LogLevel: f.LogLevel, LogFormat: f.LogFormat, LogSessions: f.LogSessions, Drain: &f.Drain,
	}
}

type balanceCmd struct {
	Upstreams    []string `arg:"" name:"url" help:"The instances: ws://host:port, wss://host, or unix:PATH. A name stands for all its addresses."`
	Policy       string   `help:"How an instance is chosen: round_robin, random, least_sessions, least_load, hash:ip, hash:header=NAME, hash:query=NAME, hash:cookie=NAME." default:"least_load"`
	StickyCookie string   `help:"Keep a client on its instance by a cookie of this name." placeholder:"NAME"`
	Keep         string   `help:"Keep clients when their instance is lost. Write none if any other instance can go on with their sessions." placeholder:"none"`
	Unproven     string   `help:"With --keep: what becomes of messages that a lost instance may not have read: close (the client), resend or drop." placeholder:"RULE"`
	face
}

// Run balances over the instances given.
func (c *balanceCmd) Run(ctx context.Context) error {
	cfg, err := config.Balanced(config.Quick{
		QuickServer: c.quick(), Upstreams: c.Upstreams, Policy: c.Policy, StickyCookie: c.StickyCookie,
		Keep: c.Keep, Unproven: c.Unproven,
	})
	if err != nil {
		return err
	}
	return serve(ctx, cfg, c.transport)
}

type fanoutCmd struct {
	Sources        []string       `arg:"" name:"url" help:"The source: ws://host:port/path, wss://host/path, or unix:PATH. Several are tried in turn, unless --arbitration says otherwise."`
	Arbitration    string         `sep:"none" help:"What several sources are: standby, tried in turn; merge, all connected and their messages put together; first, all connected and redundant, or first:KEY, KEY being the JSON path of a message's number." default:"standby"`
	Subscribe      []string       `sep:"none" help:"A text message to send to the source after every connect. May be given more than once." placeholder:"TEXT"`
	StreamBy       []string       `help:"What of a request chooses its stream: path, or query=NAME. Not given: all clients share one." placeholder:"WHAT"`
	Backlog        *int           `help:"Messages of the past that a client begins with." placeholder:"N"`
	Greeting       int            `help:"Messages that the source begins with and that each client is to get first." placeholder:"N"`
	Slow           string         `sep:"none" help:"What becomes of a client that can't follow: close, skip, or latest:KEY, KEY being the JSON path of what a message is about." default:"close"`
	ClientMessages string         `help:"What becomes of what clients say: drop, forward or reject." default:"drop"`
	FlushInterval  *time.Duration `help:"Collect messages so long before they are sent; saves CPU." placeholder:"DURATION"`
	face
}

// Run fans a source out.
func (c *fanoutCmd) Run(ctx context.Context) error {
	cfg, err := config.Fanned(config.QuickFanout{
		QuickServer: c.quick(), Sources: c.Sources, Arbitration: c.Arbitration, Subscribe: c.Subscribe, StreamBy: c.StreamBy, Backlog: c.Backlog,
		Greeting: c.Greeting, ClientMessages: c.ClientMessages, Slow: c.Slow, FlushInterval: c.FlushInterval,
	})
	if err != nil {
		return err
	}
	return serve(ctx, cfg, c.transport)
}

type scatterCmd struct {
	Upstreams  []string       `arg:"" name:"url" help:"The instances: ws://host:port, wss://host, or unix:PATH. A name stands for all its addresses."`
	Send       string         `help:"Where a message goes: least_load, round_robin, all, or hash:PATH, PATH being the JSON path of its key." default:"least_load"`
	Gather     string         `help:"How answers come back: interleave (as they come), first (of several), or collect (all in one)." default:"interleave"`
	ID         string         `help:"The JSON path of what pairs answers with messages. Needed for first and collect." placeholder:"PATH"`
	Timeout    *time.Duration `help:"How long the answers to a message with an id are awaited; 0 for ever. Not given: 2s." placeholder:"DURATION"`
	HedgeAfter *time.Duration `help:"With first: a second instance is asked when the first has not answered for so long. Not given: both at once." placeholder:"DURATION"`
	face
}

// Run scatters messages over the instances given.
func (c *scatterCmd) Run(ctx context.Context) error {
	cfg, err := config.Scattered(config.QuickScatter{
		QuickServer: c.quick(), Upstreams: c.Upstreams, Send: c.Send, Gather: c.Gather, ID: c.ID, Timeout: c.Timeout, HedgeAfter: c.HedgeAfter,
	})
	if err != nil {
		return err
	}
	return serve(ctx, cfg, c.transport)
}

// exitCode is 1; what a command found wrong with a measurement is 2.
func exitCode(err error) int {
	var m interface{ ExitCode() int }
	if errors.As(err, &m) {
		return m.ExitCode()
	}
	return 1
}
