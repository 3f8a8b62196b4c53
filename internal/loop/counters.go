package loop

import "sync/atomic"

// Direction of a message.
type Direction int

// The directions.
const (
	ToUpstream Direction = iota
	ToClient
)

// Counters count a route's sessions and their traffic, a cell a loop, so that
// loops don't share cache lines. Any goroutine may read them; each cell is
// written by its loop.
type Counters struct{ cells []cell }

type cell struct {
	messages, bytes [2]atomic.Uint64
	sessions        atomic.Int64
	opened          atomic.Uint64
	_               [64]byte
}

// NewCounters makes counters for the loops of g.
func NewCounters(g *Group) *Counters { return &Counters{cells: make([]cell, len(g.loops))} }

// Opened counts a session in.
func (c *Counters) Opened(l *Loop) {
	c.cells[l.Index].sessions.Add(1)
	c.cells[l.Index].opened.Add(1)
}

// Closed counts a session out.
func (c *Counters) Closed(l *Loop) { c.cells[l.Index].sessions.Add(-1) }

// Count counts what went in direction d.
func (c *Counters) Count(l *Loop, d Direction, messages, bytes uint64) {
	at := &c.cells[l.Index]
	at.bytes[d].Add(bytes)
	if messages > 0 {
		at.messages[d].Add(messages)
	}
}

// Traffic gives the messages and bytes that went in direction d.
func (c *Counters) Traffic(d Direction) (messages, bytes uint64) {
	for i := range c.cells {
		messages += c.cells[i].messages[d].Load()
		bytes += c.cells[i].bytes[d].Load()
	}
	return messages, bytes
}

// Sessions gives how many are open, and how many have been.
func (c *Counters) Sessions() (open int64, ever uint64) {
	for i := range c.cells {
		open += c.cells[i].sessions.Load()
		ever += c.cells[i].opened.Load()
	}
	return open, ever
}
