//go:build !race

package load_test

import "time"

// soakSessions is how many sessions each soak opens, where nothing else is said.
const soakSessions = 50_000

// soakWarmUp sessions bring everything that is kept for later to its size.
const soakWarmUp = 16 * atOnce

// soakHeap tells whether the heap is judged.
const soakHeap = true

// soakTimeouts leave time to a machine that stalls: the few clients that answer no
// ping take as long as they say, and there must not be more of them.
const soakTimeouts = "ping: 1s, pong: 2s, close: 2s"

// soakTick is the pace of a source.
const soakTick = 5 * time.Millisecond
