package bench

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// Options are what all measurements have.
type Options struct {
	URL         string
	Connections int
	Duration    time.Duration
	PIDs        []int         // processes whose CPU and memory are read
	Parallel    int           // handshakes under way at a time, while opening
	Progress    io.Writer     // a line a second goes there; nil: none
	Loops       int           // 0: one a core
	OpenTimeout time.Duration // for all to be connected; 0: a minute
}

// crowd opens and counts clients. Its counters are for any goroutine.
type crowd struct {
	group    *loop.Group
	target   *target
	tickets  chan struct{} // handshakes that may be under way
	opened   atomic.Int64
	live     atomic.Int64
	errors   atomic.Uint64
	done     chan struct{} // a value for each client that has ended
	stopping atomic.Bool

	mu       sync.Mutex // guards firstErr
	firstErr error
}

func newCrowd(ctx context.Context, o *Options) (*crowd, error) {
	if o.Connections < 1 {
		return nil, fmt.Errorf("%d connections: at least one is needed", o.Connections)
	}
	t, err := newTarget(ctx, o.URL)
	if err != nil {
		return nil, err
	}
	g, err := loop.Start(loop.Options{Loops: o.Loops})
	if err != nil {
		return nil, err
	}
	return &crowd{group: g, target: t, tickets: make(chan struct{}, max(o.Parallel, 1)), done: make(chan struct{}, 1<<20)}, nil
}

// start opens n clients, so many at a time, and waits until all are open or
// have failed.
func (c *crowd) start(ctx context.Context, n int, timeout time.Duration, make func() *client) ([]*client, error) {
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	clients := []*client{}
	loops := c.group.Loops()
	for i := range n {
		select {
		case c.tickets <- struct{}{}:
		case <-ctx.Done():
			return clients, c.incomplete(n)
		}
		cl := make()
		cl.target = c.target
		clients = append(clients, cl)
		loops[i%len(loops)].Post(cl)
	}
	for held := range cap(c.tickets) { // the last ones
		select {
		case c.tickets <- struct{}{}:
		case <-ctx.Done():
			c.release(held)
			return clients, c.incomplete(n)
		}
	}
	c.release(cap(c.tickets))
	return clients, c.first()
}

// release gives tickets back.
func (c *crowd) release(n int) {
	for range n {
		<-c.tickets
	}
}

func (c *crowd) incomplete(n int) error {
	if err := c.first(); err != nil {
		return err
	}
	return fmt.Errorf("only %d of %d connections came to be in time", c.opened.Load(), n)
}

// joined is called for each client that is open.
func (c *crowd) joined() {
	c.opened.Add(1)
	c.live.Add(1)
	<-c.tickets
}

// gone is called for each client that has ended.
func (c *crowd) gone(cl *client, err error) {
	if err != nil && !(c.stopping.Load() && cl.closing) {
		c.errors.Add(1)
		c.mu.Lock()
		if c.firstErr == nil {
			c.firstErr = err
		}
		c.mu.Unlock()
	}
	if cl.open {
		c.live.Add(-1)
	} else {
		<-c.tickets // start, which waits for the last of them, finds the error
	}
	c.done <- struct{}{}
}

// forget lets clients that failed earlier be.
func (c *crowd) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.firstErr = nil
}

func (c *crowd) first() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.firstErr
}

// fill puts the crowd's errors into r.
func (c *crowd) fill(r *Result) {
	r.Errors = c.errors.Load()
	if err := c.first(); err != nil {
		r.FirstError = err.Error()
	}
}

// closing has a client leave, on its loop.
type closing client

// Run begins the client's closing handshake.
func (t *closing) Run(*loop.Loop) {
	c := (*client)(t)
	if c.open {
		c.close()
	}
}

// finish closes all clients and waits for them, for so long.
func (c *crowd) finish(clients []*client, wait time.Duration) {
	c.stopping.Store(true)
	for _, cl := range clients {
		if l := cl.conn.Loop(); l != nil {
			l.Post((*closing)(cl))
		}
	}
	deadline := time.After(wait)
	for c.live.Load() > 0 {
		select {
		case <-c.done:
		case <-deadline:
			return
		}
	}
}

// watch calls line every second until ctx ends, and writes what it gives.
func watch(ctx context.Context, w io.Writer, line func() string) {
	if w == nil {
		return
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprint(w, "\r\x1b[K")
			return
		case <-t.C:
			fmt.Fprint(w, "\r\x1b[K"+line())
		}
	}
}

// meter reads what processes have used since it was made.
type meter struct {
	pids  []int
	began time.Time
	cpu   time.Duration
}

func newMeter(pids []int) (*meter, error) {
	m := &meter{pids: pids, began: time.Now()}
	var err error
	if len(pids) > 0 {
		m.cpu, err = cpuOf(pids)
	}
	return m, err
}

// read gives the time since the meter was made, and the processor time.
func (m *meter) read() (elapsed, cpu time.Duration, err error) {
	elapsed = time.Since(m.began)
	if len(m.pids) > 0 {
		now, err := cpuOf(m.pids)
		return elapsed, now - m.cpu, err
	}
	return elapsed, 0, nil
}
