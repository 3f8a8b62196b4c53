package keep

// Lost tells why the client can't be kept now that its leg is lost, or nil.
// dropped is how many messages nobody may have read, where the rules have them
// dropped.
func (s *State) Lost(r *Rules) (dropped uint64, err error) {
	open := s.Sent - s.Proven
	switch {
	case s.Up.Streams:
		return 0, ErrTooLong
	case s.TooLong:
		return 0, ErrOpening
	case open == 0:
		return 0, nil
	case r.Unproven == "drop":
		return open, nil
	case r.Unproven != "resend":
		return 0, ErrUnproven
	case s.Big > s.Proven:
		return 0, ErrTooLong
	}
	return 0, nil
}

// Movable tells whether the session can be moved to another leg now: it is not
// inside a message that streams, and its opening can be sent again.
func (s *State) Movable() bool { return !s.Up.Streams && !s.Down.Streams && !s.TooLong }

// Settled tells whether all that the leg was sent is proven read.
func (s *State) Settled() bool { return s.Sent == s.Proven }

// Skips is how many messages of a new leg the client has already: the greeting,
// and answers to the opening.
func (s *State) Skips() int { return s.Shown }

// Misses tells whether a leg of which came messages have been thrown away has
// told, by them, what the client was to get of it: an answer to the opening.
func (s *State) Misses(r *Rules, came int) bool {
	return min(came, r.Greeting+r.Swallow) > s.Shown
}

// Switch puts another leg in place of the one that is gone; skip messages of it
// are still not to be shown. It gives what the new leg is to be sent: what is
// held for that, if the old one was lost. The State keeps it, unproven.
func (s *State) Switch(room Room, skip int, lost bool) (again []byte, n int) {
	s.Down.forget(room)
	s.Sent, s.Proven, s.Barrier, s.Covers, s.Since, s.Big = 0, 0, 0, 0, 0, 0
	s.At, s.Pinged = 0, 0
	s.Skip = skip
	if !lost {
		s.forgetTail(room)
		return nil, 0
	}
	for k := range s.Marks {
		s.Marks[k].Proven = 0
		n += s.Marks[k].Messages
		s.Marks[k].Last = uint64(n)
	}
	s.Sent, s.Open = uint64(n), len(s.Tail)-s.Gone
	s.Since = s.Open
	return s.Tail[s.Gone:], n
}

// Release returns all that the State has been lent: the session is over.
func (s *State) Release(room Room) {
	s.Up.forget(room)
	s.Down.forget(room)
	s.forgetTail(room)
	room.Return(s.Opening)
	s.Opening = nil
}
