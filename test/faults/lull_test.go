package faults_test

import (
	"sync"
	"time"
)

// What a watch looks for: every so often it is due, and a lull is when it comes
// so much later. A message has half a dozen hops on its way, each of which may
// come as late; timeouts of a run are longer than those together.
const (
	beat = 10 * time.Millisecond
	lull = 200 * time.Millisecond
)

// watch finds when the machine had no time for the process, so that timeouts
// struck which no fault had set off.
type watch struct {
	stop chan struct{}
	over sync.WaitGroup

	mu    sync.Mutex  // guards lulls
	lulls []time.Time // their ends
}

func newWatch() *watch {
	w := &watch{stop: make(chan struct{})}
	w.over.Go(w.run)
	return w
}

func (w *watch) run() {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for before := time.Now(); ; {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(before) > lull {
			w.mu.Lock()
			w.lulls = append(w.lulls, now)
			w.mu.Unlock()
		}
		before = now
	}
}

// since tells whether there was a lull that ended behind t. It is to be asked
// once something is over: what is over was late after the lull.
func (w *watch) since(t time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lulls) > 0 && w.lulls[len(w.lulls)-1].After(t)
}

// close ends the watch.
func (w *watch) close() {
	close(w.stop)
	w.over.Wait()
}
