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
	transport
}

// Run serves a configuration file.
func (c *runCmd) Run(ctx context.Context) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	return serve(ctx, cfg, c.transport)
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

type balanceCmd struct {
	Upstreams    []string      `arg:"" name:"url" help:"The instances: ws://host:port, wss://host, or unix:PATH. A name stands for all its addresses."`
	Listen       []string      `help:"Where clients connect: host:port, or unix:PATH. May be given more than once." default:"localhost:8080"`
	Admin        string        `help:"Where metrics, health and the API are; off for nowhere." default:"localhost:9090"`
	Policy       string        `help:"How an instance is chosen: round_robin, random, least_sessions, least_load, hash:ip, hash:header=NAME, hash:query=NAME, hash:cookie=NAME." default:"least_load"`
	StickyCookie string        `help:"Keep a client on its instance by a cookie of this name." placeholder:"NAME"`
	Origins      []string      `name:"origin" help:"Allow browsers from these origins only: self, or https://example.com. Not given: the instance judges." placeholder:"ORIGIN"`
	TLSCert      string        `help:"Certificate chain for the listeners, PEM; read again when it changes." placeholder:"FILE"`
	TLSKey       string        `help:"Its key, PEM." placeholder:"FILE"`
	LogLevel     string        `help:"debug, info, warn or error." default:"info"`
	LogFormat    string        `help:"text or json." default:"text"`
	LogSessions  string        `help:"Log lines for sessions: both, close or none." default:"close"`
	Drain        time.Duration `help:"How long a stop may take; closes are spread over it." default:"10s"`
	transport
}

// Run balances over the instances given.
func (c *balanceCmd) Run(ctx context.Context) error {
	cfg, err := config.Balanced(config.Quick{
		QuickServer: config.QuickServer{
			Listen: c.Listen, Admin: c.Admin, Origins: c.Origins, TLSCert: c.TLSCert, TLSKey: c.TLSKey,
			LogLevel: c.LogLevel, LogFormat: c.LogFormat, LogSessions: c.LogSessions, Drain: &c.Drain,
		},
		Upstreams: c.Upstreams, Policy: c.Policy, StickyCookie: c.StickyCookie,
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
