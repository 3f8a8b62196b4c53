package bench

import (
	"bytes"
	"time"
)

// joinedMost is how much is kept of a message that comes in pieces: a server
// may have joined many of its source's to one.
const joinedMost = 1 << 20

// skew is how far in the future a stamp may be: a clock that is being set.
const skew = int64(time.Millisecond)

// subscriber is one client of a feed.
type subscriber struct {
	client
	// Set once, then read-only.
	f    *fanout
	slow bool // stops reading when the warm-up is over, and counts for nothing
	cell *fanoutCell

	// Owned by the loop.
	seq       sequence
	size      int // of its first message
	greetings int // messages that came before that
}

func (s *subscriber) opened(c *client) {
	s.cell = &s.f.cells[c.conn.Loop().Index]
	s.cell.subscribers = append(s.cell.subscribers, s)
	s.greet(s.f.opt.Hello)
	s.f.crowd.joined()
}

// message takes what a server sent as one message: one of its source's, or
// lines of them.
func (s *subscriber) message(_ *client, p []byte, size int, now int64) {
	if s.slow || s.cell.over {
		return
	}
	c := s.cell
	if c.measuring {
		c.wire += uint64(size)
	}
	if s.packed {
		var err error
		if p, err = c.inflater.inflate(p); err != nil {
			s.fail(err)
			return
		}
		size = len(p)
	}
	if len(p) > 0 && p[0] != 0 { // text
		for i := bytes.IndexByte(p, '\n'); i >= 0; i = bytes.IndexByte(p, '\n') {
			s.one(p[:i], i, now)
			p, size = p[i+1:], size-i-1
		}
	}
	s.one(p, size, now)
}

// one takes one message.
func (s *subscriber) one(p []byte, size int, now int64) {
	c := s.cell
	n, sent, ok := stampIn(p, &c.textAt)
	begun := s.seq.received > 0
	switch {
	case !ok && !begun && s.greetings < maxGreetings:
		s.greetings++
		return
	case !ok || sent > now+skew:
		c.faults.wrong++ // and its number will be missed
		return
	case !begun:
		s.size = size
	case size != s.size:
		c.faults.wrong++
	}
	s.seq.see(n, &c.faults)
	if c.measuring {
		c.count++
		c.payload += uint64(size)
		_ = c.h.RecordValue(max(now-sent, 1)) // over a minute is not counted
	}
}

func (s *subscriber) ended(c *client, err error) {
	if s.slow {
		err = nil // it asked for it
	}
	s.f.crowd.gone(c, err)
}
