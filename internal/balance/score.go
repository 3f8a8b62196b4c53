package balance

import "time"

// What makes a session count double: that many messages a second, or that many
// bytes. A message costs a server about as much as ten seconds of an idle
// session's pings do, and a KiB about as much as a message.
const (
	messagesPerSession = 10
	bytesPerSession    = 16 << 10
	rttSlack           = 200 * time.Microsecond // differences below it are noise
	rttDead            = 2.0                    // a ratio up to this is noise
)

// Parts are what an instance's load is made of.
type Parts struct {
	Sessions int
	Messages float64       // a second, both ways
	Bytes    float64       // a second, both ways
	RTT      time.Duration // of pings, lately; 0 unknown
	Usual    time.Duration // of pings, in its past; 0 unknown
}

// Score is the load: a session counts 1, traffic counts as sessions, and an
// instance that answers pings more slowly than it used to counts as fuller by
// that ratio.
func (p Parts) Score() float64 {
	return (float64(p.Sessions) + p.Traffic()) * p.Slowness()
}

// Traffic is what messages and bytes count, in sessions.
func (p Parts) Traffic() float64 {
	return p.Messages/messagesPerSession + p.Bytes/bytesPerSession
}

// Slowness is how much fuller the round-trip time makes an instance: 1 for
// not at all.
func (p Parts) Slowness() float64 {
	if p.RTT == 0 || p.Usual == 0 {
		return 1
	}
	ratio := float64(p.RTT+rttSlack) / float64(p.Usual+rttSlack)
	if ratio <= rttDead {
		return 1
	}
	return ratio
}

// Past keeps an instance's round-trip times: lately, and usual. The usual
// falls at once and rises slowly, by half the difference in usualHalf.
type Past struct {
	lately, usual float64 // seconds
	at            time.Duration
	samples       int
}

const (
	usualHalf = 10 * time.Minute
)

// Add takes a sample at now.
func (p *Past) Add(rtt, now time.Duration) {
	x := rtt.Seconds()
	p.samples++
	if p.samples == 1 {
		p.lately, p.usual, p.at = x, x, now
		return
	}
	p.lately += (x - p.lately) / 4
	switch {
	case p.lately < p.usual:
		p.usual = p.lately
	default:
		part := float64(now-p.at) / float64(usualHalf)
		p.usual += (p.lately - p.usual) * min(part, 1) / 2
	}
	p.at = now
}

// Lately and Usual give the round-trip times; 0 before the first sample.
func (p *Past) Lately() time.Duration { return time.Duration(p.lately * float64(time.Second)) }

// Usual is the round-trip time of the instance's past.
func (p *Past) Usual() time.Duration { return time.Duration(p.usual * float64(time.Second)) }
