//go:build race

package load_test

// soakSessions is how many sessions each soak opens. The race detector makes them
// ten times as dear, and the heap is not what it is without it.
const soakSessions = 2_000

// soakPings are the soaks' timeouts: the few clients that answer no ping take as
// long as they say, and a machine that stalls must not make more of them.
const soakPings = "ping: 1s, pong: 4s"

const underRace = true
