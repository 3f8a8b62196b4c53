package relay

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/keep"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Route is what sessions need of a route. It is read-only but for its
// counters, and shared by all loops.
type Route struct {
	Name     string
	Timeouts config.Timeouts
	Limits   config.RouteLimits
	Failover config.Failover
	Move     config.Move
	Keep     *keep.Rules // nil: a client whose instance is lost is closed
	Log      *slog.Logger
	Complain *upstream.Complaints
	LogOpen  bool
	LogClose bool
	Observe  Observer
	Counters *loop.Counters
	// Ended is called once for each session that was started, on its loop,
	// when it is no more. It must not block.
	Ended func(client netip.Addr)

	// next is the route that has taken this one's place; removed tells that
	// none will. Sessions on their way to their loop follow.
	next    atomic.Pointer[Route]
	removed atomic.Bool
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
	// Moved tells why a session has left an instance that was there.
	Moved(route, reason string)
	// Unproven tells what became of messages that a lost instance may not
	// have read: resent or dropped.
	Unproven(route, what string, messages uint64)
	// DialError tells why an instance could not be reached.
	DialError(reason string)
}

// lossCode tells whether an instance's close with code means that the instance
// goes away, not that the application has ended the session.
func (r *Route) lossCode(code uint16) bool { return slices.Contains(r.Failover.Codes, code) }

// meansClient tells whether an instance that was to go on with a session means
// the client when it closes with code: that would get no further elsewhere.
func (r *Route) meansClient(code uint16) bool {
	switch code {
	case ws.CodeNormal, ws.CodeNoStatus, ws.CodePolicy:
		return !r.lossCode(code)
	}
	return code >= 3000 && !r.lossCode(code)
}
