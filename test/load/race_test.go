//go:build race

package load_test

// soakSessions is how many sessions each soak opens. The race detector makes them
// ten times as dear, and the heap is not what it is without it.
const soakSessions = 2_000
