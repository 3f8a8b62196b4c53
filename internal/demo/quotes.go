package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// quotesPool has the pricers. One of them dies all the time, and is to be asked
// as soon as it is back: no outlier is kept away for longer.
const quotesPool = `
pools:
  quotes:
    upstreams: [%q, %q, %q]
    health: {interval: 500ms, timeout: 500ms, rise: 1, fall: 2, outliers: false}
`

// quotesRoutes ask them all, and differ in what the client gets of it.
const quotesRoutes = `
  - name: quotes-first
    match: {path: /quotes/first}
    origins: [self]
    scatter:
      pool: quotes
      send: all
      gather: {policy: first, id: id, timeout: 1s}
  - name: quotes-all
    match: {path: /quotes/all}
    origins: [self]
    scatter:
      pool: quotes
      send: all
      gather: {policy: collect, id: id, timeout: 600ms}
`

// quotes is three instances that are asked for prices at once: a quick one, a
// slow one, and one that dies every few seconds while somebody looks.
type quotes struct {
	// Set once, then read-only.
	pricers []*pricer
	mortal  *pricer       // one of them
	life    time.Duration // of the mortal one, at least; and less than twice that
	death   time.Duration // likewise

	mu      sync.Mutex // guards what follows
	over    bool
	looking int // visitors
	stop    context.CancelFunc

	works sync.WaitGroup // lives
}

// openQuotes starts the instances.
func openQuotes() (*quotes, error) {
	q := &quotes{life: 3 * time.Second, death: time.Second}
	from := newPrices()
	for _, name := range []string{"a", "b", "c"} {
		p, err := newPricer(name, from)
		if err == nil {
			err = p.start()
		}
		if err != nil {
			q.close()
			return nil, err
		}
		q.pricers = append(q.pricers, p)
	}
	q.pricers[1].slow = true
	q.mortal = q.pricers[2]
	return q, nil
}

// pool is what Sluice has to know of the instances.
func (q *quotes) pool() string {
	return fmt.Sprintf(quotesPool, q.pricers[0].url(), q.pricers[1].url(), q.pricers[2].url())
}

// close ends the show.
func (q *quotes) close() {
	q.mu.Lock()
	q.over = true
	if q.stop != nil {
		q.stop()
	}
	q.mu.Unlock()
	q.works.Wait()
	for _, p := range q.pricers {
		p.end()
	}
}

// look has the mortal one die now and then, until the last of those who look
// has looked away.
func (q *quotes) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.looking++; q.looking > 1 || q.over {
		return
	}
	var ctx context.Context
	ctx, q.stop = context.WithCancel(context.Background())
	q.works.Add(1)
	go q.live(ctx)
}

func (q *quotes) lookAway() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.looking--; q.looking == 0 && q.stop != nil {
		q.stop()
	}
}

// live kills the mortal one and brings it back until ctx ends, when it is there.
func (q *quotes) live(ctx context.Context) {
	defer q.works.Done()
	for {
		pause(ctx, q.life+rand.N(q.life))
		if ctx.Err() != nil {
			return
		}
		q.mortal.kill()
		pause(ctx, q.death+rand.N(q.death))
		q.mortal.revive()
	}
}

// hushed is a log without lines about the instance that dies all the time: its
// deaths are the page's to tell.
type hushed struct {
	io.Writer
	of string // its URL
}

// Write takes one line.
func (h hushed) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("instance="+h.of+" ")) {
		return len(line), nil
	}
	return h.Writer.Write(line)
}
