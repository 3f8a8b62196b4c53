package balance

import (
	"math"
	"math/rand/v2"
)

// rendezvous takes the candidate that scores highest with the key, so that a
// candidate which leaves moves its own keys alone (highest random weight;
// weights after Schindelhauer and Schomaker). It does not look at Ramp: where a
// key is at home must not depend on chance, so one that is new has all its keys
// at once.
type rendezvous struct{}

func (rendezvous) Pick(cs []Candidate, key uint64, _ *rand.Rand) int {
	best := -1
	var highest float64
	for i := range cs {
		if !cs[i].Usable {
			continue
		}
		// A uniform value in (0,1), stretched by weight.
		u := (float64(mix(cs[i].ID^mix(key))>>11) + 0.5) / (1 << 53)
		if score := -float64(cs[i].Weight) / math.Log(u); best < 0 || score > highest {
			best, highest = i, score
		}
	}
	return best
}

// Hash gives the 64-bit FNV-1a hash of s, well mixed: a key for Pick, or an ID.
func Hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
