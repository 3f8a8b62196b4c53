package loop

import (
	"math/bits"
	"time"
)

// Expirer is told when its timer is due. It answers when it wants to be told
// next, 0 for never. It may be told early, because arming is lazy: it holds its
// own deadlines against now. One that panics is told by Panicked, if it has that
// method.
type Expirer interface {
	Expire(now time.Duration) (next time.Duration)
}

// Timer is one entry of a loop's wheel. The zero Timer is unarmed. It is owned
// by the loop that it was armed on.
type Timer struct {
	next, prev *Timer
	owner      Expirer
	when       time.Duration
	at         uint16 // level*slots + slot
	armed      bool
}

const (
	tick   = 4 * time.Millisecond
	slots  = 64
	levels = 9 // the outermost reaches 49 days; what is further is looked at then
	climb  = 3 // each level's slots last 8 times as long as the inner one's
)

// wheel keeps timers by level: the further away, the coarser the slot. A slot
// is visited when it begins; what is not due then moves inwards, so a timer
// fires within a tick of its time and is touched at most once a level.
type wheel struct {
	slot [levels * slots]*Timer // heads of rings
	used [levels]uint64         // bit i: slot i holds timers
	tick int64                  // ticks of time that have been served
	n    int
	// expire calls an owner; the loop's own survives a panic.
	expire func(Expirer, time.Duration) time.Duration
}

func ticks(t time.Duration) int64 { return int64((t + tick - 1) / tick) }

// arm makes sure that t is due no later than when.
func (w *wheel) arm(t *Timer, owner Expirer, when time.Duration) {
	if t.armed {
		if t.when <= when {
			return
		}
		w.stop(t)
	}
	t.owner, t.when = owner, when
	w.insert(t)
}

func (w *wheel) insert(t *Timer) {
	due := max(ticks(t.when), w.tick+1)
	level := 0
	for level < levels-1 && (due>>(climb*level))-(w.tick>>(climb*level)) >= slots {
		level++
	}
	s := uint16(due >> (climb * level) & (slots - 1))
	t.at, t.armed = uint16(level)*slots+s, true
	if head := w.slot[t.at]; head != nil {
		t.next, t.prev = head, head.prev
		head.prev.next, head.prev = t, t
	} else {
		t.next, t.prev = t, t
		w.slot[t.at] = t
		w.used[level] |= 1 << s
	}
	w.n++
}

// stop disarms t.
func (w *wheel) stop(t *Timer) {
	if !t.armed {
		return
	}
	if t.next == t {
		w.slot[t.at] = nil
		w.used[t.at/slots] &^= 1 << (t.at % slots)
	} else {
		t.prev.next, t.next.prev = t.next, t.prev
		if w.slot[t.at] == t {
			w.slot[t.at] = t.next
		}
	}
	t.next, t.prev, t.armed = nil, nil, false
	w.n--
}

// due gives the tick at which the next slot begins, and false when the wheel
// is empty.
func (w *wheel) due() (int64, bool) {
	if w.n == 0 {
		return 0, false
	}
	first := int64(1) << 62
	for level, used := range w.used {
		if used == 0 {
			continue
		}
		at := w.tick >> (climb * level)
		// The slot behind the present one is rotated to bit 0.
		ahead := bits.TrailingZeros64(bits.RotateLeft64(used, -int((at+1)&(slots-1)))) + 1
		first = min(first, max((at+int64(ahead))<<(climb*level), w.tick+1))
	}
	return first, true
}

// advance fires what is due at now.
func (w *wheel) advance(now time.Duration) {
	target := int64(now / tick)
	for {
		next, ok := w.due()
		if !ok || next > target {
			break
		}
		w.tick = next
		for level := 0; level < levels; level++ {
			if next&(1<<(climb*level)-1) != 0 {
				break // this slot began before
			}
			w.serve(level*slots+int(next>>(climb*level)&(slots-1)), now)
		}
	}
	w.tick = max(w.tick, target)
}

// serve empties a slot: what is due fires, the rest moves inwards.
func (w *wheel) serve(at int, now time.Duration) {
	for t := w.slot[at]; t != nil; t = w.slot[at] {
		w.stop(t)
		if t.when > now {
			w.insert(t)
			if int(t.at) == at { // cannot move inwards: its time has come but for a fraction of a tick
				w.stop(t)
			} else {
				continue
			}
		}
		if next := w.call(t.owner, now); next > 0 {
			w.arm(t, t.owner, max(next, now+1)) // Expire may have armed it for later
		}
	}
}

func (w *wheel) call(owner Expirer, now time.Duration) time.Duration {
	if w.expire != nil {
		return w.expire(owner, now)
	}
	return owner.Expire(now)
}

// until tells how long the loop may sleep from now, and false for ever.
func (w *wheel) until(now time.Duration) (time.Duration, bool) {
	next, ok := w.due()
	if !ok {
		return 0, false
	}
	return max(time.Duration(next)*tick-now, 0), true
}
