package balance

import "math"

// Shift is sessions to move from one candidate to another, by their indices.
type Shift struct{ From, To, Sessions int }

// Off by how much of its share a candidate may be, in sessions over or under it,
// until sessions are moved, and how near they are brought then.
const (
	shiftFrom  = 0.10
	shiftUntil = 0.03
)

// Shifts keeps the shares of candidates even by moving sessions. It has a
// memory, so that it does not begin again for what it has just stopped at. The
// zero Shifts is at rest.
type Shifts struct{ Moving bool }

// Next says what to move now, most sessions in all; 0 is no bound. Sessions of a
// Candidate that are on their way to another should not be counted.
func (s *Shifts) Next(cs []Candidate, most int) (out []Shift) {
	over := excess(cs)
	s.judge(cs, over)
	if !s.Moving {
		return nil
	}
	if most <= 0 {
		most = math.MaxInt
	}
	for most > 0 {
		from, to := -1, -1
		for i := range cs {
			if !cs[i].Usable {
				continue
			}
			if from < 0 || over[i] > over[from] {
				from = i
			}
			if !cs[i].Full && (to < 0 || over[i] < over[to]) {
				to = i
			}
		}
		if from < 0 || to < 0 || over[from]-over[to] <= 1 {
			break // a move would only turn the difference round
		}
		n := min(max(int(min(over[from], -over[to])), 1), most)
		over[from] -= float64(n)
		over[to] += float64(n)
		most -= n
		out = append(out, Shift{from, to, n})
	}
	return out
}

// excess tells how many sessions each candidate has beyond its share.
func excess(cs []Candidate) []float64 {
	sessions, weight := 0, 0
	for i := range cs {
		if cs[i].Usable {
			sessions += cs[i].Sessions
			weight += cs[i].Weight
		}
	}
	over := make([]float64, len(cs))
	for i := range cs {
		if cs[i].Usable {
			over[i] = float64(cs[i].Sessions) - float64(sessions)*float64(cs[i].Weight)/float64(weight)
		}
	}
	return over
}

// judge decides whether sessions are to be moved.
func (s *Shifts) judge(cs []Candidate, over []float64) {
	worst := 0.0 // of its share
	for i := range cs {
		if off := math.Abs(over[i]); cs[i].Usable && off >= 1 {
			share := float64(cs[i].Sessions) - over[i]
			worst = max(worst, off/max(share, 1))
		}
	}
	switch {
	case worst > shiftFrom:
		s.Moving = true
	case worst <= shiftUntil:
		s.Moving = false
	}
}
