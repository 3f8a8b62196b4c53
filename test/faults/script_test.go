package faults_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// The ways through a link.
const (
	there = iota // from who dialled to the target
	back
)

var ways = [2]string{"there", "back"}

// blow is a fault after which a connection is not what it was.
type blow uint8

const (
	noBlow    blow = iota
	cut            // FIN to both sides; what they still send goes nowhere
	reset          // RST to both sides
	halfClose      // FIN to where its way leads; the other way flows on
	vanish         // nothing passes any more, and nothing is closed until it is released
	stall          // nothing is read its way for longer than any timeout
	blows
)

func (b blow) String() string {
	return [...]string{"no blow", "cut", "reset", "half-close", "vanish", "stall"}[b]
}

// stalling outlasts the timeouts of a run.
const stalling = 3500 * time.Millisecond

// flow is what happens to the bytes of one way, all of which arrive.
type flow struct {
	bytewise int    // so many bytes go one at a time at first
	most     int    // of a piece
	waits    []wait // in their order; together shorter than any timeout
}

// wait is a delay once so many bytes have passed.
type wait struct {
	at   int
	long time.Duration
}

// script is the life of one connection through a link, chosen before it begins.
type script struct {
	ways [2]flow
	blow blow
	way  int // that the blow falls on
	at   int // behind so many bytes
}

// clear lets everything pass as it comes.
var clear = script{ways: [2]flow{{most: 32 << 10}, {most: 32 << 10}}}

func (s script) String() string {
	text := s.blow.String()
	if s.blow != noBlow {
		text += fmt.Sprintf(" %s at %d", ways[s.way], s.at)
	}
	for w, f := range s.ways {
		text += fmt.Sprintf("; %s: %d bytewise, then up to %d, waits %v", ways[w], f.bytewise, f.most, f.waits)
	}
	return text
}

// draw makes a script for a connection through which about so many bytes will
// go each way; blows fall on one in so many.
func draw(r *rand.Rand, bytes [2]int, oneIn int) script {
	s := script{ways: [2]flow{drawFlow(r, bytes[there]), drawFlow(r, bytes[back])}}
	if r.IntN(oneIn) > 0 {
		return s
	}
	s.blow = 1 + blow(r.IntN(int(blows)-1))
	s.way = r.IntN(2)
	if s.at = r.IntN(1 + bytes[s.way]); r.IntN(3) == 0 { // the handshake, and what comes with it
		s.at = r.IntN(400)
	}
	return s
}

func drawFlow(r *rand.Rand, bytes int) flow {
	f := flow{most: 32 << 10}
	switch r.IntN(6) {
	case 0:
		f.bytewise = r.IntN(2000)
	case 1:
		f.most = 1 + bytes/2000 + r.IntN(3000)
	}
	if r.IntN(4) > 0 {
		return f
	}
	for range r.IntN(4) {
		f.waits = append(f.waits, wait{r.IntN(1 + bytes), time.Duration(r.IntN(60)) * time.Millisecond})
	}
	slices.SortFunc(f.waits, func(a, b wait) int { return a.at - b.at })
	return f
}
