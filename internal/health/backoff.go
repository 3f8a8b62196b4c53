package health

import "time"

const (
	backoffLeast = 100 * time.Millisecond
	backoffMost  = 10 * time.Second
)

// Backoff says how long to wait before the next try. The zero Backoff has seen
// no failure.
type Backoff struct{ failures int }

// Next counts a failure and gives the wait after it: it doubles from 100 ms to
// 10 s, and random decides over its second half, so that those who failed
// together don't come back together.
func (b *Backoff) Next(random uint64) time.Duration {
	d := backoffMost
	if b.failures < 7 {
		d = min(d, backoffLeast<<b.failures)
		b.failures++
	}
	return d/2 + time.Duration(random%uint64(d/2))
}

// Reset forgets the failures.
func (b *Backoff) Reset() { b.failures = 0 }
