package balance_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-proxy/sluice/internal/balance"
)

// apply moves sessions, and tells how many.
func apply(cs []balance.Candidate, shifts []balance.Shift) (n int) {
	for _, s := range shifts {
		cs[s.From].Sessions -= s.Sessions
		cs[s.To].Sessions += s.Sessions
		n += s.Sessions
	}
	return n
}

func pool(t *rapid.T) []balance.Candidate {
	cs := make([]balance.Candidate, rapid.IntRange(1, 8).Draw(t, "candidates"))
	for i := range cs {
		cs[i] = balance.Candidate{ID: uint64(i), Weight: rapid.IntRange(1, 5).Draw(t, "weight"), Sessions: rapid.IntRange(0, 2000).Draw(t, "sessions"),
			Usable: rapid.IntRange(0, 4).Draw(t, "usable") > 0}
	}
	return cs
}

// Whatever the shares are, moving ends, with all of them within a tenth, and
// does not begin again.
func TestSharesBecomeEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := pool(t)
		most := rapid.IntRange(0, 50).Draw(t, "most")
		var s balance.Shifts
		total, weight := 0, 0
		for _, c := range cs {
			if c.Usable {
				total += c.Sessions
				weight += c.Weight
			}
		}
		rounds := 0
		for ; ; rounds++ {
			shifts := s.Next(cs, most)
			for _, x := range shifts {
				if !cs[x.From].Usable || !cs[x.To].Usable || x.From == x.To || x.Sessions < 1 {
					t.Fatalf("%+v is no move among %+v", x, cs)
				}
			}
			n := apply(cs, shifts)
			if most > 0 && n > most {
				t.Fatalf("%d sessions moved at once, %d may", n, most)
			}
			if n == 0 {
				break
			}
			if rounds > 20_000 {
				t.Fatalf("it does not end: %+v", cs)
			}
		}
		for _, c := range cs {
			share := float64(total) * float64(c.Weight) / float64(max(weight, 1))
			if off := float64(c.Sessions) - share; c.Usable && (off > max(1, share/10) || off < -max(1, share/10)) {
				t.Fatalf("a candidate has %d sessions, its share is %.1f: %+v", c.Sessions, share, cs)
			}
			if c.Sessions < 0 {
				t.Fatalf("more was moved than there was: %+v", cs)
			}
		}
		if n := apply(cs, s.Next(cs, most)); n != 0 {
			t.Fatalf("at rest it moves %d sessions", n)
		}
	})
}

// A small difference is not worth a move, and what has begun is brought to its
// end.
func TestShiftsHaveHysteresis(t *testing.T) {
	cs := []balance.Candidate{{Weight: 1, Sessions: 108, Usable: true}, {Weight: 1, Sessions: 92, Usable: true}}
	var s balance.Shifts
	if got := s.Next(cs, 0); got != nil {
		t.Errorf("8 %% over is left alone, got %v", got)
	}
	cs[0].Sessions, cs[1].Sessions = 120, 80
	if n := apply(cs, s.Next(cs, 15)); n != 15 {
		t.Errorf("20 %% over is too much: %d sessions move, want 15", n)
	}
	if n := apply(cs, s.Next(cs, 15)); n != 5 || cs[0].Sessions != 100 {
		t.Errorf("the rest follows though it is less than a tenth: %d move, and %+v", n, cs)
	}
}
