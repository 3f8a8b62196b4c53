//go:build !race

package load_test

// soakSessions is how many sessions each soak opens, where nothing else is said.
const soakSessions = 50_000

// soakPings are the soaks' timeouts: the few clients that answer no ping take as
// long as they say, and a machine that stalls must not make more of them.
const soakPings = "ping: 1s, pong: 2s"

const underRace = false
