package arbiter

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// item is a message that is kept. Its payload is its own.
type item struct {
	n  int64
	at time.Duration
	Message
	line *Line
}

// perItem is what an item takes beside its payload, in bytes.
const perItem = 80

func (i *item) size() int64 { return int64(len(i.Payload)) + perItem }

// waiting are messages ahead of a gap, by number.
type waiting struct {
	list   []item
	size   int64
	oldest time.Duration // no message came earlier
}

// find gives where n is, or would be.
func (w *waiting) find(n int64) (at int, found bool) {
	at = sort.Search(len(w.list), func(i int) bool { return w.list[i].n >= n })
	return at, at < len(w.list) && w.list[at].n == n
}

// mark says that at that time all below next had been released.
type mark struct {
	at   time.Duration
	next int64
}

// marksKept is in how many steps what is remembered of numbers moves on.
const marksKept = 8

// roll moves on what is remembered, and counts for each line what it has not
// delivered within the window.
func (a *Arbiter) roll(now time.Duration) {
	if !a.begun {
		return
	}
	if last := a.marks[len(a.marks)-1]; now-last.at >= a.Rules.Window/marksKept && a.next > last.next {
		a.marks = append(a.marks, mark{now, a.next})
	}
	done := 0
	for done+1 < len(a.marks) && a.marks[done+1].at <= now-a.Rules.Window {
		done++
	}
	if done > 0 {
		a.marks = append(a.marks[:0], a.marks[done:]...)
	}
	low := a.first
	if m := a.marks[0]; m.at <= now-a.Rules.Window {
		low = max(a.first, min(m.next, a.next-1))
	}
	if low <= a.low {
		return
	}
	a.low = low
	for _, l := range a.lines {
		if l.up && l.spoke && !l.away && l.through() < low-1 {
			l.Missing += a.delivered(l.through()+1, low)
			l.counted = low - 1
		}
	}
}

// through is up to where it is known what the line has not delivered.
func (l *Line) through() int64 { return max(l.last, l.counted) }

// place finds what becomes of number n of a line.
func (a *Arbiter) place(l *Line, n int64, m Message, now time.Duration) {
	a.alive = now
	if n >= a.next-1 {
		l.behind = false
	}
	a.pass(l, n)
	switch {
	case n < a.next && a.gaps.take(n):
		l.Filled++
		a.emit(m)
	case n < a.next:
		l.Late++
		return
	case n == a.next:
		l.Won++
		a.emit(m)
		a.next++
		a.release()
	default:
		at, found := a.waiting.find(n)
		if found {
			l.Late++
			return
		}
		l.Won++
		a.hold(at, item{n, now, Message{m.Op, slices.Clone(m.Payload)}, l})
	}
	a.missedBy(l, n)
}

// pass notes what of the numbers before n the line has passed over.
func (a *Arbiter) pass(l *Line, n int64) {
	if !l.spoke {
		l.spoke, l.first, l.last, l.counted = true, n, n, n
		return
	}
	if n <= l.last {
		return
	}
	if from := l.through() + 1; from < n {
		l.Missing += a.delivered(from, n)
	}
	l.last = n
}

// missedBy counts n, which l delivers as the first, for those who have passed
// it.
func (a *Arbiter) missedBy(l *Line, n int64) {
	for _, o := range a.lines {
		if o != l && o.up && o.spoke && !o.away && o.first <= n && n <= o.through() {
			o.Missing++
		}
	}
}

// delivered counts the numbers of [from, to) that some line has delivered.
func (a *Arbiter) delivered(from, to int64) (n uint64) {
	if end := min(to, a.next); from < end {
		n = uint64(end-from) - a.gaps.within(from, end)
	}
	lo, _ := a.waiting.find(from)
	hi, _ := a.waiting.find(to)
	return n + uint64(hi-lo)
}

func (a *Arbiter) hold(at int, i item) {
	w := &a.waiting
	if len(w.list) == 0 {
		w.oldest = i.at
	}
	w.list = slices.Insert(w.list, at, i)
	w.size += i.size()
}

// release passes on what is held and has nothing before it.
func (a *Arbiter) release() {
	w := &a.waiting
	k := 0
	for k < len(w.list) && w.list[k].n == a.next {
		w.size -= w.list[k].size()
		a.emit(w.list[k].Message)
		a.next++
		k++
	}
	clear(w.list[:k])
	if w.list = w.list[k:]; len(w.list) == 0 {
		w.list = nil
	}
}

// awaiting tells whether a line may fill the gap.
func (a *Arbiter) awaiting() bool { return slices.ContainsFunc(a.lines, a.awaits) }

// awaits tells whether a line may deliver the next number: it is connected, not
// behind, and has not passed it. One that may repeat the past may get there, one
// that was lost a moment ago may come back.
func (a *Arbiter) awaits(l *Line) bool {
	if !l.up {
		return a.now < l.until && l.left < a.next
	}
	return l.up && !l.behind && (!l.away || l.fresh) && (!l.spoke || l.away || l.last < a.next)
}

// giveUp reports the gap. Lines over whose silence that happens are behind.
func (a *Arbiter) giveUp() {
	for _, l := range a.lines {
		if a.awaits(l) {
			l.behind, l.until = true, 0
		}
	}
	to := a.waiting.list[0].n
	a.out.Gaps = append(a.out.Gaps, Gap{a.next, uint64(to - a.next)})
	a.gaps.add(a.next, to)
	a.next = to
}

// expire gives up the gaps before every message that has waited for the window.
func (a *Arbiter) expire(now time.Duration) {
	w := &a.waiting
	through, late := int64(0), false
	for i := range w.list {
		if w.list[i].at <= now-a.Rules.Window {
			through, late = w.list[i].n, true
		}
	}
	for late && len(w.list) > 0 && w.list[0].n <= through {
		a.giveUp()
		a.release()
	}
	if len(w.list) > 0 {
		w.oldest = slices.MinFunc(w.list, func(x, y item) int { return cmp.Compare(x.at, y.at) }).at
	}
}
