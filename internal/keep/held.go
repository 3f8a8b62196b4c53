package keep

// Held is the message under way in one direction. What is there of it goes on
// when it is whole, so that a leg that is lost leaves no half message behind; a
// message over the buffer streams.
type Held struct {
	Bytes   []byte
	Streams bool
}

// take gives what goes on of p, of which the first whole bytes end messages:
// before, then now.
func (h *Held) take(room Room, p []byte, whole, most int) (before, now []byte) {
	if whole > 0 {
		before, now = h.Bytes, p[:whole]
		h.Bytes, h.Streams = nil, false
	}
	rest := p[whole:]
	switch {
	case len(rest) == 0:
	case h.Streams:
		now = p
	case len(h.Bytes)+len(rest) > most:
		if whole == 0 {
			before, h.Bytes = h.Bytes, nil
		}
		now, h.Streams = p, true
	default:
		h.Bytes = room.Extend(h.Bytes, rest)
	}
	return before, now
}

// forget drops what is there of a message.
func (h *Held) forget(room Room) {
	room.Return(h.Bytes)
	*h = Held{}
}
