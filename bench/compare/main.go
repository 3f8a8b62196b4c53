//go:build linux

// Command compare measures Sluice beside other proxies and other servers that
// hand a stream to many, and writes a Markdown page of medians and ratios.
//
//	go run ./bench/compare -o docs/benchmarks.md
//
// README.md beside it says how it measures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	rounds     int
	idleRounds int
	duration   time.Duration // of an echo or a handshake run
	settle     time.Duration // before memory is read
	quiet      time.Duration // to wait for a machine with nothing else to do
	scenarios  []string      // groups or single names
	peers      []string
	out        string
}

// A child's Pdeathsig fires when the thread that started it ends. Here that is
// the main thread: every child is started by the main goroutine.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, flags())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare: "+err.Error())
		os.Exit(1)
	}
}

func flags() options {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each is measured, in turn")
	flag.IntVar(&o.idleRounds, "idle-rounds", 3, "the same for idle memory, which takes over a minute each; at most -rounds")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "of an echo or a handshake run; mixed takes twice that")
	flag.DurationVar(&o.settle, "settle", 30*time.Second, "between the last handshake and a reading of idle memory")
	flag.DurationVar(&o.quiet, "quiet", time.Minute, "how long to wait, before each measurement, for others on the machine to be quiet")
	scenarios := flag.String("scenario", "echo,handshake,tls,mixed,storm,idle,fanout", "what to measure: groups, or single names such as echo-100")
	peers := flag.String("peers", "haproxy,nginx,reverseproxy,gorilla,centrifuge,python", "beside whom")
	flag.StringVar(&o.out, "o", "", "the page to write; without it: standard output")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.idleRounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	o.scenarios = strings.Split(*scenarios, ",")
	o.peers = strings.Split(*peers, ",")
	return o
}

func run(ctx context.Context, o options) error {
	chosen, err := choose(scenarios(), o.scenarios)
	if err != nil {
		return err
	}
	if err := enoughFiles(); err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		return errors.New("needs two cores: one for the server, one for the load")
	}
	l, err := newLab(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.findPeers(ctx, chosen); err != nil {
		return err
	}
	for _, s := range l.skipped {
		fmt.Fprintln(os.Stderr, "skipped: "+s)
	}
	r := &report{opt: o, skipped: l.skipped, env: l.environment(l.present), began: time.Now()}
	for _, s := range chosen {
		r.tables = append(r.tables, l.rounds(ctx, s))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	r.tls, r.noisy = l.tlsSeen, l.noisy
	return r.save()
}

// choose gives those of all that are asked for by group or name.
func choose(all []*scenario, asked []string) (chosen []*scenario, err error) {
	known := map[string]bool{}
	for _, s := range all {
		known[s.group], known[s.name] = true, true
		for _, a := range asked {
			if a == s.group || a == s.name {
				chosen = append(chosen, s)
				break
			}
		}
	}
	for _, a := range asked {
		if !known[a] {
			return nil, fmt.Errorf("-scenario %s: there is no such scenario", a)
		}
	}
	return chosen, nil
}

func (r *report) save() error {
	var w io.Writer = os.Stdout
	if r.opt.out != "" {
		f, err := os.Create(r.opt.out)
		if err != nil {
			return err
		}
		defer f.Close()
		w = f
	}
	_, err := io.WriteString(w, r.markdown())
	return err
}
