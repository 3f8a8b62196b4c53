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
	each := time.Duration(float64(time.Second) / rate)
	full := max(b.full, now) + each
	if most := now + each*time.Duration(burst); full > most {
		return false, now + full - most
	}
	b.full = full
	return true, 0
}
