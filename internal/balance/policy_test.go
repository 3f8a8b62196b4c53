package balance_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-proxy/sluice/internal/balance"
)

var policies = []string{"round_robin", "random", "least_sessions", "least_load", "hash"}

// source is random and the same in every run.
func source() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// drawCandidates gives up to so many different candidates.
func drawCandidates(t *rapid.T, most int) []balance.Candidate {
	cs := make([]balance.Candidate, rapid.IntRange(0, most).Draw(t, "candidates"))
	for i := range cs {
		cs[i] = balance.Candidate{
			ID:       balance.Hash(string(rune('a' + i))),
			Weight:   rapid.IntRange(1, 10).Draw(t, "weight"),
			Sessions: rapid.IntRange(0, 20).Draw(t, "sessions"),
			Load:     rapid.Float64Range(0, 1e6).Draw(t, "load"),
			Ramp:     rapid.SampledFrom([]float64{1, 1, 0.5, 0.01, 0}).Draw(t, "ramp"),
			Usable:   rapid.IntRange(0, 3).Draw(t, "usable") > 0,
		}
	}
	return cs
}

// even gives n usable candidates of weight 1 without sessions.
func even(n int) []balance.Candidate {
	cs := make([]balance.Candidate, n)
	for i := range cs {
		cs[i] = balance.Candidate{ID: balance.Hash(string(rune('a' + i))), Weight: 1, Ramp: 1, Usable: true}
	}
	return cs
}

// tally counts who is picked in n picks from the same snapshot.
func tally(p balance.Policy, cs []balance.Candidate, n int) []int {
	r, got := source(), make([]int, len(cs))
	for k := range n {
		if i := p.Pick(cs, balance.Hash(string(rune(k))), r); i >= 0 {
			got[i]++
		}
	}
	return got
}

// near tells whether k of n could be the chance p, five sigmas wide.
func near(k, n int, p float64) bool {
	return math.Abs(float64(k)-float64(n)*p) <= 5*math.Sqrt(float64(n)*p*(1-p))+1
}

func TestNew(t *testing.T) {
	for _, name := range policies {
		if balance.New(name) == nil {
			t.Errorf("there is no %s", name)
		}
	}
	if balance.New("least") != nil {
		t.Error("there is a policy called least")
	}
}

// TestPick: every policy finds a usable candidate while there is one, busy as
// it may be, and nothing else.
func TestPick(t *testing.T) {
	for _, name := range policies {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			p, r := balance.New(name), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			cs := drawCandidates(t, 8)
			for range 4 {
				usable := false
				for i := range cs {
					usable = usable || cs[i].Usable
				}
				switch i := p.Pick(cs, rapid.Uint64().Draw(t, "key"), r); {
				case i < 0 && usable:
					t.Fatalf("it finds nobody among %+v", cs)
				case i >= len(cs), i >= 0 && !cs[i].Usable:
					t.Fatalf("it picks %d of %+v", i, cs)
				case i >= 0: // and again, without that one
					cs[i].Usable = false
				}
			}
		}))
	}
}

// TestEverybodyBusy: a candidate at any load is found (caddy-l4 finds none).
func TestEverybodyBusy(t *testing.T) {
	cs := even(3)
	for i := range cs {
		cs[i].Sessions, cs[i].Load = math.MaxInt, math.MaxFloat64
	}
	for _, name := range policies {
		if i := balance.New(name).Pick(cs, 1, source()); i < 0 {
			t.Errorf("%s finds nobody where everybody is busy", name)
		}
	}
}

// TestLeastSessions never passes over fewer sessions for the weight, the one
// that is about to be added counted in.
func TestLeastSessions(t *testing.T) {
	p := balance.New("least_sessions")
	rapid.Check(t, func(t *rapid.T) {
		cs := drawCandidates(t, 8)
		for i := range cs {
			cs[i].Ramp = 1
		}
		cost := func(i int) float64 { return float64(cs[i].Sessions+1) / float64(cs[i].Weight) }
		got := p.Pick(cs, 0, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		for i := range cs {
			if cs[i].Usable && cost(i) < cost(got) {
				t.Fatalf("%d at %v is passed over for %d at %v", i, cost(i), got, cost(got))
			}
		}
	})
}

// TestLeastLoadOfTwo: the lesser of the two, always, and never one that is more
// than twice as full as the least of all.
func TestLeastLoadOfTwo(t *testing.T) {
	p := balance.New("least_load")
	rapid.Check(t, func(t *rapid.T) {
		cs := drawCandidates(t, 8)
		var usable []int
		for i := range cs {
			if cs[i].Ramp = 1; cs[i].Usable {
				usable = append(usable, i)
			}
		}
		cost := func(i int) float64 { return (cs[i].Load + 1) / float64(cs[i].Weight) }
		got := p.Pick(cs, 0, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		worse := 0
		for _, i := range usable {
			if cost(i) >= cost(got) && i != got {
				worse++
			}
		}
		for _, i := range usable {
			if cost(got) > 2*cost(i) {
				t.Fatalf("%d at %v is picked beside %d at %v", got, cost(got), i, cost(i))
			}
		}
		if len(usable) > 1 && worse == 0 {
			t.Fatalf("the worst, %d, is picked of %+v", got, cs)
		}
		if len(usable) == 2 && cost(got) > min(cost(usable[0]), cost(usable[1])) {
			t.Fatalf("the worse, %d, is picked of the two in %+v", got, cs)
		}
	})
}

// TestLeastLoadPairs: any two of three are compared as often as any others, so
// the least gets two thirds and the next the rest.
func TestLeastLoadPairs(t *testing.T) {
	cs := even(3)
	cs[0].Load, cs[1].Load, cs[2].Load = 3, 1, 2
	const n = 30000
	if got := tally(balance.New("least_load"), cs, n); got[0] != 0 || !near(got[1], n, 2./3) {
		t.Errorf("loads 3, 1, 2 get %v of %d, want none, two thirds, one third", got, n)
	}
}

// TestEquals: among equals none is preferred.
func TestEquals(t *testing.T) {
	const n = 20000
	for _, name := range []string{"random", "least_sessions", "least_load", "hash"} {
		for i, got := range tally(balance.New(name), even(4), n) {
			if !near(got, n, 0.25) {
				t.Errorf("%s: of four equals number %d gets %d of %d", name, i, got, n)
			}
		}
	}
}

func TestRandomByWeight(t *testing.T) {
	cs := even(4)
	cs[0].Weight, cs[1].Weight, cs[2].Weight, cs[3].Usable = 1, 2, 7, false
	const n = 20000
	for i, got := range tally(balance.New("random"), cs, n) {
		if want := []float64{0.1, 0.2, 0.7, 0}[i]; !near(got, n, want) {
			t.Errorf("weight %d gets %d of %d, want %v of them", cs[i].Weight, got, n, want)
		}
	}
}

// TestLeastByWeight: filled one after another, sessions stand as the weights
// do.
func TestLeastByWeight(t *testing.T) {
	p, r, cs := balance.New("least_sessions"), source(), even(3)
	cs[0].Weight, cs[1].Weight, cs[2].Weight = 1, 2, 7
	for range 1000 {
		cs[p.Pick(cs, 0, r)].Sessions++
	}
	for i := range cs {
		if d := cs[i].Sessions - 100*cs[i].Weight; d < -1 || d > 1 {
			t.Errorf("weight %d has %d sessions of 1000, want %d", cs[i].Weight, cs[i].Sessions, 100*cs[i].Weight)
		}
	}
}

// turns writes down whose turn it is.
func turns(p balance.Policy, cs []balance.Candidate, n int) string {
	var s strings.Builder
	for range n {
		s.WriteByte("abcdefgh"[p.Pick(cs, 0, nil)])
	}
	return s.String()
}

func TestRoundRobin(t *testing.T) {
	p, cs := balance.New("round_robin"), even(3)
	if got := turns(p, cs, 6); got != "abcabc" {
		t.Errorf("equals take turns %s", got)
	}
	cs[1].Usable = false
	if got := turns(p, cs, 4); strings.Contains(got, "b") || strings.Count(got, "a") != 2 {
		t.Errorf("without b the turns are %s", got)
	}
	p, cs = balance.New("round_robin"), even(3)
	cs[0].Weight = 5
	if got := turns(p, cs, 14); got != "aabacaaaabacaa" {
		t.Errorf("weights 5, 1, 1 take turns %s, want them spread", got)
	}
}

// TestRoundRobinIsExact: over a cycle each gets its weight, and at no time is
// one a whole turn ahead of its share.
func TestRoundRobinIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, cs := balance.New("round_robin"), drawCandidates(t, 8)
		sum := 0
		for i := range cs {
			if cs[i].Ramp = 1; cs[i].Usable {
				sum += cs[i].Weight
			}
		}
		got := make([]int, len(cs))
		for k := range 2 * sum {
			i := p.Pick(cs, 0, nil)
			if got[i]++; float64(got[i]) >= float64((k+1)*cs[i].Weight)/float64(sum)+1 {
				t.Fatalf("after %d picks of %d a cycle weight %d has had %d", k+1, sum, cs[i].Weight, got[i])
			}
		}
		for i := range cs {
			if want := 2 * cs[i].Weight; cs[i].Usable && got[i] != want {
				t.Fatalf("after two cycles weight %d has had %d", cs[i].Weight, got[i])
			}
		}
	})
}

// TestRoundRobinMembersChange: the shares stay even when members come and go.
func TestRoundRobinMembersChange(t *testing.T) {
	p, cs := balance.New("round_robin"), even(4)
	if got := turns(p, cs, 6); got != "abcdab" {
		t.Fatalf("turns %s", got)
	}
	if got := turns(p, cs[:2], 10); strings.Count(got, "a") != 5 {
		t.Errorf("with two left the turns are %s", got)
	}
	if got := turns(p, cs, 8); strings.Count(got, "c") != 2 || strings.Count(got, "d") != 2 {
		t.Errorf("with all four again the turns are %s", got)
	}
}

// homes gives the ID that each of n keys goes to.
func homes(cs []balance.Candidate, n int) []uint64 {
	p, out := balance.New("hash"), make([]uint64, n)
	for k := range out {
		out[k] = cs[p.Pick(cs, balance.Hash(string(rune(k))), nil)].ID
	}
	return out
}

// TestHashMovesTheLeast: the same key goes to the same candidate, in whatever
// order they come; when one leaves or gains, its keys alone move.
func TestHashMovesTheLeast(t *testing.T) {
	const keys = 200
	rapid.Check(t, func(t *rapid.T) {
		cs := drawCandidates(t, 8)
		cs = append(cs, even(10)[8:]...) // at least two
		before := homes(cs, keys)
		k := rapid.IntRange(0, len(cs)-1).Draw(t, "which")
		one := cs[k].ID
		if !cs[k].Usable {
			return
		}

		shuffled := rapid.Permutation(cs).Draw(t, "order")
		cs[k].Weight *= 3
		heavier := homes(cs, keys)
		cs[k].Usable = false
		down := homes(cs, keys)
		gone := homes(append(cs[:k:k], cs[k+1:]...), keys)
		for i, again := range homes(shuffled, keys) {
			switch {
			case again != before[i]:
				t.Fatalf("in another order key %d goes elsewhere", i)
			case before[i] != one && down[i] != before[i]:
				t.Fatalf("key %d moves though its candidate stays", i)
			case down[i] != gone[i]:
				t.Fatalf("key %d goes one way when its candidate is down and another when it is gone", i)
			case heavier[i] != before[i] && heavier[i] != one:
				t.Fatalf("key %d moves, but not to the one that gained", i)
			}
		}
	})
}

func TestHashByWeight(t *testing.T) {
	cs := even(3)
	cs[0].Weight, cs[1].Weight, cs[2].Weight = 1, 2, 7
	const n = 20000
	for i, got := range tally(balance.New("hash"), cs, n) {
		if want := float64(cs[i].Weight) / 10; !near(got, n, want) {
			t.Errorf("weight %d gets %d of %d keys", cs[i].Weight, got, n)
		}
	}
}

func TestHashOfText(t *testing.T) {
	seen := map[uint64]string{}
	for _, s := range []string{"", "a", "b", "aa", "ab", "ba", "user=1", "user=2", "10.0.0.1:9000", "10.0.0.1:9001"} {
		h := balance.Hash(s)
		if other, ok := seen[h]; ok || h != balance.Hash(s) {
			t.Errorf("%q and %q hash alike", s, other)
		}
		seen[h] = s
	}
}

// TestRamp: one that has just come back, empty and so the least of all, is
// taken with its probability and not flooded.
func TestRamp(t *testing.T) {
	const n = 10000
	for _, name := range []string{"least_sessions", "least_load"} {
		for _, ramp := range []float64{0, 0.1, 0.25, 0.7} {
			cs := even(4)
			for i := range cs[1:] {
				cs[1+i].Sessions, cs[1+i].Load = 100, 100
			}
			cs[0].Ramp = ramp
			got := tally(balance.New(name), cs, n)[0]
			if float64(got) > n*ramp && !near(got, n, ramp) {
				t.Errorf("%s: with a chance of %v it gets %d of %d", name, ramp, got, n)
			}
			if name == "least_sessions" && !near(got, n, ramp) {
				t.Errorf("%s: with a chance of %v it gets only %d of %d", name, ramp, got, n)
			}
		}
	}
}

// TestRampOfAll: when all have just come back, the chance of each is no bar.
func TestRampOfAll(t *testing.T) {
	cs := even(3)
	for i := range cs {
		cs[i].Ramp = 0
	}
	const n = 9000
	for _, name := range []string{"round_robin", "random", "least_sessions", "least_load"} {
		for i, got := range tally(balance.New(name), cs, n) {
			if !near(got, n, 1./3) {
				t.Errorf("%s: number %d gets %d of %d", name, i, got, n)
			}
		}
	}
}

// TestRampOfItsShare: where the share does not depend on sessions, one that is
// new gets of its share what its ramp says, whatever the others' weights.
func TestRampOfItsShare(t *testing.T) {
	const n = 4000
	for _, name := range []string{"round_robin", "random"} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			cs := even(rapid.IntRange(2, 6).Draw(t, "candidates"))
			at := rapid.IntRange(0, len(cs)-1).Draw(t, "which")
			sum := 0
			for i := range cs {
				cs[i].Weight = rapid.IntRange(1, 10).Draw(t, "weight")
				sum += cs[i].Weight
			}
			share := float64(cs[at].Weight) / float64(sum)
			cs[at].Ramp = rapid.Float64Range(0, 1).Draw(t, "ramp")
			got := tally(balance.New(name), cs, n)
			if want := share * cs[at].Ramp; !near(got[at], n, want) {
				t.Fatalf("with a ramp of %v and a share of %v it gets %d of %d: %+v", cs[at].Ramp, share, got[at], n, cs)
			}
			for i := range cs {
				rest := (1 - share*cs[at].Ramp) * float64(cs[i].Weight) / float64(sum-cs[at].Weight)
				if i != at && !near(got[i], n, rest) {
					t.Fatalf("of what is left weight %d gets %d of %d, want a chance of %v: %+v", cs[i].Weight, got[i], n, rest, cs)
				}
			}
		}))
	}
}

// TestRampBesideASmallOne: the share of a small one, which mostly has its turn
// when the large one is held back, is no larger for that.
func TestRampBesideASmallOne(t *testing.T) {
	cs := even(3)
	cs[0].Weight, cs[1].Weight, cs[2].Weight = 9, 5, 1
	cs[0].Ramp = 0.5
	const n = 100_000
	for _, name := range []string{"round_robin", "random"} {
		got := tally(balance.New(name), cs, n)
		for i, want := range []float64{0.3, 0.7 * 5 / 6, 0.7 / 6} {
			if !near(got[i], n, want) {
				t.Errorf("%s: weight %d gets %d of %d, want a chance of %v", name, cs[i].Weight, got[i], n, want)
			}
		}
	}
}

// TestRoundRobinDoesNotCatchUp: the turns that one has not had while it was new
// are not made up for when it is trusted.
func TestRoundRobinDoesNotCatchUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, cs := balance.New("round_robin"), even(rapid.IntRange(2, 6).Draw(t, "candidates"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		cs[0].Ramp = rapid.SampledFrom([]float64{0, 0.01, 0.3}).Draw(t, "ramp")
		for range rapid.IntRange(0, 500).Draw(t, "turns") {
			p.Pick(cs, 0, r)
		}
		cs[0].Ramp = 1
		first := 0
		for k := range 3 * len(cs) {
			if p.Pick(cs, 0, r) == 0 {
				first++
			}
			if most := k/len(cs) + 2; first > most {
				t.Fatalf("trusted again, it has %d of the first %d turns among %d", first, k+1, len(cs))
			}
		}
		if first < 2 {
			t.Fatalf("trusted again, it has %d of three rounds", first)
		}
	})
}

// TestRampInALargePool: the place in the list does not matter.
func TestRampInALargePool(t *testing.T) {
	for _, at := range []int{0, 63, 64, 99} {
		cs := even(100)
		for i := range cs {
			cs[i].Sessions = 100
		}
		cs[at].Sessions, cs[at].Ramp = 0, 0.01
		const n = 2000
		if got := tally(balance.New("least_sessions"), cs, n)[at]; !near(got, n, 0.01) {
			t.Errorf("number %d, new and with a chance of 0.01, gets %d of %d", at, got, n)
		}
	}
}
