package app

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sluice-proxy/sluice/internal/config"
)

// logQueue is how many lines may wait to be written.
const logQueue = 4096

// lines writes log lines behind the back of those who log, so that a loop
// never waits for a terminal or a disk. When too many wait, lines are dropped
// and counted.
type lines struct {
	out     io.Writer
	queue   chan []byte
	drops   atomic.Uint64
	done    sync.WaitGroup
	closing sync.Once
	closed  atomic.Bool
}

func newLines(out io.Writer) *lines {
	l := &lines{out: out, queue: make(chan []byte, logQueue)}
	l.done.Add(1)
	go l.write()
	return l
}

// Write queues one line. It never blocks.
func (l *lines) Write(p []byte) (int, error) {
	if l.closed.Load() {
		return l.out.Write(p)
	}
	select {
	case l.queue <- append([]byte(nil), p...):
	default:
		l.drops.Add(1)
	}
	return len(p), nil
}

func (l *lines) write() {
	defer l.done.Done()
	for p := range l.queue {
		if p == nil {
			return
		}
		_, _ = l.out.Write(p) // nobody to tell
	}
}

// close writes what waits. Lines that come later are written at once.
func (l *lines) close() {
	l.closing.Do(func() {
		l.closed.Store(true)
		l.queue <- nil
		l.done.Wait()
	})
}

// durations writes them as text does, not in nanoseconds without a unit.
func durations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func newLog(cfg config.Log, out io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "json" {
		o.ReplaceAttr = durations
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}
