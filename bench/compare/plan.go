//go:build linux

package main

import (
	"fmt"
	"time"
)

// plan tells how far a run is. Steps have an estimated length each; what they
// took so far corrects what is left.
type plan struct {
	began       time.Time
	steps, done int
	all, passed time.Duration // as estimated
}

// lay adds what is to be measured.
func (l *lab) lay(chosen []*scenario) {
	l.plan.began = time.Now()
	for _, s := range chosen {
		n := len(l.sides(s)) * s.rounds(l.opt)
		l.plan.steps += n
		l.plan.all += time.Duration(n) * s.takes(l.opt)
	}
}

// step notes one that is over, or left out.
func (p *plan) step(estimate time.Duration) {
	p.done++
	p.passed += estimate
}

// left is the time to the end.
func (p *plan) left() time.Duration {
	left := p.all - p.passed
	if p.passed > 0 {
		left = time.Duration(float64(left) * float64(time.Since(p.began)) / float64(p.passed))
	}
	return left
}

func (p *plan) progress() string {
	return fmt.Sprintf("%d/%d, %v left", p.done, p.steps, p.left().Round(time.Minute/2))
}

// around is how long the start and the end of all processes of a measurement
// take, looks at the machine included.
const around = 1700 * time.Millisecond

// takes estimates one measurement.
func (s *scenario) takes(o options) time.Duration {
	t := around + s.fixed + time.Duration(s.times)*o.duration
	if s.remembers() {
		t += 2 * o.settle
	}
	return t
}

// rounds are how many it gets.
func (s *scenario) rounds(o options) int {
	if s.remembers() {
		return min(o.rounds, o.idleRounds)
	}
	return o.rounds
}
