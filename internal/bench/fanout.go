package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// FanoutOptions are those of clients that listen to a stamped source, or to a
// server that hands its stream on.
type FanoutOptions struct {
	Options
	Warmup      time.Duration // not measured
	Hello       []string      // text messages that each client sends first
	SlowReaders float64       // this share of the clients reads nothing while it is measured
	Compress    bool          // offer permessage-deflate
	Drain       time.Duration // for all to come as far as the first of them; 0: 5 s
}

// fanout is one measurement. What belongs to a loop is in cells.
type fanout struct {
	crowd *crowd
	opt   FanoutOptions
	cells []fanoutCell
	made  int // subscribers
}

// fanoutCell is a loop's part. The loop owns it; see each.
type fanoutCell struct {
	subscribers []*subscriber
	h           *hdrhistogram.Histogram
	count       uint64 // of what was delivered while it was measured: messages
	payload     uint64 // and bytes of them
	wire        uint64 // as they came
	faults      faults
	inflater    inflater
	textAt      int // where the text of messages has its stamp
	measuring   bool
	over        bool
	_           [64]byte
}

// Fanout measures deliveries. Every client must see each number from its first
// to the highest that any of them saw, in order.
func Fanout(ctx context.Context, o FanoutOptions) (*Result, error) {
	if o.SlowReaders < 0 || o.SlowReaders >= 1 {
		return nil, fmt.Errorf("a share of %v slow readers: at least 0, and less than 1", o.SlowReaders)
	}
	c, err := newCrowd(ctx, &o.Options)
	if err != nil {
		return nil, err
	}
	defer c.group.Stop()
	f := &fanout{crowd: c, opt: o, cells: make([]fanoutCell, len(c.group.Loops()))}
	for i := range f.cells {
		f.cells[i].h = newHistogram()
	}
	clients, err := c.start(ctx, o.Connections, o.OpenTimeout, f.subscriber)
	if err != nil {
		return nil, err
	}
	return f.measure(ctx, clients)
}

// subscriber makes the next client. Slow ones are spread evenly.
func (f *fanout) subscriber() *client {
	s := &subscriber{f: f}
	s.job, s.keep = s, joinedMost
	if f.opt.Compress {
		s.offer.Deflate = []string{deflateOffer}
	}
	share := func(n int) float64 { return math.Round(f.opt.SlowReaders * float64(n)) }
	s.slow = share(f.made+1) > share(f.made)
	f.made++
	return &s.client
}

func (f *fanout) measure(ctx context.Context, clients []*client) (*Result, error) {
	pause(ctx, f.opt.Warmup)
	m, err := newMeter(f.opt.PIDs)
	if err != nil {
		return nil, err
	}
	own, errOwn := newMeter([]int{os.Getpid()})
	f.each((*fanoutCell).begin)
	f.watched(ctx)
	f.each(func(c *fanoutCell) { c.measuring = false })
	elapsed, cpu, err := m.read()
	if err != nil {
		return nil, err
	}
	r := &Result{Connections: f.opt.Connections, Elapsed: elapsed}
	r.Scenario = fmt.Sprintf("fan-out to %d clients", f.opt.Connections)
	r.Expected, r.Received = f.reconcile(cmp.Or(f.opt.Drain, 5*time.Second))
	f.result(r, cpu)
	if _, used, err := own.read(); errors.Join(err, errOwn) == nil && r.Count > 0 {
		r.LoadCPU = float64(used.Nanoseconds()) / 1e3 / float64(r.Count)
	}
	f.crowd.finish(clients, 5*time.Second)
	f.crowd.fill(r)
	return r, nil
}

// watched waits for the end of the time that is measured, and shows progress.
func (f *fanout) watched(ctx context.Context) {
	wctx, cancel := context.WithTimeout(ctx, f.opt.Duration)
	defer cancel()
	if f.opt.Progress == nil {
		<-wctx.Done()
		return
	}
	last := uint64(0)
	watch(wctx, f.opt.Progress, func() string {
		now := f.sum(func(c *fanoutCell) uint64 { return c.count })
		line := fmt.Sprintf("%d clients, %d deliveries a second", f.crowd.live.Load(), now-last)
		last = now
		return line
	})
}

// each has what called for every cell, on its loop, and waits for all.
func (f *fanout) each(what func(*fanoutCell)) {
	var wg sync.WaitGroup
	for i, l := range f.crowd.group.Loops() {
		wg.Add(1)
		l.Post(&cellTask{&f.cells[i], what, &wg})
	}
	wg.Wait()
}

type cellTask struct {
	cell *fanoutCell
	what func(*fanoutCell)
	wg   *sync.WaitGroup
}

// Run does what is to be done on the loop.
func (t *cellTask) Run(*loop.Loop) {
	t.what(t.cell)
	t.wg.Done()
}

func (f *fanout) sum(what func(*fanoutCell) uint64) (n uint64) {
	var mu sync.Mutex
	f.each(func(c *fanoutCell) {
		v := what(c)
		mu.Lock()
		n += v
		mu.Unlock()
	})
	return n
}

// begin ends the warm-up.
func (c *fanoutCell) begin() {
	c.measuring = true
	for _, s := range c.subscribers {
		if s.slow {
			s.conn.Pause()
		}
	}
}

// reconcile lets all clients come as far as the first of them, waits for that
// no longer than it may, and tells how many messages there were for them, and
// how many have come.
func (f *fanout) reconcile(wait time.Duration) (expected, received uint64) {
	var mu sync.Mutex
	first, end := uint64(math.MaxUint64), uint64(0)
	f.each(func(c *fanoutCell) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range c.subscribers {
			if s.seq.received > 0 {
				first, end = min(first, s.seq.first), max(end, s.seq.next)
			}
		}
	})
	behind := func(c *fanoutCell) (n uint64) {
		for _, s := range c.subscribers {
			if !s.slow && s.conn.Live() && s.seq.next < end {
				n++
			}
		}
		return n
	}
	for until := time.Now().Add(wait); f.sum(behind) > 0 && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	first = min(first, end)
	expected = f.sum(func(c *fanoutCell) uint64 { return c.end(first, end) })
	received = f.sum(func(c *fanoutCell) (n uint64) {
		for _, s := range c.subscribers {
			n += s.seq.received
		}
		return n
	})
	return expected, received
}

// end ends the counting, and tells how many messages there were for the
// clients. One that has seen none should have seen what is known of the stream.
func (c *fanoutCell) end(first, end uint64) (expected uint64) {
	c.over = true
	for _, s := range c.subscribers {
		switch {
		case s.slow:
			s.conn.Resume()
		case s.seq.received > 0:
			expected += s.seq.expected(end)
		default:
			expected += max(end-first, 1)
		}
	}
	return expected
}

func (f *fanout) result(r *Result, cpu time.Duration) {
	h := newHistogram()
	for i := range f.cells { // nobody writes there any more
		c := &f.cells[i]
		h.Merge(c.h)
		r.Count += c.count
		r.Payload += c.payload
		r.Wire += c.wire
		r.Gaps += c.faults.gaps
		r.Duplicates += c.faults.duplicates
		r.Reordered += c.faults.reordered
		r.Wrong += c.faults.wrong
	}
	r.Latency = latency(h)
	r.rate(cpu)
}
