//go:build linux

// Command compare measures Sluice beside other proxies and other servers that
// hand a stream to many, and writes a Markdown page of medians and ratios.
//
//	go run ./bench/compare -save run.json -o docs/benchmarks.md
//	go run ./bench/compare -load run.json,more.json -o docs/benchmarks.md
//
// README.md beside it says how it measures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"slices"
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
	save       string   // file for what was measured
	load       []string // files of earlier runs, to make a page of
	out        string   // the page
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
	flag.IntVar(&o.idleRounds, "idle-rounds", 1, "the same for idle memory, which takes about a minute each; at most -rounds")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "of an echo, handshake or fan-out run; some take a multiple")
	flag.DurationVar(&o.settle, "settle", 15*time.Second, "between the last handshake and a reading of idle memory")
	flag.DurationVar(&o.quiet, "quiet", time.Minute, "how long to wait, before each measurement, for others on the machine to be quiet")
	scenarios := flag.String("scenario", "echo,handshake,churn,tls,mixed,storm,idle,fanout", "what to measure: groups, or single names such as echo-100")
	peers := flag.String("peers", "haproxy,nginx,envoy,caddy,reverseproxy,gorilla,centrifuge,nchan,python", "beside whom; none: Sluice alone")
	flag.StringVar(&o.save, "save", "", "write what was measured to this `file` as well, as JSON, after each scenario")
	load := flag.String("load", "", "measure nothing: make the page from these `files` that -save wrote; of a scenario in several the last counts")
	flag.StringVar(&o.out, "o", "", "the page to write, with its charts in a folder beside it; what is behind \""+byHand+"\" in it stays. Without it: standard output")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.idleRounds < 1 || *load != "" && o.save != "" {
		flag.Usage()
		os.Exit(2)
	}
	o.scenarios = strings.Split(*scenarios, ",")
	o.peers = strings.Split(*peers, ",")
	if *load != "" {
		o.load = strings.Split(*load, ",")
	}
	return o
}

func run(ctx context.Context, o options) error {
	if len(o.load) > 0 {
		records, err := loadRecords(o.load)
		if err != nil {
			return err
		}
		return publish(ctx, records, o.out)
	}
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
	r, err := measure(ctx, o, chosen)
	if err != nil {
		return err
	}
	return publish(ctx, []*record{r}, o.out)
}

// measure runs what was chosen. What is done of a run that is interrupted stays
// in the file that -save names.
func measure(ctx context.Context, o options, chosen []*scenario) (*record, error) {
	l, err := newLab(ctx, o)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.findPeers(ctx, chosen); err != nil {
		return nil, err
	}
	for _, s := range l.skipped {
		fmt.Fprintln(os.Stderr, "skipped: "+s)
	}
	l.lay(chosen)
	fmt.Fprintf(os.Stderr, "%d measurements, about %v on a quiet machine\n", l.plan.steps, l.plan.all.Round(time.Second))
	r := l.newRecord()
	for _, s := range chosen {
		t := l.rounds(ctx, s)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.Tables = append(r.Tables, t)
		r.Took = time.Since(r.Began)
		if o.save != "" {
			if err := r.save(o.save); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
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
			return nil, fmt.Errorf("-scenario %s: there is no such scenario; there are %s", a, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return chosen, nil
}
