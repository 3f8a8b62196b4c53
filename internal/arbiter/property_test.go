package arbiter

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
	"pgregory.net/rapid"
)

// journal keeps what was passed on and what was reported, and holds it against
// what must always be true.
type journal struct {
	t        *rapid.T
	a        *Arbiter
	now      time.Duration
	passed   []uint64 // which arrivals, in order
	arrivals uint64
	gaps     []Gap
}

func (j *journal) take(out *Out) {
	for _, m := range out.Messages {
		j.passed = append(j.passed, binary.BigEndian.Uint64(m.Payload))
	}
	j.gaps = append(j.gaps, out.Gaps...)
	j.check()
}

// arrive has a line deliver n. It gives which arrival that is.
func (j *journal) arrive(l *Line, n int64) uint64 {
	j.arrivals++
	p := binary.BigEndian.AppendUint64(nil, j.arrivals)
	j.take(j.a.Number(l, n, Message{ws.Binary, p}, j.now))
	clear(p)
	return j.arrivals
}

func (j *journal) check() {
	a := j.a
	var c Counts
	for _, l := range a.lines {
		c.Won += l.Won
		c.Late += l.Late
		c.Filled += l.Filled
		c.Old += l.Old
	}
	held, other := uint64(len(a.waiting.list)), uint64(len(a.other.list))
	if all := c.Won + c.Late + c.Filled + c.Old + other; all != j.arrivals {
		j.t.Fatalf("%d messages came, and %d are accounted for: %+v, %d elsewhere", j.arrivals, all, c, other)
	}
	if passed := uint64(len(j.passed)); passed+held != c.Won+c.Filled {
		j.t.Fatalf("%d were passed on and %d are held, and %+v counted", passed, held, c)
	}
	if a.waiting.size > a.Rules.Bytes || a.other.size > a.Rules.Bytes || len(a.gaps) > 2*mostSpans || len(a.marks) > marksKept+2 {
		j.t.Fatalf("too much is kept: %d and %d bytes, %d gaps, %d marks", a.waiting.size, a.other.size, len(a.gaps), len(a.marks))
	}
	size, least := int64(0), a.next+1
	for _, i := range a.waiting.list {
		if i.n < least {
			j.t.Fatalf("%d is held, after %d", i.n, least-1)
		}
		least = i.n + 1
		if size += i.size(); i.at <= j.now-a.Rules.Window {
			j.t.Fatalf("number %d has waited since %v, now is %v", i.n, i.at, j.now)
		}
	}
	if size != a.waiting.size {
		j.t.Fatalf("%d bytes are held, and %d counted", size, a.waiting.size)
	}
	if at := a.Deadline(); at != 0 && at <= j.now {
		j.t.Fatalf("the deadline %v has passed, now is %v", at, j.now)
	}
}

// TestAnything: whatever lines do, each message is accounted for, none is passed
// on twice or held too long, and memory is bounded.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &Arbiter{Rules: Rules{Window: time.Second, Bytes: rapid.SampledFrom([]int64{1, 500, 5000}).Draw(t, "bytes")}}
		j := &journal{t: t, a: a, now: time.Hour}
		var lines []*Line
		for range rapid.IntRange(1, 3).Draw(t, "lines") {
			lines = append(lines, a.Line())
		}
		at := make([]int64, len(lines))
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				j.take(a.Lost(lines[k], j.now))
			case 1:
				at[k] = rapid.Int64Range(0, 100).Draw(t, "anew")
			case 2:
				j.now += time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond
				j.take(a.Tick(j.now))
			case 3, 4:
				at[k] += rapid.Int64Range(0, 5).Draw(t, "skipped")
			default:
				if !lines[k].up {
					a.Back(lines[k])
				}
				j.arrive(lines[k], at[k])
				at[k]++
			}
		}
		var passed []int64
		for _, which := range j.passed {
			passed = append(passed, int64(which))
		}
		wantOnce(t, passed)
	})
}

// shipment is a number on its way over a line.
type shipment struct {
	n    int64
	at   time.Duration
	line int
}

// redundant draws what two or three lines deliver of the same numbers, each with
// a lag of its own, dropping some, and dying in turn.
func redundant(t *rapid.T, lines int) (list []shipment, dead [][2]time.Duration) {
	const step = 10 * time.Millisecond
	count := rapid.IntRange(20, 200).Draw(t, "numbers")
	end := time.Duration(count) * step
	for i := range lines {
		lag := time.Duration(rapid.IntRange(0, 40).Draw(t, "lag")) * 7 * time.Millisecond
		drops := rapid.IntRange(2, 20).Draw(t, "drops one in")
		odd := rapid.IntRange(0, 19).Draw(t, "from")
		from := time.Duration(rapid.IntRange(0, count).Draw(t, "dies")) * step
		dead = append(dead, [2]time.Duration{from, from + time.Duration(rapid.IntRange(0, count/2).Draw(t, "for"))*step})
		for n := range count {
			at := time.Duration(n)*step + lag
			if n%drops != odd%drops && (at <= dead[i][0] || at >= dead[i][1]) && at < end+time.Second {
				list = append(list, shipment{int64(n), at, i})
			}
		}
	}
	slices.SortStableFunc(list, func(x, y shipment) int { return int((x.at - y.at) / time.Microsecond) })
	return list, dead
}

// TestRedundantLines: of every number that one of the lines delivers one message
// is passed on, in order; what none delivers is reported once. Where a line dies
// the others' gaps are not held for it: what it has of them when it is back comes
// late.
func TestRedundantLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window = 2 * time.Second // more than any lag and any silence of a line that lives
		a := &Arbiter{Rules: Rules{Window: window, Bytes: 1 << 20}}
		j := &journal{t: t, a: a, now: time.Hour}
		list, dead := redundant(t, rapid.IntRange(2, 3).Draw(t, "lines"))
		numbers := deliver(j, list, dead)
		var got []int64
		for _, which := range j.passed {
			got = append(got, numbers[which])
		}
		wantOnce(t, got)
		missing := map[int64]bool{}
		for _, g := range j.gaps {
			for n := g.First; n < g.First+int64(g.Count); n++ {
				if missing[n] {
					t.Fatalf("number %d was reported twice", n)
				}
				missing[n] = true
			}
		}
		for _, n := range numbers {
			if n >= got[0] && !slices.Contains(got, n) {
				t.Fatalf("number %d came and was not passed on: %v", n, got)
			}
		}
		for n := got[0]; n < slices.Max(got); n++ {
			if !slices.Contains(got, n) && !missing[n] {
				t.Fatalf("number %d never came, and that was not reported", n)
			}
		}
		inOrder := slices.DeleteFunc(slices.Clone(got), func(n int64) bool { return missing[n] })
		if len(inOrder) < len(got) && !slices.ContainsFunc(dead, func(d [2]time.Duration) bool { return d[1] > d[0] }) {
			t.Fatalf("numbers were reported and came, and no line was dead: %v", got)
		}
		if !slices.IsSorted(inOrder) {
			t.Fatalf("not in order, but for what was missing: %v", got)
		}
	})
}

// deliver has the lines deliver the list. It gives the numbers of arrivals.
func deliver(j *journal, list []shipment, dead [][2]time.Duration) map[uint64]int64 {
	a, numbers := j.a, map[uint64]int64{}
	const unborn, gone, back = 0, 1, 2
	state := make([]int, len(dead))
	for range dead {
		a.Back(a.Line())
	}
	for _, s := range list {
		for i, l := range a.lines {
			if state[i] == unborn && s.at > dead[i][0] && dead[i][1] > dead[i][0] {
				j.take(a.Lost(l, j.now))
				state[i] = gone
			}
			if state[i] == gone && s.at >= dead[i][1] {
				a.Back(l)
				state[i] = back
			}
		}
		j.now = time.Hour + s.at
		j.take(a.Tick(j.now))
		numbers[j.arrivals+1] = s.n
		j.arrive(a.lines[s.line], s.n)
	}
	j.now += a.Rules.Window
	j.take(a.Tick(j.now))
	return numbers
}

func wantOnce(t *rapid.T, got []int64) {
	sorted := slices.Clone(got)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(got) {
		t.Fatalf("a number was passed on twice: %v", got)
	}
}

// TestRestarts: lines that begin anew, one after the other, each within its
// connection or by another one: nothing of either numbering is lost or doubled.
func TestRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window, step = time.Second, 10 * time.Millisecond
		a := &Arbiter{Rules: Rules{Window: window, Bytes: 1 << 20}}
		j := &journal{t: t, a: a, now: time.Hour}
		count := rapid.IntRange(1, 3).Draw(t, "lines")
		reconnect := rapid.Bool().Draw(t, "by another connection")
		drops := count > 1 && rapid.Bool().Draw(t, "dropping some")
		const was, is = 150, 100 // numbers of the old numbering and the new one
		var list []shipment
		for i := range count {
			a.Back(a.Line())
			lag := time.Duration(rapid.IntRange(0, 60).Draw(t, "lag")) * 7 * time.Millisecond
			for n := range was + is {
				s := shipment{10_000 + int64(n), time.Duration(n)*step + lag, i}
				if n >= was {
					s.n = int64(n - was)
				}
				if !drops || n%7 != i || n < 7 {
					list = append(list, s)
				}
			}
		}
		slices.SortStableFunc(list, func(x, y shipment) int { return int((x.at - y.at) / time.Microsecond) })
		anew := make([]bool, count)
		numbers := map[uint64]int64{}
		for _, s := range list {
			j.now = time.Hour + s.at
			l := a.lines[s.line]
			if reconnect && s.n < 10_000 && !anew[s.line] {
				anew[s.line] = true
				j.take(a.Lost(l, j.now))
				a.Back(l)
			}
			j.take(a.Tick(j.now))
			numbers[j.arrivals+1] = s.n
			j.arrive(l, s.n)
		}
		for range 2 {
			j.now += window
			j.take(a.Tick(j.now))
		}
		var got, want []int64
		for _, which := range j.passed {
			got = append(got, numbers[which])
		}
		for n := range int64(was) {
			want = append(want, 10_000+n)
		}
		for n := range int64(is) {
			want = append(want, n)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("passed on were %v", got)
		}
	})
}
