//go:build !race

package load_test

// soakSessions is how many sessions each soak opens, where nothing else is said.
const soakSessions = 50_000
