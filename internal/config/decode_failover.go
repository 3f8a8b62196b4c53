package config

import (
	"fmt"
	"strconv"
)

// mostRecorded is how many of a client's messages can be recorded, or answers
// not be shown.
const mostRecorded = 1000

var parseUnproven = word("close", "resend", "drop")

func (v value) failover(f *Failover) keys {
	return v.object(
		key("client", parsed(&f.Client, word("close", "keep"))),
		key("spread", parsed(&f.Spread, offDuration)),
		key("codes", list(&f.Codes, parseCode)),
		key("state", parsed(&f.State, word("none", "replay"))),
		key("unproven", parsed(&f.Unproven, parseUnproven)),
		key("hold", parsed(&f.Hold, offDuration)),
		key("timeout", parsed(&f.Timeout, someDuration)),
		key("buffer", parsed(&f.Buffer, parseBuffer)),
		key("replay", func(v value) { v.replay(&f.Replay) }),
	)
}

func (v value) replay(r *Replay) {
	v.object(
		key("first", parsed(&r.First, between(0, mostRecorded))),
		key("swallow", parsed(&r.Swallow, between(0, mostRecorded))),
		key("timeout", parsed(&r.Timeout, someDuration)),
	)
}

// What a direction of a kept session may hold.
const (
	leastBuffer = 1 << 10
	mostBuffer  = 16 << 20
)

var parseBuffer = sizeBetween(leastBuffer, mostBuffer)

// sizeBetween accepts a number of bytes in a range.
func sizeBetween(low, high int64) func(string) (int64, error) {
	return func(s string) (int64, error) {
		n, err := parseSize(s)
		switch {
		case err != nil:
			return 0, err
		case n < low || n > high:
			return 0, fmt.Errorf("%q is out of range; it is %s to %s", s, formatSize(low), formatSize(high))
		}
		return n, nil
	}
}

func (v value) move(m *Move) keys {
	return v.object(
		key("rate", parsed(&m.Rate, parseRate)),
		key("quiet", parsed(&m.Quiet, offDuration)),
		key("deadline", parsed(&m.Deadline, offDuration)),
		key("rebalance", parsed(&m.Rebalance, parseFlag)),
	)
}

// check judges that what is said of keeping goes together. What is for client:
// keep means nothing beside close, and may stand there. at is failover, or what
// is above it.
func (f *Failover) check(at place, in keys) {
	switch {
	case !f.Keep() && !in.has("client"):
		for _, name := range []string{"state", "unproven", "hold", "timeout", "buffer", "replay"} {
			if in.has(name) {
				in[name].errorf("is for client: keep; write that beside it, or client: close if that is meant")
				return
			}
		}
	case !f.Keep():
	case f.State == "":
		in.or("client", at).errorf("keep needs state: none if any instance can go on with any session, " +
			"or state: replay with replay: {first: N, swallow: M} if a client's first N messages, with their M answers, make a session known to another")
	case f.State == "none" && (f.Replay.First > 0 || f.Replay.Swallow > 0):
		in["replay"].errorf("is for state: replay; this state is none")
	case f.State == "replay" && f.Replay.First == 0:
		in.or("replay", in["state"]).errorf("state: replay needs replay.first: how many of a client's first messages are sent again")
	}
}

// check judges whether sessions can move to where their share is.
func (m *Move) check(b *Balance, in keys) {
	switch {
	case !m.Rebalance:
	case !b.Failover.Keep():
		in["rebalance"].errorf("is for failover: {client: keep}: a session can't move without its client")
	case b.Policy.Kind == "hash":
		in["rebalance"].errorf("can't go with policy hash, which says itself where each session belongs")
	}
}

// parseCode accepts a close code that a server may send (RFC 6455, section
// 7.4, and the IANA registry).
func parseCode(s string) (uint16, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || !digits.MatchString(s) || n < 1000 || n > 4999:
		return 0, fmt.Errorf("%q is not a close code; they are 1000 to 4999", s)
	case n == 1004 || n >= 1016 && n < 3000:
		return 0, fmt.Errorf("%d is reserved: nobody may send it", n)
	case n == 1005 || n == 1006 || n == 1015:
		return 0, fmt.Errorf("%d is never sent: it stands for a close without a code, a break, or a failure of TLS", n)
	}
	return uint16(n), nil
}
