package faults_test

import (
	"sync/atomic"
	"testing"
	"time"
)

// A watch looks every beat. What it is late by, over a little, is time that the
// machine had for others. A session is late that has seen so much of it: each of
// the half dozen hops of a message may have been as late, and timeouts struck that
// no fault had set off.
const (
	beat   = 10 * time.Millisecond
	little = 40 * time.Millisecond
	much   = 300 * time.Millisecond
)

// watch counts the time that the process did not get.
type watch struct {
	lost       atomic.Int64 // nanoseconds
	stop, over chan struct{}
}

// newWatch watches until the test ends.
func newWatch(t *testing.T) *watch {
	w := &watch{stop: make(chan struct{}), over: make(chan struct{})}
	go w.run()
	t.Cleanup(w.close)
	return w
}

func (w *watch) run() {
	defer close(w.over)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for before := time.Now(); ; {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		if late := now.Sub(before) - beat; late > little {
			w.lost.Add(int64(late))
		}
		before = now
	}
}

// late tells whether what began when so much was lost has lost too much since.
func (w *watch) late(before int64) bool { return w.lost.Load()-before > int64(much) }

func (w *watch) close() {
	close(w.stop)
	<-w.over
}
