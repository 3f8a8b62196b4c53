// Package arbiter makes one stream of what several redundant lines say: of each
// message the one that arrives first, numbered ones in order.
//
// Line adds a line, Back and Lost say whether it is connected. Number takes a
// message that has a number, Whole one that is known by its key or its content
// alone, and Tick lets time pass: it is due at Deadline. What they give is valid
// until the next call. An Arbiter belongs to one goroutine.
//
// It has no clock and reads no message. A line is trusted to be in order: what
// comes behind a larger number is not awaited.
package arbiter

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// Rules may be changed between calls.
type Rules struct {
	Window time.Duration // how long a message waits for those before it, and is remembered
	Bytes  int64         // most that is held; as much again may be remembered of keys
}

// Message is a whole message.
type Message struct {
	Op      ws.Opcode
	Payload []byte
}

// Line is one of the redundant sources. It belongs to its Arbiter.
type Line struct {
	Counts
	up     bool
	behind bool // a gap had to time out over its silence
	fresh  bool // connected to a stream that is under way, and not there yet: it may repeat the past
	away   bool // its numbers are of another numbering
	// Of one that was lost: until when it is waited for, behind left.
	until time.Duration
	left  int64
	// Of this connection and numbering.
	spoke   bool
	first   int64
	last    int64 // the largest
	counted int64 // up to here it is known what it misses
}

// Counts say what became of a line's messages, each of which is in one of them
// but Missing.
type Counts struct {
	Won     uint64 // it was first
	Late    uint64 // another was first
	Filled  uint64 // it came after it had been reported as missing
	Old     uint64 // from before the stream began, or of a numbering that no other line took up
	Missing uint64 // numbers that it did not deliver within the window, or passed over, though another did deliver them
}

// Out is what a call leads to.
type Out struct {
	Messages []Message // to be passed on, in this order
	Gaps     []Gap     // numbers that are not waited for any more
	Anew     bool      // the lines have begun another numbering
}

// Gap is a stretch of numbers that no line has delivered.
type Gap struct {
	First int64
	Count uint64
}

// Arbiter is the state of a stream. Its zero value, with Rules, is ready.
type Arbiter struct {
	Rules Rules

	lines   []*Line
	begun   bool
	first   int64 // where this numbering began
	next    int64 // the last that was released, and one
	gaps    spans // numbers below next that were not delivered
	marks   []mark
	low     int64 // of what is remembered, when that was last looked at
	alive   time.Duration
	waiting waiting
	other   other
	seen    seen
	now     time.Duration // of the present call
	out     Out
}

// Line adds a line, which is not connected.
func (a *Arbiter) Line() *Line {
	l := &Line{}
	a.lines = append(a.lines, l)
	return l
}

// Remove takes a line out for good.
func (a *Arbiter) Remove(l *Line, now time.Duration) *Out {
	*l = Line{Counts: l.Counts}
	out := a.Tick(now)
	for i, o := range a.lines {
		if o == l {
			a.lines = append(a.lines[:i], a.lines[i+1:]...)
			break
		}
	}
	return out
}

// Back says that a line is connected.
func (a *Arbiter) Back(l *Line) {
	*l = Line{Counts: l.Counts, up: true, fresh: a.begun}
}

// Comeback is how long a line that was lost is waited for, if the window is not
// shorter: what it is asked for again may fill a gap.
const Comeback = 2 * time.Second

// Lost says that a line is not connected any more. It is waited for a little.
func (a *Arbiter) Lost(l *Line, now time.Duration) *Out {
	gone := Line{Counts: l.Counts}
	if l.up && l.spoke && !l.away && !l.behind {
		gone.until, gone.left = now+min(Comeback, a.Rules.Window), l.last
	}
	*l = gone
	return a.Tick(now)
}

// Number takes the message of a line whose number is n, less than the largest
// that there is.
//
// Fast path: the next number is passed on as it lies.
func (a *Arbiter) Number(l *Line, n int64, m Message, now time.Duration) *Out {
	a.reset()
	if !a.begun {
		a.begin(n, now)
	}
	a.roll(now)
	if a.elsewhere(l, n) {
		a.stray(l, item{n, now, m, l})
	} else {
		if l.away {
			a.home(l)
		}
		l.fresh = false
		a.place(l, n, m, now)
	}
	a.settle(now)
	return &a.out
}

// Whole takes the message of a line that has no number, by a hash of what it is
// known by.
func (a *Arbiter) Whole(l *Line, sum Sum, m Message, now time.Duration) *Out {
	a.reset()
	if !a.seen.add(sum, now, a.Rules) {
		l.Late++
		return &a.out
	}
	l.Won++
	a.emit(m)
	return &a.out
}

// Tick lets time pass.
func (a *Arbiter) Tick(now time.Duration) *Out {
	a.reset()
	a.roll(now)
	a.settle(now)
	return &a.out
}

// Deadline tells when Tick has something to do if nothing comes before; 0 is
// never.
func (a *Arbiter) Deadline() (at time.Duration) {
	if len(a.waiting.list) > 0 {
		at = a.waiting.oldest + a.Rules.Window
		for _, l := range a.lines {
			if a.awaits(l) && !l.up {
				at = min(at, l.until)
			}
		}
	}
	if due := max(a.alive, a.other.since) + a.Rules.Window; len(a.other.list) > 0 && (at == 0 || due < at) {
		at = due
	}
	return at
}

func (a *Arbiter) reset() {
	clear(a.out.Messages)
	a.out.Anew = false
	a.out.Messages, a.out.Gaps = a.out.Messages[:0], a.out.Gaps[:0]
}

func (a *Arbiter) emit(m Message) { a.out.Messages = append(a.out.Messages, m) }

// begin starts a numbering with n.
func (a *Arbiter) begin(n int64, now time.Duration) {
	a.begun, a.first, a.next, a.low, a.alive = true, n, n, n, now
	a.gaps = a.gaps[:0]
	a.marks = append(a.marks[:0], mark{now, n})
}

// settle releases what nobody has to be waited for any more.
func (a *Arbiter) settle(now time.Duration) {
	a.now = now
	if a.takesOver(now) {
		a.takeOver(now)
	}
	a.other.forget(a.alive - a.Rules.Window)
	w := &a.waiting
	for len(w.list) > 0 {
		switch {
		case w.list[0].n == a.next:
			a.release()
		case w.size > a.Rules.Bytes || !a.awaiting():
			a.giveUp()
		case now >= w.oldest+a.Rules.Window:
			a.expire(now)
		default:
			return
		}
	}
}
