package limit

import "time"

// slowest is the pace below which what a peer sends is not awaited, in bytes a
// second.
const slowest = 512

// Pace is how long so many bytes may take, beyond the patience for the first.
func Pace(bytes uint64) time.Duration { return time.Duration(bytes) * time.Second / slowest }
