// Package keep is what a session remembers so that its client outlives its
// instance: the messages under way, what the instance has yet to prove read,
// and how the session is made known to another instance.
//
// A State is one session's. It is told what is about to be sent and what has
// come, and says which bytes go on now, when a ping is to go behind them, and
// what another instance must be sent. Plain WebSocket acknowledges nothing; but
// an endpoint reads frames in order and answers a ping "as soon as is practical"
// (RFC 6455, section 5.5.2), so a pong proves that all that went before its ping
// was read off the socket. Read is not processed: see Rules.Hold.
//
// A State is plain data: it can be written down after any byte and read again
// elsewhere. The package opens nothing, reads no clock, and is used by one
// goroutine at a time.
package keep

import (
	"errors"
	"time"
)

// Rules are a route's; see failover in the configuration.
type Rules struct {
	Unproven string        // close, resend or drop
	Hold     time.Duration // resend: what was proven read less than that ago is sent again too
	Buffer   int           // bytes of a message, of the opening, and of what is unproven
	Greeting int           // messages that an instance begins with
	First    int           // messages of the client that open a session; they are recorded
	Swallow  int           // answers to these
}

// How often a ping goes behind messages.
const (
	pingEvery = 250 * time.Millisecond // and alone after so long without a message
	pingBytes = 64 << 10
)

// Room lends bytes. It belongs to whoever runs the session.
type Room interface {
	// Extend gives p with more behind it, moved if need be.
	Extend(p, more []byte) []byte
	// Return takes p back.
	Return(p []byte)
}

// State is a session's. The zero State is that of one that has just begun.
type State struct {
	Up, Down Held // the messages under way to the instance and to the client

	Sent    uint64        // messages that the leg was sent, those of the opening apart
	Proven  uint64        // of them it has read
	Barrier uint32        // the number of the ping that is out; 0: none
	Covers  uint64        // of Sent are proven by its pong
	Since   int           // bytes sent since the latest ping
	At      time.Duration // when the latest message was sent
	Pinged  time.Duration // when the latest ping was; 0: there was none

	Tail  []byte // resend: messages that may have to be sent again, behind Gone bytes
	Gone  int    // of Tail
	Open  int    // bytes of Tail that are not proven read
	Marks []Mark // of Tail, in order
	Split bool   // a ping went since the latest mark was made: the next message begins one
	Big   uint64 // of Sent, the latest message that was too long to be held

	Opening []byte // the client's first messages
	Opened  int    // how many there are
	TooLong bool   // they are over the buffer, and can't be sent again

	Shown int // messages that the client got, up to Greeting and Swallow
	Skip  int // messages to come of the leg that the client has already
}

// Mark is a stretch of whole messages in a Tail, between two pings.
type Mark struct {
	Bytes    int
	Messages int
	Last     uint64        // of Sent, its latest message
	Proven   time.Duration // when it was proven read; 0: it is not
}

// Why a client can't be kept.
var (
	ErrUnproven = errors.New("the lost instance may not have read a message")
	ErrTooLong  = errors.New("a message longer than failover.buffer was under way to the lost instance")
	ErrOpening  = errors.New("the session's first messages are longer than failover.buffer")
)

// ToInstance takes what has come from the client, of which the first whole bytes
// end n messages, and gives what goes to the instance now: held, then p. held is
// to be returned to room.
func (s *State) ToInstance(r *Rules, room Room, p []byte, whole, n int, now time.Duration) (held, on []byte) {
	streamed := s.Up.Streams
	held, on = s.Up.take(room, p, whole, r.Buffer)
	switch {
	case n == 0:
	case s.Recording(r):
		s.record(r, room, held, p[:whole], streamed)
		s.Opened += n
	default:
		s.Sent += uint64(n)
		s.Since += len(held) + whole
		s.At = now
		if r.Unproven == "resend" {
			s.retain(r, room, held, p[:whole], n, streamed)
		}
	}
	return held, on
}

// Recording tells whether the next message of the client's is part of the
// opening. Such messages are to be given to ToInstance one by one.
func (s *State) Recording(r *Rules) bool { return s.Opened < r.First }

// record keeps a message of the opening.
func (s *State) record(r *Rules, room Room, held, p []byte, streamed bool) {
	if s.TooLong = s.TooLong || streamed || len(s.Opening)+len(held)+len(p) > r.Buffer; s.TooLong {
		room.Return(s.Opening)
		s.Opening = nil
		return
	}
	s.Opening = room.Extend(room.Extend(s.Opening, held), p)
}

// retain keeps messages that may have to be sent again, in place of such as were
// proven read, where room is short.
func (s *State) retain(r *Rules, room Room, held, p []byte, n int, streamed bool) {
	if streamed {
		s.Big = s.Sent
		return
	}
	size := len(held) + len(p)
	for len(s.Marks) > 0 && s.Marks[0].Proven != 0 && len(s.Tail)-s.Gone+size > r.Buffer {
		s.drop(room)
	}
	if len(s.Tail)+size > cap(s.Tail) {
		s.compact()
	}
	s.Tail = room.Extend(room.Extend(s.Tail, held), p)
	s.Open += size
	if len(s.Marks) == 0 || s.Split {
		s.Marks, s.Split = append(s.Marks, Mark{}), false
	}
	m := &s.Marks[len(s.Marks)-1]
	m.Bytes += size
	m.Messages += n
	m.Last = s.Sent
}

// drop lets the first stretch of the tail go, which is proven read.
func (s *State) drop(room Room) {
	s.Gone += s.Marks[0].Bytes
	s.Marks = s.Marks[:copy(s.Marks, s.Marks[1:])]
	if len(s.Marks) == 0 {
		s.forgetTail(room)
	}
}

// compact makes room where the tail has let go of something.
func (s *State) compact() {
	s.Tail = s.Tail[:copy(s.Tail, s.Tail[s.Gone:])]
	s.Gone = 0
}

func (s *State) forgetTail(room Room) {
	room.Return(s.Tail)
	s.Tail, s.Marks, s.Gone, s.Open = nil, s.Marks[:0], 0, 0
}

// Full tells whether so much is unproven that the client is not to be read.
func (s *State) Full(r *Rules) bool { return s.Open >= r.Buffer }

// Rides tells whether a ping is to go right behind what was sent.
func (s *State) Rides(r *Rules, now time.Duration) bool {
	return s.Barrier == 0 && s.Sent > s.Proven && (s.Pinged == 0 || now-s.Pinged >= pingEvery || s.Since >= min(pingBytes, r.Buffer/2))
}

// Ping notes that ping number seq went behind all that was sent.
func (s *State) Ping(seq uint32, now time.Duration) {
	if s.Barrier == 0 && s.Sent > s.Proven {
		s.Barrier, s.Covers, s.Pinged, s.Since = seq, s.Sent, max(now, 1), 0
		s.Split = true
	}
}

// Pong notes that the leg has answered ping number seq, and with it all before.
func (s *State) Pong(seq uint32, now time.Duration) {
	if s.Barrier == 0 || seq < s.Barrier {
		return
	}
	s.Barrier, s.Proven = 0, s.Covers
	for k := range s.Marks {
		m := &s.Marks[k]
		if m.Proven != 0 {
			continue
		}
		if m.Last > s.Covers { // counting would not do: what was too long to be held is in no mark
			break
		}
		m.Proven = max(now, 1)
		s.Open -= m.Bytes
	}
}

// Next is when Tick is to be called; 0 for not at all.
func (s *State) Next(r *Rules) time.Duration {
	at := time.Duration(0)
	if s.Barrier == 0 && s.Sent > s.Proven {
		at = max(s.At, s.Pinged) + pingEvery
	}
	if len(s.Marks) > 0 && s.Marks[0].Proven != 0 {
		if free := s.Marks[0].Proven + r.Hold; at == 0 || free < at {
			at = free
		}
	}
	return at
}

// Tick lets go of what need not be held any longer, and tells whether a ping is
// to be sent alone.
func (s *State) Tick(r *Rules, room Room, now time.Duration) (ping bool) {
	for len(s.Marks) > 0 && s.Marks[0].Proven != 0 && now >= s.Marks[0].Proven+r.Hold {
		s.drop(room)
	}
	return s.Barrier == 0 && s.Sent > s.Proven && now >= max(s.At, s.Pinged)+pingEvery
}

// ToClient takes what has come from the instance, of which the first whole bytes
// end n messages, and gives what goes to the client now: held, then p. held is to
// be returned to room.
func (s *State) ToClient(r *Rules, room Room, p []byte, whole, n int) (held, on []byte) {
	s.Shown = min(s.Shown+n, r.Greeting+r.Swallow)
	return s.Down.take(room, p, whole, r.Buffer)
}
