package gather

import (
	"slices"
	"testing"
	"time"
)

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// desk is a book, and what its legs owe by the book's own word.
type desk struct {
	t fataler
	*Book
	now  time.Duration
	owed map[uint32]int // asked and not yet resolved, by leg
	far  []uint32       // legs that are too far behind, as they were told
}

func newDesk(t fataler, r Rules) *desk {
	d := &desk{t: t, owed: map[uint32]int{}}
	if r.Messages == 0 {
		r.Messages = 100
	}
	if r.Bytes == 0 {
		r.Bytes = 1 << 20
	}
	d.Book = &Book{Rules: &r, Owner: d}
	return d
}

// Behind implements Owner.
func (d *desk) Behind(leg uint32) { d.far = append(d.far, leg) }

// Resolved implements Owner.
func (d *desk) Resolved(leg uint32) {
	d.t.Helper()
	if d.owed[leg]--; d.owed[leg] < 0 {
		d.t.Fatalf("leg %d is resolved once more than it was asked", leg)
	}
}

// nobody owns a book.
type nobody struct{}

func (nobody) Resolved(uint32) {}
func (nobody) Behind(uint32)   {}

// hashOf has different ids meet in the index.
func hashOf(id string) uint64 { return uint64(len(id) % 2) }

// asks takes a message down and has legs asked, whose instances are a, b, c.
func (d *desk) asks(id string, legs ...uint32) *Entry {
	e := d.Enter(hashOf(id), []byte(id), id, d.now)
	for _, leg := range legs {
		d.sent(e, leg)
	}
	return e
}

func (d *desk) sent(e *Entry, leg uint32) {
	d.Sent(e, leg, string(rune('a'+leg-1)))
	d.owed[leg]++
}

// want has a leg say something about an id, and compares what follows.
func (d *desk) want(sentence string, leg uint32, id, says string, want Outcome) *Entry {
	d.t.Helper()
	got, e := d.Answered(leg, hashOf(id), []byte(id), []byte(says))
	if got != want {
		d.t.Fatalf("%s: leg %d says %q about %s and the outcome wants to be %v, got %v", sentence, leg, says, id, want, got)
	}
	return e
}

// wantLost loses a leg and compares the ids that nobody answers now.
func (d *desk) wantLost(sentence string, leg uint32, want ...string) []*Entry {
	d.t.Helper()
	orphans := d.Lost(leg)
	var got []string
	for _, e := range orphans {
		got = append(got, string(e.Raw))
	}
	if !slices.Equal(got, want) {
		d.t.Fatalf("%s: the loss of leg %d wants to orphan %q, got %q", sentence, leg, want, got)
	}
	return orphans
}

// wantAt goes on to a time and compares which ids expire, which are settled then,
// and which are hedged.
func (d *desk) wantAt(sentence string, now time.Duration, expired, hedged []string) {
	d.t.Helper()
	d.now = now
	var e1, h1 []string
	d.Expire(now, func(e *Entry) { e1 = append(e1, string(e.Raw)); d.Settle(e) }, func(e *Entry) { h1 = append(h1, string(e.Raw)) })
	if !slices.Equal(e1, expired) || !slices.Equal(h1, hedged) {
		d.t.Fatalf("%s: at %v %q want to expire and %q to be hedged, got %q and %q", sentence, now, expired, hedged, e1, h1)
	}
}

func (d *desk) wantNext(sentence string, want time.Duration) {
	d.t.Helper()
	if got := d.Next(); got != want {
		d.t.Fatalf("%s: Expire wants to be called at %v, is at %v", sentence, want, got)
	}
}

// free is a key that nothing is unanswered about. Messages about one that no leg
// has are at leg 0.
const free = ^uint32(0)

func (d *desk) wantPinned(sentence string, key uint64, want uint32) {
	d.t.Helper()
	if leg, ok := d.Pinned(key); ok != (want != free) || ok && leg != want {
		d.t.Fatalf("%s: key %d wants leg %d, got %d, %v", sentence, key, want, leg, ok)
	}
}

func (d *desk) wantFull(sentence string, want bool) {
	d.t.Helper()
	if d.Full() != want {
		d.t.Fatalf("%s: full wants to be %v", sentence, want)
	}
}

// wantEmpty wants nothing to be left of all that was asked.
func (d *desk) wantEmpty(sentence string) {
	d.t.Helper()
	if d.Waiting() != 0 || d.waiting != (list{}) || d.owing != (list{}) {
		d.t.Fatalf("%s: the lists want to be empty: %+v, %+v", sentence, d.waiting, d.owing)
	}
	if len(d.index) != 0 || len(d.pins) != 0 || d.hedge != nil || d.Next() != 0 {
		d.t.Fatalf("%s: something stays: index %v, pins %v, hedge %v, next %v", sentence, d.index, d.pins, d.hedge, d.Next())
	}
	for leg, n := range d.owed {
		if n != 0 {
			d.t.Fatalf("%s: leg %d is not resolved %d times", sentence, leg, n)
		}
	}
}

func (o Outcome) String() string {
	return []string{"unknown", "pass", "late", "held", "no room", "whole"}[o]
}

var _ fataler = (*testing.T)(nil)
