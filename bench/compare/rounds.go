//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// table is what one scenario gave.
type table struct {
	*scenario `json:"-"`
	Name      string     `json:"scenario"`
	Columns   []string   `json:"columns"` // names of its metrics, so that a page made later knows them
	Sides     []string   `json:"sides"`   // names; Sluice first
	Rounds    int        `json:"rounds"`
	Readings  []*reading `json:"readings"`
}

// reading is what one measurement gave.
type reading struct {
	Side     string    `json:"side"`
	Round    int       `json:"round"`            // from 0
	Values   []float64 `json:"values,omitempty"` // by metric; nil where it failed
	Expected uint64    `json:"expected"`         // messages or connections, warm-ups included
	Received uint64    `json:"received"`
	Failed   string    `json:"failed,omitempty"`
	Busy     bool      `json:"busy,omitempty"` // the machine had something else to do before or after
}

// patience is how often a side may fail before it is not tried again: what fails
// waits long for what does not come.
const patience = 2

// rounds measures all sides in turn, so often. The first of a round changes, so
// that none is always measured behind the same other.
func (l *lab) rounds(ctx context.Context, s *scenario) *table {
	t := &table{scenario: s, Name: s.name, Columns: s.columns(), Rounds: s.rounds(l.opt)}
	sides := l.sides(s)
	for _, p := range sides {
		t.Sides = append(t.Sides, p.name)
	}
	for round := range t.Rounds {
		for i := range sides {
			p := sides[(i+round)%len(sides)]
			if t.failures(p.name) >= patience {
				l.plan.step(s.takes(l.opt))
				continue
			}
			r := l.once(ctx, s, p)
			if ctx.Err() != nil {
				return t
			}
			r.Round = round
			t.Readings = append(t.Readings, r)
			l.plan.step(s.takes(l.opt))
			l.say(s, r)
		}
	}
	return t
}

// sides are who is there of a scenario's.
func (l *lab) sides(s *scenario) (there []*peer) {
	for _, p := range s.sides {
		if slices.Contains(l.present, p) {
			there = append(there, p)
		}
	}
	return there
}

func (l *lab) say(s *scenario, r *reading) {
	line := fmt.Sprintf("%s  %-16s round %d  %-18s", l.plan.progress(), s.name, r.Round+1, r.Side)
	for i, x := range r.Values {
		line += "  " + s.metrics[i].name + " " + fmt.Sprintf(s.metrics[i].format, x)
	}
	fmt.Fprintln(os.Stderr, line+"  "+r.Failed)
}

// once measures one server, and notes whether it had the machine for itself.
func (l *lab) once(ctx context.Context, s *scenario, p *peer) *reading {
	r := &reading{Side: p.name}
	quiet := l.quiet(ctx)
	if err := l.alone(ctx, s, p, r); err != nil {
		r.Failed, r.Values = err.Error(), nil
	}
	r.Busy = !quiet || inUse(ctx, quietSample) > quietShare
	return r
}

func (l *lab) alone(ctx context.Context, s *scenario, p *peer, r *reading) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit(l.opt))
	defer cancel()
	st, err := l.setUp(ctx, s, p)
	if err != nil {
		return err
	}
	defer st.stop()
	r.Values, err = s.run(ctx, st)
	r.Expected, r.Received = st.expected, st.received
	if err != nil {
		return errors.New(err.Error() + st.said())
	}
	return nil
}

func (t *table) failures(side string) (n int) {
	for _, r := range t.Readings {
		if r.Side == side && r.Failed != "" {
			n++
		}
	}
	return n
}

// value gives a side's figure in a round.
func (t *table) value(side string, round, metric int) (float64, bool) {
	for _, r := range t.Readings {
		if r.Side == side && r.Round == round && r.Values != nil {
			return r.Values[metric], true
		}
	}
	return 0, false
}

// median gives a side's median of a metric.
func (t *table) median(side string, metric int) (float64, bool) {
	var all []float64
	for round := range t.Rounds {
		if v, ok := t.value(side, round, metric); ok {
			all = append(all, v)
		}
	}
	return median(all)
}

// spread is a ratio's median, the least and the greatest.
type spread struct{ mid, least, most float64 }

// ratio gives the first side's figure over another's, each pair from one round.
func (t *table) ratio(side string, metric int) (r spread, ok bool) {
	var all []float64
	for round := range t.Rounds {
		ours, measured := t.value(t.Sides[0], round, metric)
		theirs, measuredToo := t.value(side, round, metric)
		if measured && measuredToo && theirs > 0 {
			all = append(all, ours/theirs)
		}
	}
	if r.mid, ok = median(all); !ok {
		return r, false
	}
	r.least, r.most = slices.Min(all), slices.Max(all)
	return r, true
}

// counts sums what a side's clients were to get, and got, over all rounds.
func (t *table) counts(side string) (expected, received uint64) {
	for _, r := range t.Readings {
		if r.Side == side {
			expected += r.Expected
			received += r.Received
		}
	}
	return expected, received
}

func median(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2, true
}
