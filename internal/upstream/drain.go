package upstream

import (
	"slices"
	"strings"
)

// UnknownError is a name that no instance has.
type UnknownError struct {
	Name  string
	Known []string // in order
}

// Error says which there are.
func (e *UnknownError) Error() string {
	return "no instance is called " + e.Name + "; there are " + strings.Join(e.Known, ", ")
}

// Drain takes no new session to the instance of that name, as /api has it,
// until Undrain, and tells the observer. It gives the sessions that are there.
func (s *Set) Drain(name string) (n int, err error) {
	is, err := s.called(name)
	for _, i := range is {
		n += i.Sessions()
		if i.draining.CompareAndSwap(false, true) {
			i.emptied.Store(false)
			s.log.Info("instance drains", "instance", i.name, "sessions", i.Sessions())
			s.observer.InstanceDraining(i)
		}
	}
	return n, err
}

// Undrain trusts the instance of that name again, with a slow start. It gives
// the sessions that are there.
func (s *Set) Undrain(name string) (n int, err error) {
	is, err := s.called(name)
	for _, i := range is {
		n += i.Sessions()
		if i.draining.Load() {
			i.given.Store(0) // slow start
			i.Reached()      // what was opening when it was drained says nothing
			i.draining.Store(false)
			s.log.Info("instance is back", "instance", i.name)
		}
	}
	return n, err
}

// tellDrained logs once that a drained instance has no session left.
func (i *Instance) tellDrained() {
	if i.draining.Load() && i.Sessions() == 0 && i.emptied.CompareAndSwap(false, true) {
		i.set.log.Info("instance is drained: it has no session left", "instance", i.name)
	}
}

// called gives the instances of that name: more than one where they are
// verified in different ways.
func (s *Set) called(name string) (is []*Instance, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var known []string
	name = strings.TrimRight(name, "/")
	for _, i := range s.instances {
		if known = append(known, i.name); i.name == name {
			is = append(is, i)
		}
	}
	if len(is) > 0 {
		return is, nil
	}
	slices.Sort(known)
	return nil, &UnknownError{Name: name, Known: slices.Compact(known)}
}
