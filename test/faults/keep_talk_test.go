package faults_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// rules are what a run of kept sessions promises.
type rules struct {
	unproven string
	opening  int // of a client's messages; as many answers are not shown twice
	greeting int
	buffer   int
	moves    bool // instances are drained all the time
}

// yaml gives failover's part of the configuration, and what is beside it.
func (r *rules) yaml(hold string) (failover, balance string) {
	failover = fmt.Sprintf("client: keep, spread: 50ms, timeout: 12s, unproven: %s, buffer: %dKiB", r.unproven, r.buffer>>10)
	if r.unproven == "resend" {
		failover += ", hold: " + hold
	}
	if r.opening == 0 {
		failover += ", state: none"
	} else {
		failover += fmt.Sprintf(", state: replay, replay: {first: %d, swallow: %d, timeout: 2s}", r.opening, r.opening)
		balance = fmt.Sprintf("greeting: %d, ", r.greeting)
	}
	if r.moves {
		balance += "move: {rate: 0, quiet: 5ms, deadline: 300ms, rebalance: true}, "
	}
	return failover, balance
}

// unshown is how many messages of another leg a client does not see that has
// seen so many.
func (r *rules) unshown(seen int) int { return min(seen, r.greeting+r.opening) }

// ways in which an instance ends a leg itself, once it has read so much.
const (
	legLasts = iota
	legGoesAway
	legRestarts
	legOwnCode
	legResets
	legHangsUp
	legHangsUpInFrame
	legRefuses   // with 403
	legIsBroken  // it answers 503
	legSaysCount // none of them
)

// legEnd is how a leg ends, drawn before it begins.
type legEnd struct {
	how   int
	after int // messages that it has read
}

// drawLeg draws the nth try of a session: the first few may come to grief.
func drawLeg(r *rand.Rand, n, messages int) (script, legEnd) {
	bytes := [2]int{400 + 200*messages, 400 + 300*messages}
	if n > 3 {
		return clear, legEnd{}
	}
	s, end := draw(r, bytes, 2), legEnd{}
	if r.IntN(3) == 0 {
		end = legEnd{1 + r.IntN(legSaysCount-1), r.IntN(1 + messages)}
	}
	if (end.how == legRefuses || end.how == legOwnCode) && r.IntN(4) > 0 {
		end.how = legGoesAway
	}
	return s, end
}

// words are what a side of a kept session says: messages with their number and
// their leg's, cut out of the scroll.
type words struct {
	r      *rand.Rand
	scroll *scroll
	leg    int
	buffer int
}

// identity is how a message begins.
const identity = "00000001.000.00000000."

// message makes one, in frames. ack is what is answered; 0: nothing.
func (w *words) message(n, ack int) []frame {
	r := w.r
	size := r.IntN(200)
	switch r.IntN(40) {
	case 0:
		size = r.IntN(3 * w.buffer)
	case 1, 2:
		size = r.IntN(w.buffer)
	}
	op := ws.Text
	if r.IntN(2) == 0 {
		op = ws.Binary
	}
	text := append(fmt.Appendf(nil, "%08d.%03d.%08d.", n, w.leg, ack), w.scroll.cut(r, op, size)...)
	var all []frame
	for r.IntN(3) == 0 && len(text) > len(identity) {
		k := len(identity) + r.IntN(len(text)-len(identity))
		if len(all) > 0 {
			k = r.IntN(len(text))
		}
		all = append(all, frame{op: op, payload: text[:k]})
		text, op = text[k:], ws.Continuation
	}
	return append(all, frame{op: op, fin: true, payload: text})
}

// identify reads how a message begins.
func identify(m []frame) (n, leg, ack int) {
	p := m[0].payload
	if len(p) < len(identity) {
		return 0, 0, 0
	}
	n, _ = strconv.Atoi(string(p[:8]))
	leg, _ = strconv.Atoi(string(p[9:12]))
	ack, _ = strconv.Atoi(string(p[13:21]))
	return n, leg, ack
}

func same(a, b []frame) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if a[k].op != b[k].op || a[k].fin != b[k].fin || !bytes.Equal(a[k].payload, b[k].payload) {
			return false
		}
	}
	return true
}

// exceeds tells whether a message is longer than a buffer holds.
func exceeds(m []frame, buffer int) bool {
	n := 0
	for _, f := range m {
		n += len(f.payload) + 14
	}
	return n > buffer
}

// lull is a silence of a client's, and now and then one that is long enough for
// all to be proven.
func lull(r *rand.Rand) time.Duration {
	switch r.IntN(12) {
	case 0:
		return time.Duration(300+r.IntN(300)) * time.Millisecond
	case 1, 2, 3:
		return time.Duration(r.IntN(30)) * time.Millisecond
	}
	return 0
}
