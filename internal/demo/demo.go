package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/bench"
	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
)

// Options are the demo's. Addresses that are taken give way to free ones.
type Options struct {
	Listen, Admin string
	Stream        bool
	Out           io.Writer // what the visitor reads
	Log           io.Writer
	Version       string

	most int // simulated clients; 0: crowdMost
}

// Run shows the demo until ctx ends.
func Run(ctx context.Context, o Options) error {
	group, err := loop.Start(loop.Options{Loops: 1, Stream: o.Stream})
	if err != nil {
		return err
	}
	defer group.Stop()
	d := &demo{group: group}
	defer d.stopAll()
	if err := d.open(ctx); err != nil {
		return err
	}
	page, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer page.Close()
	cfg, err := d.config(o, page.Addr())
	if err != nil {
		return err
	}
	a, err := app.New(ctx, cfg, app.Options{Stream: o.Stream, Log: hushed{o.Log, d.quotes.mortal.url()}, Version: o.Version})
	if err != nil {
		return err
	}
	f, err := openFeed(ctx, d.market, a, cmp.Or(o.most, crowdMost))
	if err != nil {
		return err
	}
	defer f.crowd.Close()
	d.show.behind(a.Addresses()[0].String(), cfg)
	d.servePage(ctx, page, f)
	d.say(o, a)
	return a.Run(ctx)
}

// open starts all that is to be in front of.
func (d *demo) open(ctx context.Context) (err error) {
	if err = d.openMarket(ctx); err != nil {
		return err
	}
	if err = d.openServers(); err != nil {
		return err
	}
	if d.show, err = openFailover(tilesFor(openFiles())); err != nil {
		return err
	}
	d.quotes, err = openQuotes()
	return err
}

// openServers starts the echo servers.
func (d *demo) openServers() error {
	for _, name := range []string{"a", "b", "c"} {
		i, err := d.add(name)
		if err != nil {
			return err
		}
		i.hello = []byte(`{"instance":"` + name + `"}`)
		d.instances = append(d.instances, i)
		if err := i.start(); err != nil {
			return err
		}
	}
	return nil
}

// say tells the visitor where to look.
func (d *demo) say(o Options, a *app.App) {
	at, admin := a.Addresses()[0], a.AdminAddress()
	shown := func(addr net.Addr) string { return "localhost:" + port(addr.String()) }
	fmt.Fprintln(o.Out, "A market feed and three echo servers, and Sluice in front of them, in one process.")
	fmt.Fprintln(o.Out)
	fmt.Fprintf(o.Out, "  page     http://%s/         add 1,000 clients to the feed, kill its source, stop a server\n", shown(at))
	fmt.Fprintf(o.Out, "  failover http://%s/failover kill an instance under 200 sessions, beside httputil.ReverseProxy; roll a deploy\n", shown(at))
	fmt.Fprintf(o.Out, "  quotes   http://%s/quotes   ask three instances at once, one slow, one dying: the first answer, and all of them\n", shown(at))
	fmt.Fprintf(o.Out, "  feed     ws://%s/feed       or: curl -N -H 'Accept: text/event-stream' http://%s/feed\n", shown(at), shown(at))
	fmt.Fprintf(o.Out, "  echo     ws://%s/ws         for a client of your own\n", shown(at))
	if admin != nil {
		fmt.Fprintf(o.Out, "  admin    http://%s/api      instances, load, counts; /metrics\n", shown(admin))
	}
	fmt.Fprintln(o.Out)
	for want, got := range map[string]net.Addr{o.Listen: at, o.Admin: admin} {
		if p := port(want); got != nil && p != "0" && p != port(got.String()) {
			fmt.Fprintf(o.Out, "  %s is taken by somebody else; %s is used instead.\n", want, shown(got))
		}
	}
	fmt.Fprintln(o.Out, "  Ctrl-C ends it.")
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// config is what a user would write to have this.
func (d *demo) config(o Options, page net.Addr) (*config.Config, error) {
	text := fmt.Sprintf(`
listen: {address: %q}
admin: {address: %q}
log: {level: warn, sessions: none}
drain: 1s
routes:
  - name: feed
    match: {path: /feed}
    fanout:
      source: %q
      linger: 1h
      backlog: 60
      slow: {policy: latest, key: symbol, notice: '{"sluice":{"lost":{{.Lost}},"offset":{{json .Offset}}}}'}
  - name: echo
    match: {path: /ws}
    origins: [self]
    balance:
      upstreams: [%q, %q, %q]
      health: {interval: 500ms, timeout: 500ms, rise: 1, fall: 2}
      failover: {spread: 1s}
%s%s
  - name: page
    balance: {upstreams: [%q]}
%s`, free(o.Listen), free(o.Admin), d.market.url(), d.instances[0].url(), d.instances[1].url(), d.instances[2].url(), d.show.route(), quotesRoutes, "ws://"+page.String(), d.quotes.pool())
	return config.Parse("demo", []byte(text), func(string) (string, bool) { return "", false })
}

// free gives address, or one with a port of the system's choice when it is
// taken.
func free(address string) string {
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
		return address
	}
	host, _, split := net.SplitHostPort(address)
	if split != nil || !errors.Is(err, syscall.EADDRINUSE) {
		return address // it is not that; the configuration says what it is
	}
	return net.JoinHostPort(host, "0")
}

// demo is the cast: the instances and who starts and stops them.
type demo struct {
	group     *loop.Group
	instances []*instance
	market    *market
	show      *failover
	quotes    *quotes
}

// instance is an echo server that can be killed and started again at the same
// address.
type instance struct {
	demo *demo
	name string
	addr string

	mu     sync.Mutex // guards what follows
	server *bench.Server
	hello  []byte             // to each client that comes; nil: nothing
	cancel context.CancelFunc // nil while it is stopped
	over   bool               // it stays stopped
	ended  chan struct{}
}

// add makes an instance with an address of its own.
func (d *demo) add(name string) (*instance, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &instance{demo: d, name: name, addr: l.Addr().String()}, nil
}

func (i *instance) url() string { return "ws://" + i.addr }

// start starts a stopped instance.
func (i *instance) start() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cancel != nil || i.over {
		return nil
	}
	l, err := net.Listen("tcp", i.addr)
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, i.cancel = context.WithCancel(context.Background())
	i.server = bench.EchoServer(i.demo.group, bench.ServerOptions{Greeting: i.hello})
	i.ended = make(chan struct{})
	go i.run(ctx, l)
	return nil
}

func (i *instance) run(ctx context.Context, l net.Listener) {
	defer close(i.ended)
	_ = i.server.Serve(ctx, l) // it is killed
}

// stop kills a running instance: its connections break without a word.
func (i *instance) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopLocked()
}

// end stops it for good.
func (i *instance) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	i.stopLocked()
}

func (i *instance) stopLocked() {
	if i.cancel == nil {
		return
	}
	i.cancel()
	i.cancel = nil
	<-i.ended
}

func (d *demo) stopAll() {
	for _, i := range d.instances {
		i.end()
	}
	if d.market != nil {
		d.market.end()
	}
	if d.show != nil {
		d.show.close()
	}
	if d.quotes != nil {
		d.quotes.close()
	}
}

// state is an instance as the page sees it.
type state struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Running bool   `json:"running"`
	Clients int    `json:"clients"`
}

func (i *instance) state() state {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := state{Name: i.name, Address: i.addr, Running: i.cancel != nil}
	if s.Running {
		s.Clients = i.server.Clients()
	}
	return s
}

const pageTimeout = 5 * time.Second
