package relay

import (
	"slices"
	"testing"
	"time"
)

// TestWhoIsPassedOver: those who wait for an instance of their own keep their
// places, until there are so many of them that others would not be asked.
func TestWhoIsPassedOver(t *testing.T) {
	r := &Route{}
	f := &fleet{queues: map[*Route]*queue{}}
	q := &queue{fleet: f, route: r}
	f.queues[r] = q
	sessions := func(n int) (all []*session) {
		for range n {
			all = append(all, &session{})
		}
		return all
	}
	now := time.Minute

	few, others := sessions(2), sessions(3)
	q.waiting = slices.Clone(others)
	if next := q.after(now, few); next != now+queueEvery || !slices.Equal(q.waiting, slices.Concat(few, others)) {
		t.Errorf("two are passed over: asked again in %v, their places %v are not in front", next-now, q.waiting)
	}
	many := sessions(mostPassed)
	q.waiting = slices.Clone(others)
	if q.after(now, many); !slices.Equal(q.waiting, slices.Concat(others, many)) {
		t.Errorf("many are passed over: the others are not in front")
	}
	q.waiting = nil
	if next := q.after(now, nil); next != 0 || len(f.queues) != 0 {
		t.Errorf("nobody waits: asked again at %v, %d queues", next, len(f.queues))
	}
}

// TestSessionsBegunInARound: a loop begins so many, and goes on with those that
// are open.
func TestSessionsBegunInARound(t *testing.T) {
	var f fleet
	for now := range time.Duration(3) {
		for n := range beginAtOnce {
			if f.full(now + 1) {
				t.Fatalf("round %d is full with %d", now, n)
			}
			f.begun++
		}
		if !f.full(now + 1) {
			t.Fatalf("round %d is never full", now)
		}
	}
}
