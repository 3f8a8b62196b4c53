package keep

// Lost tells why the client can't be kept now that its leg is lost, or nil.
// dropped is how many messages nobody may have read, where the rules have them
// dropped.
func (s *State) Lost(r *Rules) (dropped uint64, err error) {
	open := s.Sent - s.Proven
	switch {
	case s.UpStreams:
		return 0, ErrTooLong
	case s.TooLong:
		return 0, ErrOpening
	case open == 0:
		return 0, nil
	case r.Unproven == "drop":
		return open, nil
	case r.Unproven != "resend":
		return 0, ErrUnproven
	case s.Store != nil && s.Store.Big > s.Proven:
		return 0, ErrTooLong
	}
	return 0, nil
}

// Movable tells whether the session can be moved to another leg now: it is not
// inside a message that streams, and its opening can be sent again.
func (s *State) Movable() bool { return !s.UpStreams && !s.DownStreams && !s.TooLong }

// Settled tells whether all that the leg was sent is proven read.
func (s *State) Settled() bool { return s.Sent == s.Proven }

// Skips is how many messages of a new leg the client has already: the greeting,
// and answers to the opening.
func (s *State) Skips() int { return int(s.Shown) }

// Opening is the client's first messages, as the next leg is to be sent them.
func (s *State) Opening() []byte {
	if s.Store == nil {
		return nil
	}
	return s.Store.Opening
}

// Misses tells whether a leg of which came messages have been thrown away has
// told, by them, what the client was to get of it: an answer to the opening.
func (s *State) Misses(r *Rules, came int) bool {
	return min(came, s.known(r)) > int(s.Shown)
}

// Switch puts another leg in place of the one that is gone; skip messages of it
// are still not to be shown. It gives what the new leg is to be sent: what is
// held for that, if the old one was lost. The State keeps it, unproven.
func (s *State) Switch(room Room, skip int, lost bool) (again []byte, n int) {
	s.forget(down, room)
	s.Sent, s.Proven, s.Barrier, s.Covers, s.Since = 0, 0, 0, 0, 0
	s.At, s.Pinged = 0, 0
	s.Skip = uint16(skip)
	h := s.Store
	if h == nil {
		return nil, 0
	}
	h.Big = 0
	if !lost {
		h.forgetTail(room)
		s.tidy()
		return nil, 0
	}
	for k := range h.Marks {
		n += h.Marks[k].Messages
		h.Marks[k].Proven, h.Marks[k].Last = 0, uint64(n)
	}
	s.Sent, h.Open = uint64(n), len(h.Tail)-h.Gone
	s.Since = uint32(min(h.Open, pingBytes))
	again = h.Tail[h.Gone:]
	s.tidy()
	return again, n
}

// Release returns all that the State has been lent: the session is over.
func (s *State) Release(room Room) {
	s.forget(up, room)
	s.forget(down, room)
	if h := s.Store; h != nil {
		h.forgetTail(room)
		room.Return(h.Opening)
		s.giveBack()
	}
}
