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
	"sync"
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

// State is a session's. The zero State is that of one that has just begun. It is
// small while nothing is under way: an idle session has little else.
type State struct {
	Store *Store // what is held; nil while nothing is

	Sent    uint64        // messages that the leg was sent, those of the opening apart
	Proven  uint64        // of them it has read
	Covers  uint64        // of Sent are proven by the pong to Barrier
	Barrier uint32        // the number of the ping that is out; 0: none
	Since   uint32        // bytes sent since the latest ping
	At      time.Duration // when the latest message was sent
	Pinged  time.Duration // when the latest ping was; 0: there was none

	Opened uint16 // messages of the client that are of the opening
	Shown  uint16 // messages that the client got, up to Greeting and Swallow
	Skip   uint16 // messages to come of the leg that the client has already

	UpStreams   bool // the message under way to the instance is too long to be held
	DownStreams bool // that to the client is
	TooLong     bool // the opening is, and can't be sent again
}

// Store is what a session holds.
type Store struct {
	Up, Down []byte // what is there of the messages under way to the instance and to the client
	Opening  []byte // the client's first messages

	Tail  []byte // resend: messages that may have to be sent again, behind Gone bytes
	Gone  int    // of Tail
	Open  int    // bytes of Tail that are not proven read
	Marks []Mark // of Tail, in order
	Split bool   // a ping went since the latest mark was made: the next message begins one
	Big   uint64 // of Sent, the latest message that was too long to be held
}

var stores = sync.Pool{New: func() any { return new(Store) }}

// store gives what is held, made if need be.
func (s *State) store() *Store {
	if s.Store == nil {
		s.Store = stores.Get().(*Store)
	}
	return s.Store
}

// tidy lets go of a store that holds nothing.
func (s *State) tidy() {
	if h := s.Store; h != nil && h.Up == nil && h.Down == nil && h.Opening == nil && h.Tail == nil && len(h.Marks) == 0 && h.Big <= s.Proven {
		s.giveBack()
	}
}

// giveBack lends the store to the next who holds something.
func (s *State) giveBack() {
	h := s.Store
	*h = Store{Marks: h.Marks[:0]}
	stores.Put(h)
	s.Store = nil
}

// Mark is a stretch of whole messages in a Tail, between two pings.
type Mark struct {
	Bytes    int
	Messages int
	Last     uint64        // of Sent; between two in a row may be such as are too long to be held
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
	streamed := s.UpStreams
	held, on = s.take(up, room, p, whole, r.Buffer)
	switch {
	case n == 0:
	case s.Recording(r):
		s.record(r, room, held, p[:whole], streamed)
		s.Opened += uint16(n)
	default:
		s.Sent += uint64(n)
		s.Since = uint32(min(int(s.Since)+len(held)+whole, pingBytes))
		s.At = now
		if r.Unproven == "resend" {
			s.retain(r, room, held, p[:whole], n, streamed)
		}
	}
	s.tidy()
	return held, on
}

// Recording tells whether the next message of the client's is part of the
// opening. Such messages are to be given to ToInstance one by one.
func (s *State) Recording(r *Rules) bool { return int(s.Opened) < r.First }

// record keeps a message of the opening.
func (s *State) record(r *Rules, room Room, held, p []byte, streamed bool) {
	h := s.store()
	if s.TooLong = s.TooLong || streamed || len(h.Opening)+len(held)+len(p) > r.Buffer; s.TooLong {
		room.Return(h.Opening)
		h.Opening = nil
		return
	}
	h.Opening = room.Extend(room.Extend(h.Opening, held), p)
}

// retain keeps messages that may have to be sent again, in place of such as were
// proven read, where room is short.
func (s *State) retain(r *Rules, room Room, held, p []byte, n int, streamed bool) {
	h := s.store()
	if streamed {
		h.Big = s.Sent
		return
	}
	size := len(held) + len(p)
	for len(h.Marks) > 0 && h.Marks[0].Proven != 0 && len(h.Tail)-h.Gone+size > r.Buffer {
		h.drop(room)
	}
	if len(h.Tail)+size > cap(h.Tail) {
		h.compact()
	}
	h.Tail = room.Extend(room.Extend(h.Tail, held), p)
	h.Open += size
	if len(h.Marks) == 0 || h.Split {
		h.Marks, h.Split = append(h.Marks, Mark{}), false
	}
	m := &h.Marks[len(h.Marks)-1]
	m.Bytes += size
	m.Messages += n
	m.Last = s.Sent
}

// drop lets the first stretch of the tail go, which is proven read.
func (h *Store) drop(room Room) {
	h.Gone += h.Marks[0].Bytes
	h.Marks = h.Marks[:copy(h.Marks, h.Marks[1:])]
	if len(h.Marks) == 0 {
		h.forgetTail(room)
	}
}

// compact makes room where the tail has let go of something.
func (h *Store) compact() {
	h.Tail = h.Tail[:copy(h.Tail, h.Tail[h.Gone:])]
	h.Gone = 0
}

func (h *Store) forgetTail(room Room) {
	room.Return(h.Tail)
	h.Tail, h.Marks, h.Gone, h.Open = nil, h.Marks[:0], 0, 0
}

// Full tells whether so much is unproven, with what is held behind it, that the
// client is not to be read before there is a pong. Inside a message that streams
// there may be none to come: no ping can be sent before its frame ends.
func (s *State) Full(r *Rules) bool {
	h := s.Store
	return h != nil && h.Open > 0 && h.Open+len(h.Up) >= r.Buffer && (s.Barrier != 0 || !s.UpStreams)
}

// Rides tells whether a ping is to go right behind the whole messages that were
// sent, before what streams.
func (s *State) Rides(r *Rules, now time.Duration) bool {
	return s.Barrier == 0 && s.Sent > s.Proven && (s.Pinged == 0 || now-s.Pinged >= pingEvery || int(s.Since) >= min(pingBytes, r.Buffer/2))
}

// Ping notes that ping number seq went behind all that was sent.
func (s *State) Ping(seq uint32, now time.Duration) {
	if s.Barrier == 0 && s.Sent > s.Proven {
		s.Barrier, s.Covers, s.Pinged, s.Since = seq, s.Sent, max(now, 1), 0
		if s.Store != nil {
			s.Store.Split = true
		}
	}
}

// Pong notes that the leg has answered ping number seq, and with it all before.
func (s *State) Pong(seq uint32, now time.Duration) {
	if s.Barrier == 0 || seq < s.Barrier {
		return
	}
	s.Barrier = 0
	s.Proven = s.Covers
	if h := s.Store; h != nil {
		for k := range h.Marks {
			if m := &h.Marks[k]; m.Proven == 0 && m.Last <= s.Proven {
				m.Proven = max(now, 1)
				h.Open -= m.Bytes
			}
		}
	}
	s.tidy()
}

// Next is when Tick is to be called; 0 for not at all. mayPing tells whether a
// ping could be sent then.
func (s *State) Next(r *Rules, mayPing bool) time.Duration {
	at := time.Duration(0)
	if mayPing && s.Barrier == 0 && s.Sent > s.Proven {
		at = max(s.At, s.Pinged) + pingEvery
	}
	if h := s.Store; h != nil && len(h.Marks) > 0 && h.Marks[0].Proven != 0 {
		if free := h.Marks[0].Proven + r.Hold; at == 0 || free < at {
			at = free
		}
	}
	return at
}

// Tick lets go of what need not be held any longer, and tells whether a ping is
// to be sent alone.
func (s *State) Tick(r *Rules, room Room, now time.Duration) (ping bool) {
	if h := s.Store; h != nil {
		for len(h.Marks) > 0 && h.Marks[0].Proven != 0 && now >= h.Marks[0].Proven+r.Hold {
			h.drop(room)
		}
		s.tidy()
	}
	return s.Barrier == 0 && s.Sent > s.Proven && now >= max(s.At, s.Pinged)+pingEvery
}

// ToClient takes what has come from the instance, of which the first whole bytes
// end n messages, and gives what goes to the client now: held, then p. held is to
// be returned to room.
func (s *State) ToClient(r *Rules, room Room, p []byte, whole, n int) (held, on []byte) {
	s.Shown = uint16(max(int(s.Shown), min(int(s.Shown)+n, s.known(r))))
	held, on = s.take(down, room, p, whole, r.Buffer)
	s.tidy()
	return held, on
}

// known is how many messages a leg begins with that another one has too: the
// greeting and, once there is an opening, the answers to it.
func (s *State) known(r *Rules) int {
	if s.Opened == 0 {
		return r.Greeting
	}
	return r.Greeting + r.Swallow
}
