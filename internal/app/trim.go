package app

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	trimAfter = 2 * time.Second // without a new session
	trimWorth = 256             // sessions that came or went since the last trim
)

// keepTrim gives memory back to the system once, after a burst of handshakes
// or of ends: each took some 25 KiB for a moment, which the collector would
// keep for minutes.
func (a *App) keepTrim(ctx context.Context) {
	t := time.NewTicker(trimAfter / 2)
	defer t.Stop()
	var trimmed, seen uint64
	var quiet int
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := a.churn()
		if now != seen {
			seen, quiet = now, 0
			continue
		}
		if quiet++; quiet == 2 && now-trimmed >= trimWorth {
			trimmed = now
			debug.FreeOSMemory()
		}
	}
}

// churn counts sessions that came, and that went.
func (a *App) churn() (n uint64) {
	for _, r := range a.Routes() {
		open, ever := r.Counters.Sessions()
		n += 2*ever - uint64(max(open, 0))
	}
	return n
}
