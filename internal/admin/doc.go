// Package admin shows what Sluice does: Prometheus metrics, health, the state
// of instances as JSON, and pprof.
//
// Metrics is the process's counters and may be used by any number of
// goroutines; Handler serves the admin listener.
package admin
