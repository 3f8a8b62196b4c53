package arbiter

import (
	"cmp"
	"slices"
	"time"
)

// The rule of restarts. A number below all that is remembered, from a line that
// goes back by it or has just connected, may begin another numbering: the line
// is away, and what it says is kept. The stream goes on in that numbering
//
//   - as soon as every connected line that has spoken and is not behind is away,
//     and went there within its connection: a line that is in order does not repeat itself;
//   - else when no line has gone on in the present one for the window.
//
// A line that comes to a remembered number is back: it repeated the past, and
// what was kept of it is dropped, but for what had been missing. What the present
// numbering has gone on behind for the window, and what is over the bytes, is
// dropped, and counted as old.

// other is what lines that are away have said, as it came.
type other struct {
	list  []item
	size  int64
	since time.Duration // when the first of it came
}

// elsewhere tells whether n, of a line, is of another numbering.
func (a *Arbiter) elsewhere(l *Line, n int64) bool {
	return n < a.low && (l.away || l.fresh || l.spoke && n < l.last)
}

// stray keeps a message of another numbering.
func (a *Arbiter) stray(l *Line, i item) {
	o := &a.other
	if len(o.list) == 0 {
		o.since = i.at
	}
	l.away, l.spoke, l.last = true, true, i.n
	i.Payload = slices.Clone(i.Payload)
	o.list = append(o.list, i)
	o.size += i.size()
	k := 0
	for size := o.size; size > a.Rules.Bytes && k < len(o.list); k++ {
		size -= o.list[k].size()
	}
	o.drop(k)
}

// forget drops what came until then.
func (o *other) forget(until time.Duration) {
	k := 0
	for k < len(o.list) && o.list[k].at <= until {
		k++
	}
	o.drop(k)
}

// drop drops the k oldest.
func (o *other) drop(k int) {
	for i := range o.list[:k] {
		o.size -= o.list[i].size()
		o.list[i].line.Old++
	}
	o.list = slices.Delete(o.list, 0, k)
}

// home takes a line back into the present numbering: what it said before was the
// past.
func (a *Arbiter) home(l *Line) {
	l.away, l.spoke = false, false
	o := &a.other
	o.list = slices.DeleteFunc(o.list, func(i item) bool {
		if i.line != l {
			return false
		}
		o.size -= i.size()
		switch {
		case i.n < a.first:
			l.Old++
		case a.gaps.take(i.n):
			l.Filled++
			a.emit(i.Message)
		default:
			l.Late++
		}
		return true
	})
}

// takesOver tells whether the stream goes on in the other numbering.
func (a *Arbiter) takesOver(now time.Duration) bool {
	if len(a.other.list) == 0 {
		return false
	}
	sure := false
	for _, l := range a.lines {
		if !l.up || !l.spoke || l.behind {
			continue
		}
		if sure = l.away && !l.fresh; !sure {
			break
		}
	}
	return sure || now >= max(a.alive, a.other.since)+a.Rules.Window
}

// takeOver ends the present numbering and begins the other one.
func (a *Arbiter) takeOver(now time.Duration) {
	for len(a.waiting.list) > 0 {
		if a.waiting.list[0].n != a.next {
			a.giveUp()
		}
		a.release()
	}
	list := a.other.list
	a.other, a.out.Anew = other{}, true
	a.begin(slices.MinFunc(list, func(x, y item) int { return cmp.Compare(x.n, y.n) }).n, now)
	for _, l := range a.lines {
		*l = Line{Counts: l.Counts, up: l.up, behind: l.behind}
	}
	for _, i := range list {
		a.place(i.line, i.n, i.Message, i.at)
	}
	a.alive = now
}
