package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
)

// leftRoute is the left panel's, with its three instances to be filled in.
// An instance answers one message before it reads the next, so that what is
// proven read is answered: nothing of it need be held.
const leftRoute = `
  - name: tiles
    match: {path: ` + leftPath + `}
    balance:
      upstreams: [%q, %q, %q]
      policy: least_sessions
      health: {interval: 500ms, timeout: 500ms, rise: 1, fall: 2}
      failover: {client: keep, state: none, unproven: resend, hold: 0s}
      move: {rate: 100, quiet: 50ms, rebalance: true}
`

const (
	leftPath   = "/tiles"
	tilesMost  = 200 // in each panel
	tilesLeast = 10
	// A tile takes four descriptors: of the client, the proxy (two) and the
	// instance.
	tileFiles = 4
)

// failover is two panels of sessions over the same three instances: one
// through Sluice, the other through httputil.ReverseProxy.
type failover struct {
	// Set once, then read-only.
	ctx       context.Context // of deploys
	end       context.CancelFunc
	instances []*answerer
	proxy     *http.Server  // the right panel's
	right     string        // its address
	left      string        // Sluice's; see behind
	client    string        // what Sluice's failover does with clients
	size      int           // tiles of a panel
	restart   time.Duration // an instance's next version takes
	pause     time.Duration // of a deploy, between instances

	mu        sync.Mutex // guards what follows
	over      bool
	panels    [2]*panel // left and right; nil before the first visitor
	stop      context.CancelFunc
	callers   *sync.WaitGroup // of the panels
	deploying bool

	works sync.WaitGroup // the proxy and deploys
}

// tilesFor is the size of panels in a process that may have so many files.
func tilesFor(files int) int {
	return max(tilesLeast, min(tilesMost, (files-filesPage)/(2*tileFiles)))
}

// openFailover starts the instances and the right panel's proxy.
func openFailover(size int) (*failover, error) {
	f := &failover{size: size, restart: 700 * time.Millisecond, pause: 3 * time.Second}
	f.ctx, f.end = context.WithCancel(context.Background())
	var hosts []string
	for _, name := range []string{"a", "b", "c"} {
		a, err := newAnswerer(name)
		if err == nil {
			err = a.start()
		}
		if err != nil {
			f.close()
			return nil, err
		}
		f.instances = append(f.instances, a)
		hosts = append(hosts, a.addr)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.close()
		return nil, err
	}
	f.proxy, f.right = newReverseProxy(hosts), l.Addr().String()
	f.works.Add(1)
	go f.serveRight(l)
	return f, nil
}

// route is what Sluice needs to stand before the instances.
func (f *failover) route() string {
	return fmt.Sprintf(leftRoute, f.instances[0].url(), f.instances[1].url(), f.instances[2].url())
}

// behind says where Sluice stands, and how it is configured.
func (f *failover) behind(addr string, cfg *config.Config) {
	f.left = addr
	for _, r := range cfg.Routes {
		if r.Name == "tiles" {
			f.client = r.Balance.Failover.Client
		}
	}
}

func (f *failover) serveRight(l net.Listener) {
	defer f.works.Done()
	serveUntilClosed(f.proxy, l)
}

// close ends the show.
func (f *failover) close() {
	f.end()
	f.mu.Lock()
	f.over = true
	f.leave()
	f.mu.Unlock()
	if f.proxy != nil {
		f.proxy.Close()
	}
	f.works.Wait()
	for _, a := range f.instances {
		a.end()
	}
}

// begin has the sessions come that are not there yet. Until somebody looks
// there are none.
func (f *failover) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panels[0] == nil {
		f.come()
	}
}

// again has other sessions come in the place of those that are there, to
// instances that all run, and begins all counts at zero.
func (f *failover) again() error {
	for _, a := range f.instances {
		if err := a.start(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leave()
	f.come()
	return nil
}

// come starts the callers of both panels, spread over a second; f.mu is held.
func (f *failover) come() {
	if f.over {
		return
	}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background())
	f.callers = &sync.WaitGroup{}
	for side, at := range []string{f.left, f.right} {
		p := newPanel(f.size)
		f.panels[side] = p
		for k := range f.size {
			c := &caller{panel: p, k: k, addr: at, target: leftPath}
			f.callers.Add(1)
			go f.call(ctx, c)
		}
	}
}

func (f *failover) call(ctx context.Context, c *caller) {
	defer f.callers.Done()
	pause(ctx, callEvery*time.Duration(c.k*7%f.size)/time.Duration(f.size))
	c.run(ctx)
}

// leave has all callers go, and waits for them; f.mu is held.
func (f *failover) leave() {
	if f.stop != nil {
		f.stop()
		f.callers.Wait()
	}
}

// deploy starts a rolling deploy, unless one is under way.
func (f *failover) deploy() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deploying || f.over {
		return
	}
	f.deploying = true
	f.works.Add(1)
	go f.runDeploy()
}

func (f *failover) runDeploy() {
	defer f.works.Done()
	f.roll()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deploying = false
}

// roll replaces the instances one after the other.
func (f *failover) roll() {
	for _, a := range f.instances {
		a.retire()
		a.upgrade()
		pause(f.ctx, f.restart)
		if f.ctx.Err() != nil {
			return
		}
		_ = a.start() // its address is taken: the page shows that it stays away
		pause(f.ctx, f.pause)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
