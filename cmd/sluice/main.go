// Command sluice is a WebSocket proxy that understands messages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sluice-proxy/sluice/internal/config"
)

// version is set when a release is built; else it is what the build knows.
var version string

func init() {
	if version != "" {
		return
	}
	version = "dev"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
}

const about = `A WebSocket proxy that understands messages.

  sluice demo                                   see it work, with nothing else installed
  sluice balance ws://a:9000 ws://b:9000        spread sessions over two servers
  sluice fanout wss://feed.example.com/         one connection to it, any number of clients
  sluice scatter ws://a:9000 ws://b:9000        each message to the instance it belongs to
  sluice run -c sluice.yaml                     everything, from a file`

type cli struct {
	Balance balanceCmd `cmd:"" help:"Spread sessions over instances of a WebSocket server."`
	Fanout  fanoutCmd  `cmd:"" help:"Hand the stream of one WebSocket source to any number of clients."`
	Scatter scatterCmd `cmd:"" help:"Send each message of a session to the instance it belongs to, and gather the answers."`
	Run     runCmd     `cmd:"" help:"Run what a configuration file says."`
	Check   checkCmd   `cmd:"" help:"Check a configuration file; errors name line and column."`
	Demo    demoCmd    `cmd:"" help:"Show the main job in one process: servers, proxy and a page to watch."`
	Bench   benchCmd   `cmd:"" help:"Load generators and stamped servers, to measure any WebSocket server or proxy."`
	Reload  reloadCmd  `cmd:"" help:"Have a running Sluice read its configuration file again."`
	Drain   drainCmd   `cmd:"" help:"Have a running Sluice take no new session to an instance, and let go of those it has."`
	Undrain undrainCmd `cmd:"" help:"Have a running Sluice use a drained instance again."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("sluice"), kong.Description(about),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.ShortUsageOnError(), kong.Exit(exit))
	ctx, stop := untilSignal()
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		complain(err)
		stop()
		os.Exit(exitCode(err))
	}
}

// exit makes every wrong command line end with 1.
func exit(code int) { os.Exit(min(code, 1)) }

// complain prints an error; one that names a place in a file begins with it.
func complain(err error) {
	var places config.Errors
	if errors.As(err, &places) && places[0].Line > 0 {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Fprintln(os.Stderr, "sluice: "+err.Error())
}

// untilSignal gives a context that ends with the first SIGINT or SIGTERM. The
// second ends the process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go awaitSignals(c, cancel)
	return ctx, cancel
}

func awaitSignals(c <-chan os.Signal, cancel context.CancelFunc) {
	<-c
	cancel()
	<-c
	os.Exit(130)
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run() error {
	fmt.Println("sluice " + version)
	return nil
}
