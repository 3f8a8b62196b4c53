package upstream

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// perSecond is how many lines a route complains in a second. A pool that is
// down makes one for every client that comes, and says nothing new by it.
const perSecond = 10

// Complaints are a route's warnings about instances and refused clients. Any
// loop may use them.
type Complaints struct {
	Log    *slog.Logger
	second atomic.Int64
	lines  atomic.Int64
	unsaid atomic.Uint64
}

// Warn logs a line, or counts it for the next one that is logged.
func (c *Complaints) Warn(msg string, args ...any) {
	now := time.Now().Unix()
	if c.second.Swap(now) != now {
		c.lines.Store(0)
	}
	if c.lines.Add(1) > perSecond {
		c.unsaid.Add(1)
		return
	}
	if n := c.unsaid.Swap(0); n > 0 {
		args = append(args, "not_logged_before", n)
	}
	c.Log.Warn(msg, args...)
}
