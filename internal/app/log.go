package app

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
)

// logQueue is how many lines may wait to be written.
const logQueue = 4096

// queue hands records on behind the back of those who log, so that a loop never
// waits for a terminal, a disk or somebody else's handler. When too many wait,
// records are dropped and counted.
type queue struct {
	records chan *queued
	drops   atomic.Uint64
	done    sync.WaitGroup
	closing sync.Once
	closed  atomic.Bool
}

// queued is a record and who writes it; nil ends the queue.
type queued struct {
	to     slog.Handler
	record slog.Record
}

// handler puts records into a queue.
type handler struct {
	queue *queue
	to    slog.Handler
}

func newQueue() *queue {
	q := &queue{records: make(chan *queued, logQueue)}
	q.done.Add(1)
	go q.write()
	return q
}

// logger gives a logger whose records to gets from the queue.
func (q *queue) logger(to slog.Handler) *slog.Logger { return slog.New(handler{q, to}) }

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.to.Enabled(ctx, l) }

// Handle queues a record. It never blocks.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if h.queue.closed.Load() {
		return h.to.Handle(ctx, r)
	}
	select {
	case h.queue.records <- &queued{h.to, r.Clone()}:
	default:
		h.queue.drops.Add(1)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.queue, h.to.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.queue, h.to.WithGroup(name)} }

func (q *queue) write() {
	defer q.done.Done()
	for r := range q.records {
		if r == nil {
			return
		}
		_ = r.to.Handle(context.Background(), r.record) // nobody to tell
	}
}

// close writes what waits. Records that come later are written at once.
func (q *queue) close() {
	q.closing.Do(func() {
		q.closed.Store(true)
		q.records <- nil
		q.done.Wait()
	})
}

// durations writes them as text does, not in nanoseconds without a unit.
func durations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// newHandler writes records as the configuration says.
func newHandler(format string, level slog.Leveler, out io.Writer) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		o.ReplaceAttr = durations
		return slog.NewJSONHandler(out, o)
	}
	return slog.NewTextHandler(out, o)
}
