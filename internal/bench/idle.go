package bench

import (
	"context"
	"fmt"
	"time"
)

// IdleOptions are those of connections that are held and say nothing.
type IdleOptions struct {
	Options
	Base   int           // connections at the first reading of memory
	Settle time.Duration // between the last handshake and a reading
	Hello  []string      // text messages that each client sends first
}

// holdJob is a client that is there.
type holdJob struct {
	crowd *crowd
	hello []string
}

func (j *holdJob) opened(c *client) {
	c.greet(j.hello)
	j.crowd.joined()
}

func (j *holdJob) message(*client, []byte, int, int64) {}
func (j *holdJob) ended(c *client, err error)          { j.crowd.gone(c, err) }

// Idle holds connections. With PIDs it reads resident memory at Base and at
// all of them, and gives the slope.
func Idle(ctx context.Context, o IdleOptions) (*Result, error) {
	c, err := newCrowd(ctx, &o.Options)
	if err != nil {
		return nil, err
	}
	defer c.group.Stop()
	j := &holdJob{c, o.Hello}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go watch(wctx, o.Progress, func() string { return fmt.Sprintf("%d connections", c.live.Load()) })
	began := time.Now()
	r := &Result{Scenario: "idle connections", Connections: o.Connections, Expected: uint64(o.Connections)}
	var all []*client
	for _, n := range stages(o.Base, o.Connections) {
		clients, err := c.start(ctx, n-len(all), o.OpenTimeout, func() *client { return &client{job: j} })
		all = append(all, clients...)
		if err != nil {
			return nil, err
		}
		pause(ctx, o.Settle)
		if len(o.PIDs) > 0 {
			rss, err := residentOf(o.PIDs)
			if err != nil {
				return nil, err
			}
			r.Resident = append(r.Resident, rss)
		}
	}
	pause(ctx, o.Duration)
	r.Received = uint64(c.live.Load())
	if len(r.Resident) == 2 {
		r.Bytes = (float64(r.Resident[1]) - float64(r.Resident[0])) / float64(o.Connections-o.Base)
	}
	c.finish(all, 10*time.Second)
	r.Elapsed = time.Since(began)
	c.fill(r)
	return r, nil
}

func stages(base, all int) []int {
	if base <= 0 || base >= all {
		return []int{all}
	}
	return []int{base, all}
}
