// Package balance holds the policies that choose an instance from a snapshot
// of candidates.
//
// New makes a Policy; its Pick is a pure function of the candidates, the key,
// the random source and, for round robin, of the picks before. A Policy is used
// by one goroutine at a time; the caller holds the lock. Nothing here knows
// what an instance is.
package balance
