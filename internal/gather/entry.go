package gather

import (
	"encoding/json"
	"slices"
	"time"
)

// Entry is a message that has an id, and what came of it. Its fields may be read
// until it is settled.
type Entry struct {
	Raw     []byte // the id as it stands in the message
	Message []byte // the message as it was sent, where it may be sent again; see Book.Hold
	Key     uint64 // what the message is about, if Keyed
	Keyed   bool
	Seq     uint64 // names the entry for as long as it is this message's

	// The caller's own.
	To    any  // where the message belongs
	Tries int  // legs that were lost with it
	Out   bool // it was sent, in whole or in part

	id    []byte
	hash  uint64
	asked time.Duration
	asks  []ask
	room  [2]ask // of asks, as a rule

	answered bool // the client has its answer, and
	over     bool // gets no other
	hedged   bool // its second copy is out, or it is to have none
	pinned   bool // it counts in the pin of its key

	next, prev *Entry // of its list
	chain      *Entry // of its place in the index, oldest first
}

// ask is one leg that was asked.
type ask struct {
	name  string // of the instance, for those who miss its answer
	reply []byte // collect
	leg   uint32
	state askState
}

type askState uint8

const (
	awaited askState = iota
	replied
	missing
)

// awaits gives the ask of a leg that owes its answer.
func (e *Entry) awaits(leg uint32) *ask {
	for k := range e.asks {
		if a := &e.asks[k]; a.leg == leg && a.state == awaited {
			return a
		}
	}
	return nil
}

// awaited tells whether any leg owes an answer.
func (e *Entry) awaited() bool { return e.awaitedOf() != 0 }

// awaitedOf gives a leg that owes an answer; 0 for none.
func (e *Entry) awaitedOf() (leg uint32) {
	for k := range e.asks {
		if e.asks[k].state == awaited {
			return e.asks[k].leg
		}
	}
	return 0
}

// Awaits tells whether a leg owes an answer.
func (e *Entry) Awaits(leg uint32) bool { return e.awaits(leg) != nil }

// Over tells whether the client gets nothing more of it.
func (e *Entry) Over() bool { return e.over }

// Last names the instance that was asked last; "" where none was.
func (e *Entry) Last() string {
	if n := len(e.asks); n > 0 {
		return e.asks[n-1].name
	}
	return ""
}

// Asks tells whether a leg was asked.
func (e *Entry) Asks(leg uint32) bool {
	for k := range e.asks {
		if e.asks[k].leg == leg {
			return true
		}
	}
	return false
}

// Partial tells whether a leg that was asked, or should have been, gave no answer.
func (e *Entry) Partial() bool {
	return slices.ContainsFunc(e.asks, func(a ask) bool { return a.state != replied })
}

// AppendCollected appends the one answer that is made of all: the id, the
// answers as they came, in the order in which the legs were asked, and the names
// of the instances that gave none.
func (e *Entry) AppendCollected(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = append(b, e.Raw...)
	b = append(b, `,"replies":[`...)
	n := 0
	for k := range e.asks {
		if a := &e.asks[k]; a.state == replied {
			if n++; n > 1 {
				b = append(b, ',')
			}
			b = append(b, a.reply...)
		}
	}
	b = append(b, `],"missing":[`...)
	n = 0
	for k := range e.asks {
		if a := &e.asks[k]; a.state != replied {
			if n++; n > 1 {
				b = append(b, ',')
			}
			name, _ := json.Marshal(a.name) // a string is marshalled, whatever it holds
			b = append(b, name...)
		}
	}
	return append(b, `]}`...)
}

// size is what the entry counts towards the bound of bytes.
func (e *Entry) size() int {
	n := len(e.Raw) + len(e.id) + len(e.Message)
	for k := range e.asks {
		n += len(e.asks[k].reply)
	}
	return n
}

// clear makes the entry ready for another message. What it has room for it keeps,
// if that is little.
func (e *Entry) clear() {
	const kept = 4 << 10 // bytes
	raw, id, message := e.Raw[:0], e.id[:0], e.Message[:0]
	if cap(raw)+cap(id)+cap(message) > kept {
		raw, id, message = nil, nil, nil
	}
	*e = Entry{Raw: raw, id: id, Message: message}
}

// list is entries in the order of their asking.
type list struct {
	first, last *Entry
	n           int
	bytes       int // of all
}

func (l *list) add(e *Entry) {
	e.prev, e.next = l.last, nil
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
	l.n++
	l.bytes += e.size()
}

func (l *list) remove(e *Entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.next, e.prev = nil, nil
	l.n--
	l.bytes -= e.size()
}
