// Package faults breaks things around a running proxy and sees that each fault
// costs its own session and nothing else: afterwards there are as many
// descriptors, goroutines and sessions as before.
//
// Most tests have a fault each, by name. TestChaos draws faults from a seed: it
// plays sessions (balance), sessions that outlive their instances (keep), a
// stream (fanout) and messages that each go their own way (scatter) through links
// that delay, stall, squeeze, cut, reset and vanish, and holds what arrived against
// what was sent. It goes on until its time is up, a minute unless told otherwise:
//
//	go test -race ./test/faults -run Chaos -timeout 0 -faults.for 2h
//	go test -race ./test/faults -run Chaos/balance/raw -faults.seed 7
//	go test ./test/faults -run Chaos/scatter -faults.for 10m -scatter.clients 100 -scatter.requests 1000
//
// The first plays kept seeds and then others; one that fails is named, with the
// command that plays it again. Choices are the seed's alone; which goroutine comes
// first is not, so a seed may have to be played for a while, with both flags. One
// that has found something is added to those that are kept, in chaos_test.go.
package faults
