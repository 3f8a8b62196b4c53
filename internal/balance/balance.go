package balance

import "math/rand/v2"

// Candidate is an instance as the policies see it.
type Candidate struct {
	ID       uint64  // names it; the same for as long as its address is the same
	Weight   int     // its share; at least 1
	Sessions int     // under way
	Load     float64 // its sessions, busy ones counting more; see Score
	Ramp     float64 // under 1: new, to be considered with that probability only
	Usable   bool    // up, under its cap, not tried yet
	Full     bool    // at its cap; for Shifts, to which it is usable nevertheless
}

// Policy chooses an instance.
type Policy interface {
	// Pick gives the index of a usable candidate, or -1 when there is none.
	// key is what hash policies hash; the others don't look at it.
	Pick(cs []Candidate, key uint64, r *rand.Rand) int
}

// New gives the policy of that name: round_robin, random, least_sessions,
// least_load or hash. It gives nil for any other.
func New(name string) Policy {
	switch name {
	case "round_robin":
		return &roundRobin{owed: map[uint64]int64{}}
	case "random":
		return &random{}
	case "least_sessions":
		return &least{full: true, cost: func(c *Candidate) float64 { return float64(c.Sessions) }}
	case "least_load":
		return &least{cost: func(c *Candidate) float64 { return c.Load }}
	case "hash":
		return rendezvous{}
	}
	return nil
}

// roundRobin takes turns, smoothly by weight: each turn is owed to the
// candidates of that turn by their shares of it, and the one that is owed most
// has it. One that is too new for a turn is owed nothing of it, so that it has
// nothing to catch up with later. What is owed are turns and not weights: a
// turn weighs the same whoever is in it, or a small one, which waits long and
// mostly has its turn when a large one is out, would have more than its share.
type roundRobin struct {
	owed map[uint64]int64 // of turns, in parts of one; under 0: had in advance
	newcomers
}

// turn is how many parts a turn has. They are whole numbers, so that equals are
// owed the same to the last and go by their order.
const turn = 1 << 32

func (p *roundRobin) Pick(cs []Candidate, _ uint64, r *rand.Rand) int {
	p.roll(cs, r)
	sum := p.weight(cs)
	best, parts := -1, int64(0)
	for i := range cs {
		c := &cs[i]
		if p.held[i] {
			continue
		}
		part := turn * int64(c.Weight) / sum
		p.owed[c.ID] += part
		parts += part
		if best < 0 || p.owed[c.ID] > p.owed[cs[best].ID] {
			best = i
		}
	}
	if best >= 0 {
		p.owed[cs[best].ID] -= parts
	}
	p.forget(cs)
	return best
}

// forget drops what is owed to instances that are no more.
func (p *roundRobin) forget(cs []Candidate) {
	if len(p.owed) <= len(cs) {
		return
	}
	have := make(map[uint64]bool, len(cs))
	for i := range cs {
		have[cs[i].ID] = true
	}
	for id := range p.owed {
		if !have[id] {
			delete(p.owed, id)
		}
	}
}

// random takes any, by weight.
type random struct{ newcomers }

func (p *random) Pick(cs []Candidate, _ uint64, r *rand.Rand) int {
	p.roll(cs, r)
	sum := p.weight(cs)
	if sum == 0 {
		return -1
	}
	n := r.Int64N(sum)
	for i := range cs {
		if p.held[i] {
			continue
		}
		if n -= int64(cs[i].Weight); n < 0 {
			return i
		}
	}
	return -1
}

// least takes the candidate of the least cost for its weight: of all with
// full, else of two taken at random, which needs no fresh figures to spread
// well; but where both of these are much fuller than the least full of all, it
// takes that one. A session that is about to be added counts already, so that
// weights hold among the empty.
type least struct {
	cost func(*Candidate) float64
	full bool
	newcomers
}

// tooFull is by how much the lesser of two may be fuller than the least of all.
const tooFull = 2

func (p *least) Pick(cs []Candidate, _ uint64, r *rand.Rand) int {
	n := p.roll(cs, r)
	if n == 0 {
		return -1
	}
	skip := func(i int) bool { return p.held[i] }
	if p.full || n <= 2 {
		return p.of(cs, skip, r)
	}
	a := r.IntN(n)
	b := r.IntN(n - 1)
	if b >= a {
		b++
	}
	k := -1
	lesser := p.of(cs, func(i int) bool {
		if skip(i) {
			return true
		}
		k++
		return k != a && k != b
	}, r)
	if all := p.of(cs, skip, r); p.share(&cs[lesser]) > tooFull*p.share(&cs[all]) {
		return all
	}
	return lesser
}

// share is what c would cost for its weight with one session more.
func (p *least) share(c *Candidate) float64 { return (p.cost(c) + 1) / float64(c.Weight) }

// of takes the least of those not skipped; among equals, any.
func (p *least) of(cs []Candidate, skip func(int) bool, r *rand.Rand) int {
	best, equals := -1, 1
	var lowest float64
	for i := range cs {
		if skip(i) {
			continue
		}
		cost := p.share(&cs[i])
		switch {
		case best < 0 || cost < lowest:
			best, lowest, equals = i, cost, 1
		case cost == lowest:
			if equals++; r.IntN(equals) == 0 {
				best = i
			}
		}
	}
	return best
}
