package relay

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
)

// Direction of a message.
type Direction int

// The directions.
const (
	ToUpstream Direction = iota
	ToClient
)

// Route is what sessions need of a route. It is read-only but for its
// counters, and shared by all loops.
type Route struct {
	Name     string
	Timeouts config.Timeouts
	Limits   config.RouteLimits
	Failover config.Failover
	Log      *slog.Logger
	Complain *Complaints
	LogOpen  bool
	LogClose bool
	Observe  Observer
	Counters *Counters
	// Ended is called once for each session that was started, on its loop,
	// when it is no more. It must not block.
	Ended func(client netip.Addr)
}

// Observer is told of what is rare enough to be counted by name. It must not
// block; any loop may call it.
type Observer interface {
	// Handshake tells how one ended: 101, refused, or the reason for which
	// none came to be; and what it took.
	Handshake(route, result string, took time.Duration)
	// Closed tells which side ended a session and with which code; 0 is
	// none.
	Closed(route, side string, code uint16)
	// Failover tells why a session lost its instance, and what came of it.
	Failover(route, reason, result string)
	// DialError tells why an instance could not be reached.
	DialError(reason string)
}

// Counters count a route's traffic, a cell a loop, so that loops don't share
// cache lines.
type Counters struct{ cells []cell }

type cell struct {
	messages, bytes [2]atomic.Uint64
	sessions        atomic.Int64
	opened          atomic.Uint64
	_               [64]byte
}

// NewCounters makes counters for the loops of g.
func NewCounters(g *loop.Group) *Counters {
	return &Counters{cells: make([]cell, len(g.Loops()))}
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

// lossCode tells whether an instance's close with code means that the instance
// goes away, not that the application has ended the session.
func (r *Route) lossCode(code uint16) bool { return slices.Contains(r.Failover.Codes, code) }
