package gather

import (
	"bytes"
	"time"
)

// Policy says which answers come to the client.
type Policy uint8

// The policies.
const (
	Interleave Policy = iota // all, as they come
	First                    // the first to a message; later ones are dropped
	Collect                  // one that is made of all
)

// Rules are what a route says of a Book. They are read-only.
type Rules struct {
	Policy     Policy
	Timeout    time.Duration // from a message to its answers; 0: none
	Hedge      bool          // First: a second instance is asked
	HedgeAfter time.Duration // so much later; 0: at once, by the caller
	Messages   int           // unanswered ones
	Bytes      int           // that are held for them
}

// late is how long it is remembered that a leg owes an answer that nobody waits
// for any more, beyond the timeout: one that comes is dropped. Without a timeout it
// may be the answer to what was asked long ago, and is remembered for good.
const late = 30 * time.Second

// Owner is told of every leg that was asked and is not awaited any more, once a
// message: it has answered, is lost, or was not asked after all; or what it owes
// is forgotten.
//
// Behind is called for a leg that owes so many answers which come too late that
// they can't all be remembered: what it says from there on is not to be trusted to
// answer what it seems to. The legs of older ones are not: they will hardly come.
type Owner interface {
	Resolved(leg uint32)
	Behind(leg uint32)
}

// Book is what one session's instances were asked and have yet to answer.
type Book struct {
	Rules *Rules
	Owner Owner

	seq     uint64
	latest  time.Duration // when the latest message was asked
	waiting list          // unanswered
	owing   list          // answered, and legs that were asked too have yet to
	index   map[uint64]*Entry
	pins    map[uint64]pin
	hedge   *Entry // the first of waiting whose second copy is not out
	free    *Entry // by next
}

// pin is the leg that has the n unanswered messages about one thing; one that is
// gone where they are to be sent again.
type pin struct {
	leg uint32
	n   int32
}

// Full tells whether no more may be asked before something is answered.
func (b *Book) Full() bool {
	return b.waiting.n >= b.Rules.Messages || b.waiting.n > 0 && b.waiting.bytes >= b.Rules.Bytes
}

// Crowded tells whether a leg is not to be read for now: what is held of answers
// that wait for others is enough, and none of those that the oldest message waits
// for is the leg's.
func (b *Book) Crowded(leg uint32) bool {
	return b.Rules.Policy == Collect && b.waiting.n > 0 && b.waiting.bytes >= b.Rules.Bytes && !b.waiting.first.Awaits(leg)
}

// Waiting is how many messages are unanswered.
func (b *Book) Waiting() int { return b.waiting.n }

// Enter takes a message's id down: id names it, and raw is how it stands in the
// message. hash is of id. The caller says who was asked.
func (b *Book) Enter(hash uint64, id []byte, raw string, now time.Duration) *Entry {
	e := b.free
	if e == nil {
		e = &Entry{}
	} else {
		b.free, e.next = e.next, nil
	}
	b.seq++
	b.latest = now
	e.Seq, e.hash, e.asked = b.seq, hash, now
	e.id, e.Raw = append(e.id[:0], id...), append(e.Raw[:0], raw...)
	e.asks = e.room[:0]
	e.hedged = !b.Rules.Hedge || b.Rules.HedgeAfter == 0
	b.enlist(e)
	b.waiting.add(e)
	if b.hedge == nil && !e.hedged {
		b.hedge = e
	}
	return e
}

// enlist puts an entry behind the others of its id.
func (b *Book) enlist(e *Entry) {
	if b.index == nil {
		b.index = map[uint64]*Entry{}
	}
	at := b.index[e.hash]
	if at == nil {
		b.index[e.hash] = e
		return
	}
	for at.chain != nil {
		at = at.chain
	}
	at.chain = e
}

// Hold keeps the message, to be sent again.
func (b *Book) Hold(e *Entry, message []byte) {
	e.Message = append(e.Message[:0], message...)
	b.waiting.bytes += len(message)
}

// About says what the message is about: until it is answered, others about the
// same go where it goes. The leg is that which was asked last; where none was,
// they wait behind it.
func (b *Book) About(e *Entry, key uint64) {
	e.Keyed, e.Key = true, key
	b.Repin(e)
}

// Pinned gives the leg that has unanswered messages about key. It may be gone:
// then they wait to be sent again.
func (b *Book) Pinned(key uint64) (leg uint32, ok bool) {
	p, ok := b.pins[key]
	return p.leg, ok
}

// Repin has messages about what e is about go to the leg that was asked last.
func (b *Book) Repin(e *Entry) {
	if !e.Keyed {
		return
	}
	if b.pins == nil {
		b.pins = map[uint64]pin{}
	}
	p := b.pins[e.Key]
	if len(e.asks) > 0 {
		p.leg = e.asks[len(e.asks)-1].leg
	}
	if !e.pinned {
		e.pinned = true
		p.n++
	}
	b.pins[e.Key] = p
}

// Ahead gives the unanswered message before e that is about the same; nil where
// there is none.
func (b *Book) Ahead(e *Entry) *Entry {
	if !e.Keyed || b.pins[e.Key].n < 2 {
		return nil
	}
	for p := e.prev; p != nil; p = p.prev {
		if p.Keyed && p.Key == e.Key {
			return p
		}
	}
	return nil
}

func (b *Book) unpin(e *Entry) {
	if !e.pinned {
		return
	}
	if p := b.pins[e.Key]; p.n > 1 {
		b.pins[e.Key] = pin{p.leg, p.n - 1}
	} else {
		delete(b.pins, e.Key)
	}
	e.pinned = false
}

// Sent says that a leg was asked; name is its instance's.
func (b *Book) Sent(e *Entry, leg uint32, name string) {
	e.asks = append(e.asks, ask{name: name, leg: leg})
}

// Missing says that an instance could not be asked.
func (b *Book) Missing(e *Entry, name string) {
	e.asks = append(e.asks, ask{name: name, state: missing})
}

// Outcome is what becomes of something that a leg said.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota // it answers nothing that the leg was asked
	Pass                   // it is the client's
	Late                   // the client has its answer already
	Held                   // others are awaited
	NoRoom                 // it is too much to be held, and counts as missing
	Whole                  // all are there: the caller gives the client what is collected, and settles the entry
)

// Answered takes what a leg said about id. The entry is given with Whole, and with
// NoRoom where that is the last that was awaited: both are ruled alike.
func (b *Book) Answered(leg uint32, hash uint64, id, payload []byte) (Outcome, *Entry) {
	e, a := b.find(leg, hash, id)
	if e == nil {
		return Unknown, nil
	}
	if !e.answered && b.Rules.Policy == Collect {
		return b.collect(e, a, payload)
	}
	b.resolve(a, replied)
	switch over := e.over; {
	case e.answered:
		if !e.awaited() {
			b.forget(&b.owing, e)
		}
		if over {
			return Late, nil
		}
	default:
		b.settle(e, b.Rules.Policy == First)
	}
	return Pass, nil
}

// collect holds an answer. What is held is bounded, but for one of each leg that
// was under way (Crowded). The oldest message's answers are held in any case, so that
// something gets whole; what a leg that owes one of those says about others
// first is not held where there is too much.
func (b *Book) collect(e *Entry, a *ask, payload []byte) (Outcome, *Entry) {
	outcome := Held
	if first := b.waiting.first; e == first || b.waiting.bytes < b.Rules.Bytes || !first.Awaits(a.leg) {
		b.resolve(a, replied)
		a.reply = append(a.reply, payload...)
		b.waiting.bytes += len(payload)
	} else {
		b.resolve(a, missing)
		outcome = NoRoom
	}
	switch {
	case e.awaited():
		return outcome, nil
	case outcome == Held:
		outcome = Whole
	}
	return outcome, e
}

func (b *Book) resolve(a *ask, state askState) {
	a.state = state
	b.Owner.Resolved(a.leg)
}

// find gives the oldest entry of id to which the leg owes an answer.
func (b *Book) find(leg uint32, hash uint64, id []byte) (*Entry, *ask) {
	for e := b.index[hash]; e != nil; e = e.chain {
		if bytes.Equal(e.id, id) {
			if a := e.awaits(leg); a != nil {
				return e, a
			}
		}
	}
	return nil, nil
}

// Settle says that the client has its answer. What is still owed to the entry
// comes too late.
func (b *Book) Settle(e *Entry) { b.settle(e, true) }

// settle takes an entry out of those that are waited for; over says that the
// client gets nothing more of it.
func (b *Book) settle(e *Entry, over bool) {
	b.unhedge(e)
	b.unpin(e)
	b.waiting.remove(e)
	if !e.awaited() {
		b.drop(e)
		return
	}
	e.answered, e.over = true, over
	e.Message = nil
	for k := range e.asks {
		e.asks[k].reply = nil
	}
	b.owing.add(e)
	for b.owing.n > b.Rules.Messages || b.owing.n > 1 && b.owing.bytes > b.Rules.Bytes {
		b.crowdOut(b.owing.first)
	}
}

// crowdOut forgets an entry for want of room.
func (b *Book) crowdOut(e *Entry) {
	if b.latest-e.asked < b.Rules.Timeout+late {
		for k := range e.asks {
			if a := &e.asks[k]; a.state == awaited {
				b.Owner.Behind(a.leg)
			}
		}
	}
	b.forget(&b.owing, e)
}

// forget takes an entry of a list out of the book.
func (b *Book) forget(l *list, e *Entry) {
	l.remove(e)
	b.drop(e)
}

// drop takes an entry out of the index, and keeps it for another message.
func (b *Book) drop(e *Entry) {
	for k := range e.asks {
		if e.asks[k].state == awaited {
			b.resolve(&e.asks[k], missing)
		}
	}
	if at := b.index[e.hash]; at != e {
		for at.chain != e {
			at = at.chain
		}
		at.chain = e.chain
	} else if e.chain != nil {
		b.index[e.hash] = e.chain
	} else {
		delete(b.index, e.hash)
	}
	e.clear()
	e.next, b.free = b.free, e
}

func (b *Book) unhedge(e *Entry) {
	if b.hedge == e {
		b.hedge = e.next
		b.skipHedged()
	}
}

func (b *Book) skipHedged() {
	for b.hedge != nil && b.hedge.hedged {
		b.hedge = b.hedge.next
	}
}

// Lost says that a leg is gone, and gives the entries, in the order of their
// asking, that nobody will answer now. The caller settles each or asks another
// leg. Where a second leg was asked about the same, it is that one's from here on.
func (b *Book) Lost(leg uint32) (orphans []*Entry) {
	for e := b.owing.first; e != nil; {
		next := e.next
		if a := e.awaits(leg); a != nil {
			if b.resolve(a, missing); !e.awaited() {
				b.forget(&b.owing, e)
			}
		}
		e = next
	}
	for e := b.waiting.first; e != nil; e = e.next {
		if a := e.awaits(leg); a != nil {
			if b.resolve(a, missing); !e.awaited() {
				orphans = append(orphans, e)
			} else if p := b.pins[e.Key]; e.Keyed && e.awaits(p.leg) == nil {
				b.pins[e.Key] = pin{e.awaitedOf(), p.n}
			}
		}
	}
	return orphans
}

// Unsent says that a leg is not asked after all.
func (b *Book) Unsent(e *Entry, leg uint32) {
	if a := e.awaits(leg); a == nil {
		return
	} else if b.resolve(a, missing); e.answered && !e.awaited() {
		b.forget(&b.owing, e)
	}
}

// Owes tells whether a leg has yet to answer anything that is waited for.
func (b *Book) Owes(leg uint32) bool {
	for e := b.waiting.first; e != nil; e = e.next {
		if e.awaits(leg) != nil {
			return true
		}
	}
	return false
}

// Orphaned tells whether nobody that was asked will answer.
func (e *Entry) Orphaned() bool { return !e.answered && !e.awaited() }

// Unhedged tells whether a second copy is to go out yet, and that it does now.
func (b *Book) Unhedged(e *Entry) bool {
	if e.hedged {
		return false
	}
	e.hedged = true
	b.unhedge(e)
	return true
}

// Expire gives each entry whose answers did not come in time, for the caller to
// settle, and each whose second copy is due, for the caller to send.
func (b *Book) Expire(now time.Duration, expired, hedge func(*Entry)) {
	r := b.Rules
	if r.Timeout > 0 {
		for e := b.waiting.first; e != nil && now >= e.asked+r.Timeout; e = b.waiting.first {
			expired(e)
		}
		for e := b.owing.first; e != nil && now >= e.asked+r.Timeout+late; e = b.owing.first {
			b.forget(&b.owing, e)
		}
	}
	for e := b.hedge; e != nil && now >= e.asked+r.HedgeAfter; e = b.hedge {
		b.Unhedged(e)
		hedge(e)
	}
}

// Next is when Expire has something to do; 0 for never.
func (b *Book) Next() time.Duration {
	var next time.Duration
	sooner := func(at time.Duration) {
		if next == 0 || at < next {
			next = at
		}
	}
	r := b.Rules
	if e := b.waiting.first; e != nil && r.Timeout > 0 {
		sooner(e.asked + r.Timeout)
	}
	if e := b.owing.first; e != nil && r.Timeout > 0 {
		sooner(e.asked + r.Timeout + late)
	}
	if b.hedge != nil {
		sooner(b.hedge.asked + r.HedgeAfter)
	}
	return next
}

// Orphans gives the entries that nobody who was asked will answer, in the order of
// their asking. As a rule there are none.
func (b *Book) Orphans() (orphans []*Entry) {
	for e := b.waiting.first; e != nil; e = e.next {
		if e.Orphaned() {
			orphans = append(orphans, e)
		}
	}
	return orphans
}
