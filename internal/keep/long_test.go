package keep

import (
	"strings"
	"testing"
	"time"
)

// heap lends what append gives.
type heap struct{}

func (heap) Extend(p, more []byte) []byte { return append(p, more...) }
func (heap) Return([]byte)                {}

// Messages that were too long to be held are in no mark. A pong that proves them
// proves nothing of those that were sent behind the ping.
func TestPongBehindLongMessages(t *testing.T) {
	r := &Rules{Unproven: "resend", Buffer: 1 << 10}
	var s State
	long := []byte(strings.Repeat("x", 2<<10))
	for range 2 {
		s.ToInstance(r, heap{}, long, 0, 0, time.Second)
		s.ToInstance(r, heap{}, long, len(long), 1, time.Second)
	}
	s.Ping(1, time.Second)
	s.ToInstance(r, heap{}, []byte("three"), 5, 1, time.Second)
	s.ToInstance(r, heap{}, []byte("four"), 4, 1, time.Second)
	s.Pong(1, 2*time.Second)
	s.Tick(r, heap{}, 3*time.Second)
	if _, err := s.Lost(r); err != nil {
		t.Fatalf("what is not proven can be sent again: got %v", err)
	}
	if again, n := s.Switch(heap{}, 0, true); string(again) != "threefour" || n != 2 {
		t.Errorf("both are sent again: got %q, %d messages", again, n)
	}
	s.Ping(2, 4*time.Second)
	s.Pong(2, 4*time.Second)
	if s.store().Open != 0 || !s.Settled() {
		t.Errorf("a pong of the next leg proves them: %d bytes are open", s.store().Open)
	}
}
