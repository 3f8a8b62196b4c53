package gather

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var drawRules = rapid.Custom(func(t *rapid.T) Rules {
	r := Rules{
		Policy:   rapid.SampledFrom([]Policy{Interleave, First, Collect}).Draw(t, "policy"),
		Timeout:  rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "timeout"),
		Messages: rapid.IntRange(1, 8).Draw(t, "messages"),
		Bytes:    rapid.IntRange(1, 100).Draw(t, "bytes"),
	}
	if r.Hedge = r.Policy == First && rapid.Bool().Draw(t, "hedge"); r.Hedge {
		r.HedgeAfter = rapid.SampledFrom([]time.Duration{0, 300 * time.Millisecond}).Draw(t, "hedge after")
	}
	return r
})

// TestAnySchedule has anything happen in any order, and holds the book against the
// model after every step.
func TestAnySchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules.Draw(t, "rules")
		m := &model{desk: newDesk(t, rules), r: t, rules: rules, pins: map[uint64]uint32{}, legs: 3}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"enter":   func(t *rapid.T) { m.r = t; m.enter() },
			"answer":  func(t *rapid.T) { m.r = t; m.answer() },
			"answer ": func(t *rapid.T) { m.r = t; m.answer() },
			"lose":    func(t *rapid.T) { m.r = t; m.lose() },
			"unsent":  func(t *rapid.T) { m.r = t; m.unsent() },
			"settle":  func(t *rapid.T) { m.r = t; m.settleOne() },
			"later": func(t *rapid.T) {
				m.r = t
				m.later(rapid.SampledFrom([]time.Duration{1, 1e8, 5e8, 1e9, late}).Draw(t, "by"))
			},
		})
		m.drain()
	})
}

// drain settles all, and lets what is owed be forgotten, or has nobody owe it.
func (m *model) drain() {
	for len(m.waiting) > 0 {
		rec := m.waiting[0]
		m.settled(rec)
		m.Settle(rec.e)
	}
	m.later(time.Hour)
	for _, rec := range slices.Clone(m.owing) {
		for len(rec.owes) > 0 {
			leg := rec.owes[0]
			rec.pays(leg)
			m.paid()
			m.Unsent(rec.e, leg)
		}
	}
	m.check(m.r)
	m.wantEmpty("at the end")
}

// check compares all that can be seen, and how it hangs together.
func (m *model) check(t *rapid.T) {
	wantList(t, "waiting", &m.Book.waiting, m.waiting)
	wantList(t, "owing", &m.Book.owing, m.owing)
	owed, entries := map[uint32]int{}, map[*Entry]bool{}
	for _, rec := range slices.Concat(m.waiting, m.owing) {
		entries[rec.e] = true
		for _, leg := range rec.owes {
			owed[leg]++
		}
	}
	for leg := range m.legs + 1 {
		if m.owed[leg] != owed[leg] {
			t.Fatalf("leg %d owes %d answers, and by what was resolved %d", leg, owed[leg], m.owed[leg])
		}
		if owes := slices.ContainsFunc(m.waiting, func(x *record) bool { return slices.Contains(x.owes, leg) }); m.Owes(leg) != owes {
			t.Fatalf("leg %d owes something that is waited for: %v", leg, owes)
		}
	}
	for hash, e := range m.index {
		for ; e != nil; e = e.chain {
			if !entries[e] || e.hash != hash || e.chain != nil && e.chain.Seq <= e.Seq {
				t.Fatalf("the index of %d leads to %+v", hash, e)
			}
			delete(entries, e)
		}
	}
	if len(entries) > 0 {
		t.Fatalf("%d entries are not in the index", len(entries))
	}
	for key := range uint64(3) {
		want, pinned := m.pins[key]
		if !pinned {
			want = free
		}
		m.wantPinned(fmt.Sprint("pins of ", m.pins), key, want)
	}
	full := len(m.waiting) >= m.rules.Messages || len(m.waiting) > 0 && sizes(m.waiting) >= m.rules.Bytes
	m.wantFull("by number and bytes", full)
	m.wantNext("the earliest of all", m.next())
}

// next is when the first thing of all happens.
func (m *model) next() (next time.Duration) {
	var all []time.Duration
	for k, rec := range m.waiting {
		if m.rules.Timeout > 0 && k == 0 {
			all = append(all, rec.asked+m.rules.Timeout)
		}
		if rec.unhedged {
			all = append(all, rec.asked+m.rules.HedgeAfter)
		}
	}
	if len(m.owing) > 0 && m.rules.Timeout > 0 {
		all = append(all, m.owing[0].asked+m.rules.Timeout+late)
	}
	if len(all) > 0 {
		next = slices.Min(all)
	}
	return next
}

// wantList wants a list to be these, by both of its ends, with their bytes.
func wantList(t *rapid.T, name string, l *list, want []*record) {
	if l.n != len(want) || l.bytes != sizes(want) {
		t.Fatalf("%s wants %d entries of %d bytes, got %d of %d", name, len(want), sizes(want), l.n, l.bytes)
	}
	e, f := l.first, l.last
	for k, rec := range want {
		if back := want[len(want)-1-k]; e != rec.e || f != back.e {
			t.Fatalf("%s is out of order at %d", name, k)
		}
		e, f = e.next, f.prev
	}
	if e != nil || f != nil {
		t.Fatalf("%s goes on behind its end", name)
	}
}
