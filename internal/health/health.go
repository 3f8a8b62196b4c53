// Package health judges whether an instance is up: from probes, by rise and
// fall, and from what its traffic tells, beside that of other instances.
//
// State.Next takes what a probe found and gives the new state and whether the
// verdict changed. JudgeOutliers takes what is known of all instances of all
// pools and decides who takes no new sessions for a while. The package sends no
// probes and reads no clock; a State is a value, owned by whoever keeps it.
package health

import "time"

// Rules say how much it takes to change a verdict.
type Rules struct {
	Rise int // successes in a row that bring an instance up
	Fall int // failures in a row that take it down
}

// Event is something learnt about an instance.
type Event uint8

// The events.
const (
	Passed Event = iota // a probe was answered
	Failed              // it was not
)

// State is what is known of an instance. The zero State is up: an instance is
// trusted until it fails.
type State struct {
	Down  bool
	Run   int           // events in a row that speak against the verdict
	Since time.Duration // when the verdict was last changed
	Why   string        // what took it down
}

// Next takes an event at now. changed tells that the verdict is another one.
func (s State) Next(e Event, why string, r Rules, now time.Duration) (next State, changed bool) {
	against := e == Failed
	if s.Down {
		against = e == Passed
	}
	if !against {
		s.Run = 0
		return s, false
	}
	s.Run++
	need := r.Fall
	if s.Down {
		need = r.Rise
	}
	if s.Run < max(need, 1) {
		return s, false
	}
	s.Down = !s.Down
	s.Run, s.Since, s.Why = 0, now, ""
	if s.Down {
		s.Why = why
	}
	return s, true
}

// Wait gives the time until the next probe: the interval, spread by a tenth
// either way so that probes of many instances do not keep step. random is
// uniform.
func Wait(interval time.Duration, random uint64) time.Duration {
	tenth := interval / 10
	if tenth <= 0 {
		return interval
	}
	return interval - tenth + time.Duration(random%uint64(2*tenth))
}
