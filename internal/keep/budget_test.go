//go:build !race

package keep

import (
	"testing"
	"time"
)

// spare lends the same bytes again, as a loop does.
type spare [][]byte

func (s *spare) Extend(p, more []byte) []byte {
	if len(p)+len(more) <= cap(p) {
		return append(p, more...)
	}
	var q []byte
	if k := len(*s) - 1; k >= 0 {
		q, *s = (*s)[k], (*s)[:k]
	} else {
		q = make([]byte, 0, 4<<10)
	}
	q = append(append(q, p...), more...)
	s.Return(p)
	return q
}

func (s *spare) Return(p []byte) {
	if cap(p) > 0 {
		*s = append(*s, p[:0])
	}
}

// TestMessagesAllocateNothing: not when they come in two parts, nor when they
// are proven read and let go of.
func TestMessagesAllocateNothing(t *testing.T) {
	for _, unproven := range []string{"close", "resend", "drop"} {
		rules := Rules{Unproven: unproven, Hold: time.Second, Buffer: 1 << 10, Greeting: 1}
		var x State
		var room spare
		p, now, seq := make([]byte, 40), time.Duration(1), uint32(0)
		message := func() {
			now += 100 * time.Millisecond
			for _, n := range []int{0, 1} {
				held, _ := x.ToInstance(&rules, &room, p, n*len(p), n, now)
				room.Return(held)
				held, _ = x.ToClient(&rules, &room, p, n*len(p), n)
				room.Return(held)
			}
			if x.Rides(&rules, now) {
				seq++
				x.Ping(seq, now)
			}
			x.Pong(seq, now)
			x.Tick(&rules, &room, now)
			x.Next(&rules, true)
		}
		for range 100 {
			message()
		}
		if n := testing.AllocsPerRun(1000, message); n > 0 {
			t.Errorf("a message is kept with %v allocations, unproven: %s", n, unproven)
		}
		if cap(x.store().Tail) > 4<<10 {
			t.Errorf("the tail has grown to %d bytes", cap(x.store().Tail))
		}
		if seq == 0 || x.Sent < 1000 {
			t.Errorf("%d messages and %d pings: nothing was measured", x.Sent, seq)
		}
	}
}
