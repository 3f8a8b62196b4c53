package balance

import (
	"slices"
	"time"
)

// What makes a session count double: that many messages a second, or that many
// bytes. A message costs a server about as much as ten seconds of an idle
// session's pings do, and a KiB about as much as a message.
const (
	messagesPerSession = 10
	bytesPerSession    = 16 << 10
	rttSlack           = 200 * time.Microsecond // differences below it are noise
	rttNoise           = 2.0                    // so is a ratio up to this
	mostSlow           = 64                     // an instance must not be written off for its pings alone
)

// Parts are what an instance's load is made of.
type Parts struct {
	Sessions int
	Awaiting int           // messages without an answer yet, where these are counted
	Messages float64       // a second, both ways
	Bytes    float64       // a second, both ways
	RTT      time.Duration // of pings, lately; 0 unknown
	Usual    time.Duration // of pings, in its past; 0 unknown
}

// Score is the load: a session counts 1, so does a message that is not answered yet, traffic counts as sessions, and an
// instance that answers pings more slowly than it used to counts as fuller.
// least is the lowest Ratio of the instances that it is compared with.
func (p Parts) Score(least float64) float64 {
	return (float64(p.Sessions+p.Awaiting) + p.Traffic()) * Slowness(p.Ratio(), least)
}

// Traffic is what messages and bytes count, in sessions.
func (p Parts) Traffic() float64 {
	return p.Messages/messagesPerSession + p.Bytes/bytesPerSession
}

// Ratio is the round-trip time lately over the usual one; 1 where either is
// unknown.
func (p Parts) Ratio() float64 {
	if p.RTT == 0 || p.Usual == 0 {
		return 1
	}
	return float64(p.RTT+rttSlack) / float64(p.Usual+rttSlack)
}

// Slowness is how much fuller a ratio makes an instance where the lowest one
// is least: 1 up to twice that, then the square of what it is above it, since
// waiting grows faster than load does, up to mostSlow. What slows all of them
// down, such as this machine, counts for nothing.
func Slowness(ratio, least float64) float64 {
	r := ratio / least
	if r <= rttNoise {
		return 1
	}
	return min((r-1)*(r-1), mostSlow)
}

// Past keeps an instance's round-trip times: lately, and usual. Lately is the
// median of the last few, so that one that was held up says little. The usual
// falls at once and rises slowly, by half the difference in usualHalf.
type Past struct {
	last   [lastFew]time.Duration // a ring
	n      int                    // samples there have been
	usual  time.Duration
	at     time.Duration // of the latest sample
	lately time.Duration
}

const (
	lastFew   = 7
	usualHalf = 10 * time.Minute
)

// Add takes a sample at now.
func (p *Past) Add(rtt, now time.Duration) {
	p.last[p.n%lastFew] = rtt
	p.n++
	some := p.last
	known := some[:min(p.n, lastFew)]
	slices.Sort(known)
	p.lately = known[(len(known)-1)/2]
	if p.n == 1 || p.lately < p.usual {
		p.usual = p.lately
	} else {
		part := min(float64(now-p.at)/float64(usualHalf), 1) / 2
		p.usual += time.Duration(float64(p.lately-p.usual) * part)
	}
	p.at = now
}

// Lately and Usual give the round-trip times; 0 before the first sample.
func (p *Past) Lately() time.Duration { return p.lately }

// Usual is the round-trip time of the instance's past.
func (p *Past) Usual() time.Duration { return p.usual }
