package balance

import "math/rand/v2"

// newcomers holds back, for one session, candidates that are new: each is free
// with the probability that its Ramp is.
type newcomers struct {
	held []bool // by the candidate's index; those that are not usable, too
}

// roll decides who is held back; free is how many are not. Where all that are
// usable would be, none of them is.
func (h *newcomers) roll(cs []Candidate, r *rand.Rand) (free int) {
	h.held = h.held[:0]
	usable := 0
	for i := range cs {
		c := &cs[i]
		hold := !c.Usable || c.Ramp < 1 && r.Float64() >= c.Ramp
		h.held = append(h.held, hold)
		if c.Usable {
			usable++
		}
		if !hold {
			free++
		}
	}
	if free > 0 {
		return free
	}
	for i := range cs {
		h.held[i] = !cs[i].Usable
	}
	return usable
}

// weight is the sum of those that are not held back.
func (h *newcomers) weight(cs []Candidate) (sum int64) {
	for i := range cs {
		if !h.held[i] {
			sum += int64(cs[i].Weight)
		}
	}
	return sum
}
