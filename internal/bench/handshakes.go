package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// HandshakeOptions are those of clients that connect, close, and connect
// again: so many at a time, at a rate or as fast as they can.
type HandshakeOptions struct {
	Options
	Rate int // connects a second, of all; 0: as fast as they can
}

type handshakeJob struct {
	crowd  *crowd
	asked  atomic.Uint64
	joined atomic.Uint64
	cells  []*hdrhistogram.Histogram // a loop each
	again  chan struct{}             // a client has ended
}

// Handshake measures connects.
func Handshake(ctx context.Context, o HandshakeOptions) (*Result, error) {
	if o.Connections < 1 || o.Rate < 0 || o.Rate > int(time.Second) {
		return nil, fmt.Errorf("%d connections at a rate of %d: at least one, and a rate from 0 to 1e9", o.Connections, o.Rate)
	}
	o.Parallel = o.Connections
	c, err := newCrowd(ctx, &o.Options)
	if err != nil {
		return nil, err
	}
	defer c.group.Stop()
	j := &handshakeJob{crowd: c, again: make(chan struct{}, o.Connections)}
	for range c.group.Loops() {
		j.cells = append(j.cells, newHistogram())
	}
	m, err := newMeter(o.PIDs)
	if err != nil {
		return nil, err
	}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go watch(wctx, o.Progress, j.progress())
	j.drive(ctx, &o)
	elapsed, cpu, err := m.read()
	if err != nil {
		return nil, err
	}
	h := newHistogram()
	for _, cell := range j.cells {
		h.Merge(cell)
	}
	r := &Result{Scenario: "handshakes", Connections: o.Connections, Elapsed: elapsed, Count: j.joined.Load(),
		Latency: latency(h), Expected: j.asked.Load(), Received: j.joined.Load()}
	r.rate(cpu)
	c.fill(r)
	return r, nil
}

// drive keeps clients coming until the time is up, then waits for the last.
func (j *handshakeJob) drive(ctx context.Context, o *HandshakeOptions) {
	end := time.After(o.Duration)
	var pace <-chan time.Time
	if o.Rate > 0 {
		t := time.NewTicker(time.Second / time.Duration(o.Rate))
		defer t.Stop()
		pace = t.C
	}
	loops := j.crowd.group.Loops()
	under := 0
	for n := 0; ; n++ {
		for under >= o.Connections {
			select {
			case <-j.again:
				under--
			case <-ctx.Done():
				j.rest(under)
				return
			case <-end:
				j.rest(under)
				return
			}
		}
		select {
		case <-ctx.Done():
			j.rest(under)
			return
		case <-end:
			j.rest(under)
			return
		default:
		}
		if pace != nil {
			<-pace
		}
		j.crowd.tickets <- struct{}{}
		j.asked.Add(1)
		under++
		loops[n%len(loops)].Post(&client{job: j, target: j.crowd.target})
	}
}

func (j *handshakeJob) rest(under int) {
	deadline := time.After(2 * time.Second)
	for ; under > 0; under-- {
		select {
		case <-j.again:
		case <-deadline:
			return
		}
	}
}

func (j *handshakeJob) progress() func() string {
	last := uint64(0)
	return func() string {
		now := j.joined.Load()
		s := fmt.Sprintf("%d handshakes a second", now-last)
		last = now
		return s
	}
}

func (j *handshakeJob) opened(c *client) {
	j.crowd.joined()
	j.joined.Add(1)
	l := c.conn.Loop()
	_ = j.cells[l.Index].RecordValue(max(int64(l.Now()-c.began), 1)) // over a minute is not counted
	c.close()
}

func (j *handshakeJob) message(*client, []byte, int, int64) {}

func (j *handshakeJob) ended(c *client, err error) {
	j.crowd.gone(c, err)
	<-j.crowd.done
	j.again <- struct{}{}
}
