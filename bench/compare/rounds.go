//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// table is what one scenario gave.
type table struct {
	*scenario
	sides    []*peer // Sluice first
	rounds   int
	got      map[*peer][][]float64 // by round, then metric; nil where it failed
	failures []string
}

// rounds measures all sides in turn, so often. The first of a round changes, so
// that none is always measured behind the same other.
func (l *lab) rounds(ctx context.Context, s *scenario) *table {
	t := &table{scenario: s, rounds: l.opt.rounds, got: map[*peer][][]float64{}}
	for _, p := range s.sides {
		if slices.Contains(l.present, p) {
			t.sides = append(t.sides, p)
		}
	}
	if s.remembers() {
		t.rounds = min(t.rounds, l.opt.idleRounds)
	}
	for round := range t.rounds {
		for i := range t.sides {
			p := t.sides[(i+round)%len(t.sides)]
			v, err := l.once(ctx, s, p)
			if ctx.Err() != nil {
				return t
			}
			t.got[p] = append(t.got[p], v)
			say(s, round, p, v, err)
			if err != nil {
				t.failures = append(t.failures, fmt.Sprintf("%s, round %d: %v", p.name, round+1, err))
			}
		}
	}
	return t
}

func say(s *scenario, round int, p *peer, v []float64, err error) {
	line := fmt.Sprintf("%-14s round %d  %-13s", s.name, round+1, p.name)
	for i, x := range v {
		line += "  " + s.metrics[i].name + " " + fmt.Sprintf(s.metrics[i].format, x)
	}
	if err != nil {
		line += "  " + err.Error()
	}
	fmt.Fprintln(os.Stderr, line)
}

// once measures one server, and notes whether it had the machine for itself.
func (l *lab) once(ctx context.Context, s *scenario, p *peer) ([]float64, error) {
	quiet := l.quiet(ctx)
	v, err := l.alone(ctx, s, p)
	if !quiet || inUse(ctx, quietSample) > quietShare {
		l.noisy++
	}
	return v, err
}

func (l *lab) alone(ctx context.Context, s *scenario, p *peer) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit(l.opt))
	defer cancel()
	st, err := l.setUp(ctx, s, p)
	if err != nil {
		return nil, err
	}
	defer st.stop()
	v, err := s.run(ctx, st)
	if err != nil {
		if said := st.proxy.said(); said != "" {
			err = fmt.Errorf("%w; %s said: %s", err, p.name, said)
		}
		return nil, err
	}
	return v, nil
}

// median gives a peer's median of a metric.
func (t *table) median(p *peer, metric int) (float64, bool) {
	var all []float64
	for _, v := range t.got[p] {
		if v != nil {
			all = append(all, v[metric])
		}
	}
	return median(all)
}

// ratio gives the first side's figure over a peer's, each pair from one round: the
// median, the least and the greatest.
func (t *table) ratio(p *peer, metric int) (mid, least, most float64, ok bool) {
	var all []float64
	first := t.got[t.sides[0]]
	for round := range min(len(first), len(t.got[p])) {
		ours, theirs := first[round], t.got[p][round]
		if ours != nil && theirs != nil && theirs[metric] > 0 {
			all = append(all, ours[metric]/theirs[metric])
		}
	}
	mid, ok = median(all)
	if !ok {
		return 0, 0, 0, false
	}
	return mid, slices.Min(all), slices.Max(all), true
}

func median(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2, true
}
