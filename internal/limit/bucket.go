// Package limit says how much a peer may do in a time.
//
// A Bucket is a number and belongs to whoever it limits; nothing here waits or
// reads a clock, and no value may be used by two goroutines at once.
package limit

import "time"

// Bucket holds tokens: they come at a rate, up to a burst. The zero Bucket is
// full.
type Bucket struct {
	full time.Duration // when it will be full again
}

// Full tells whether the bucket is full at now, as a new one is.
func (b *Bucket) Full(now time.Duration) bool { return b.full <= now }

// Take takes a token at now, or tells when there will be one. rate is tokens a
// second.
func (b *Bucket) Take(now time.Duration, rate float64, burst int) (ok bool, at time.Duration) {
	if at, ok = b.Reserve(now, rate, burst, 0); ok {
		at = 0
	}
	return ok, at
}

// Reserve takes a token that may be still to come, no later than patience from
// now: at is when it may be used. Without ok none was taken, and at is when one
// would have been. Whoever reserves is served in the order of the calls.
func (b *Bucket) Reserve(now time.Duration, rate float64, burst int, patience time.Duration) (at time.Duration, ok bool) {
	each := time.Duration(float64(time.Second) / rate)
	full := max(b.full, now) + each
	at = max(full-each*time.Duration(burst), now)
	if at > now+patience {
		return at, false
	}
	b.full = full
	return at, true
}
