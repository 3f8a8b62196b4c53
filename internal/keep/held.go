package keep

// way is a direction.
type way uint8

const (
	up way = iota
	down
)

// take gives what goes on of p, of which the first whole bytes end messages:
// before, then now. What is there of a message is held until it is whole, so that
// a leg that is lost leaves no half message behind; a message over the buffer
// streams.
func (s *State) take(w way, room Room, p []byte, whole, most int) (before, now []byte) {
	streams := &s.UpStreams
	if w == down {
		streams = &s.DownStreams
	}
	held := s.held(w)
	if whole > 0 {
		before, now = held, p[:whole]
		held, *streams = nil, false
	}
	rest := p[whole:]
	switch {
	case len(rest) == 0:
	case *streams:
		now = p
	case len(held)+len(rest) > most:
		if whole == 0 {
			before, held = held, nil
		}
		now, *streams = p, true
	default:
		held = room.Extend(held, rest)
	}
	s.hold(w, held)
	return before, now
}

// held gives what is there of the message under way.
func (s *State) held(w way) []byte {
	switch {
	case s.Store == nil:
		return nil
	case w == up:
		return s.Store.Up
	}
	return s.Store.Down
}

// hold puts it back.
func (s *State) hold(w way, held []byte) {
	switch {
	case held == nil && s.Store == nil:
	case w == up:
		s.store().Up = held
	default:
		s.store().Down = held
	}
}

// forget drops what is there of a message.
func (s *State) forget(w way, room Room) {
	if s.Store != nil {
		room.Return(s.held(w))
		s.hold(w, nil)
	}
	if w == up {
		s.UpStreams = false
	} else {
		s.DownStreams = false
	}
}
