//go:build race

package load_test

import "time"

// soakSessions is how many sessions each soak opens. The race detector makes them
// ten times as dear.
const soakSessions = 2_000

// soakWarmUp sessions come before the first level is taken.
const soakWarmUp = 2 * atOnce

// soakHeap: the heap is not what it is without the race detector.
const soakHeap = false

// soakTimeouts leave time to a machine that stalls: the few clients that answer no
// ping take as long as they say, and there must not be more of them. A close that
// the stream transport has not written in time is given up with a reset.
const soakTimeouts = "ping: 1s, pong: 4s, close: 20s"

// soakTick is the pace of a source.
const soakTick = 50 * time.Millisecond
