package gather

import (
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// model is what a book must do, written down as plainly as can be: lists that are
// walked from end to end.
type model struct {
	*desk
	r       *rapid.T
	rules   Rules
	waiting []*record // in the order of asking
	owing   []*record // in the order of their answers
	pins    map[uint64]uint32
	lost    []uint32 // legs that are gone
	legs    uint32   // the latest
}

// record is one message, and what its client got.
type record struct {
	e        *Entry
	id       string
	asked    time.Duration
	key      uint64 // 0: none
	pinned   bool
	held     int
	owes     []uint32 // legs, a leg as often as it was asked
	legs     int      // that were asked
	unhedged bool     // its second copy is to go out
	room     int      // bytes of replies
	passed   int      // answers that the client got
	settled  bool
}

func (rec *record) size() int { return 2*len(rec.id) + rec.held + rec.room }

func sizes(list []*record) (n int) {
	for _, rec := range list {
		n += rec.size()
	}
	return n
}

// pays takes one of the leg's debts off a record.
func (rec *record) pays(leg uint32) bool {
	k := slices.Index(rec.owes, leg)
	if k >= 0 {
		rec.owes = slices.Delete(rec.owes, k, k+1)
	}
	return k >= 0
}

var (
	drawID  = rapid.SampledFrom([]string{"1", "2", "33", `"1"`, strings.Repeat("x", 30)})
	drawKey = rapid.Uint64Range(0, 2)
)

// leg draws one that is there, or now and then was.
func (m *model) leg() uint32 {
	leg := rapid.Uint32Range(max(m.legs, 3)-2, m.legs).Draw(m.r, "leg")
	if slices.Contains(m.lost, leg) {
		m.legs++
		return m.legs
	}
	return leg
}

// ask has a leg asked, unless it owes an answer to that message already, which no
// caller asks twice.
func (m *model) ask(rec *record, leg uint32) {
	if slices.Contains(rec.owes, leg) {
		return
	}
	m.sent(rec.e, leg)
	rec.owes = append(rec.owes, leg)
	rec.legs++
}

func (m *model) pin(rec *record, leg uint32) {
	if rec.key != 0 {
		m.pins[rec.key], rec.pinned = leg, true
	}
}

func (m *model) enter() {
	if m.Full() {
		m.r.Skip("full")
	}
	rec := &record{id: drawID.Draw(m.r, "id"), asked: m.now, unhedged: m.rules.Hedge && m.rules.HedgeAfter > 0}
	rec.e = m.asks(rec.id)
	m.waiting = append(m.waiting, rec)
	if rapid.Bool().Draw(m.r, "held") {
		rec.held = rapid.IntRange(1, 50).Draw(m.r, "bytes")
		m.Hold(rec.e, make([]byte, rec.held))
	}
	if rapid.Bool().Draw(m.r, "named before") {
		rec.key = drawKey.Draw(m.r, "key")
	}
	if rec.key != 0 {
		m.About(rec.e, rec.key)
		m.pin(rec, m.pins[rec.key]) // where those before it are
	}
	for range rapid.IntRange(0, 3).Draw(m.r, "legs") {
		if rapid.IntRange(0, 4).Draw(m.r, "down") == 0 {
			m.Missing(rec.e, "down")
			continue
		}
		leg, first := m.leg(), rec.legs == 0
		if m.ask(rec, leg); first {
			m.pin(rec, leg)
			m.Repin(rec.e)
		}
	}
	if len(rec.owes) == 0 {
		m.rule(rec)
	}
}

// rule does with an orphan what a caller may: settle it, ask another leg, or wait.
func (m *model) rule(rec *record) {
	switch rapid.IntRange(0, 2).Draw(m.r, "orphan") {
	case 0:
		m.settled(rec)
		m.Settle(rec.e)
	case 1:
		leg := m.leg()
		m.ask(rec, leg)
		m.pin(rec, leg)
		m.Repin(rec.e)
	}
}

// settled takes a message out of those that are waited for.
func (m *model) settled(rec *record) {
	m.waiting = slices.DeleteFunc(m.waiting, func(x *record) bool { return x == rec })
	if rec.settled = true; rec.pinned && !slices.ContainsFunc(m.waiting, func(x *record) bool { return x.pinned && x.key == rec.key }) {
		delete(m.pins, rec.key)
	}
	rec.held, rec.room = 0, 0
	if len(rec.owes) == 0 {
		return
	}
	m.owing = append(m.owing, rec)
	for len(m.owing) > m.rules.Messages || len(m.owing) > 1 && sizes(m.owing) > m.rules.Bytes {
		m.owing = m.owing[1:]
	}
}

// paid takes those that nobody owes anything any more out of the owing.
func (m *model) paid() {
	m.owing = slices.DeleteFunc(m.owing, func(x *record) bool { return len(x.owes) == 0 })
}

// find gives the oldest message of that id to which the leg owes an answer.
func (m *model) find(leg uint32, id string) (oldest *record) {
	for _, rec := range slices.Concat(m.waiting, m.owing) {
		if rec.id == id && slices.Contains(rec.owes, leg) && (oldest == nil || rec.e.Seq < oldest.e.Seq) {
			oldest = rec
		}
	}
	return oldest
}

func (m *model) answer() {
	leg, id := m.leg(), drawID.Draw(m.r, "id")
	says := strings.Repeat("1", rapid.IntRange(1, 60).Draw(m.r, "size"))
	rec := m.find(leg, id)
	switch {
	case rec == nil:
		m.want("nothing that was asked", leg, id, says, Unknown)
		return
	case rec.settled && m.rules.Policy != Interleave, rec.settled && rec.passed == 0:
		rec.pays(leg)
		m.want("the client has its answer", leg, id, says, Late)
	case m.rules.Policy == Collect:
		m.collected(rec, leg, says)
	default:
		rec.pays(leg)
		rec.passed++
		if m.want("the client's", leg, id, says, Pass); !rec.settled {
			m.settled(rec)
		}
	}
	m.paid()
	if rec.passed > 1 && m.rules.Policy != Interleave || rec.passed > rec.legs {
		m.r.Fatalf("%s is answered %d times", id, rec.passed)
	}
}

func (m *model) collected(rec *record, leg uint32, says string) {
	want := Held
	rec.pays(leg)
	first := m.waiting[0]
	if rec == first || sizes(m.waiting) < m.rules.Bytes || !slices.Contains(first.owes, leg) {
		rec.room += len(says)
	} else {
		want = NoRoom
	}
	if want == Held && len(rec.owes) == 0 {
		want = Whole
	}
	e := m.want("one of several", leg, rec.id, says, want)
	if (e == rec.e) != (len(rec.owes) == 0) {
		m.r.Fatalf("the entry is given with the last answer, and then alone")
	}
	if e != nil {
		rec.passed++
		m.settled(rec)
		m.Settle(e)
	}
}

func (m *model) lose() {
	leg := m.leg()
	m.lost = append(m.lost, leg)
	var want []string
	var orphans []*record
	for _, rec := range slices.Concat(m.owing, m.waiting) {
		switch {
		case !rec.pays(leg) || rec.settled:
		case len(rec.owes) == 0:
			want, orphans = append(want, rec.id), append(orphans, rec)
		case rec.key != 0 && !slices.Contains(rec.owes, m.pins[rec.key]):
			m.pins[rec.key] = rec.owes[0]
		}
	}
	m.paid()
	m.wantLost("a leg is lost", leg, want...)
	for _, rec := range orphans {
		m.rule(rec)
	}
}

func (m *model) unsent() {
	all := slices.Concat(m.waiting, m.owing)
	if len(all) == 0 {
		m.r.Skip("nothing is there")
	}
	rec := rapid.SampledFrom(all).Draw(m.r, "entry")
	leg := m.leg()
	rec.pays(leg)
	m.paid()
	m.Unsent(rec.e, leg)
}

func (m *model) settleOne() {
	if len(m.waiting) == 0 {
		m.r.Skip("nothing is there")
	}
	rec := rapid.SampledFrom(m.waiting).Draw(m.r, "entry")
	m.settled(rec)
	m.Settle(rec.e)
}

// later lets time pass. Hedges go out, and may be asked of another leg.
func (m *model) later(by time.Duration) {
	m.now += by
	expired := func(e *Entry) {
		rec := m.waiting[0]
		if rec.e != e || m.rules.Timeout == 0 || m.now < rec.asked+m.rules.Timeout {
			m.r.Fatalf("the oldest expires, and only when it is time")
		}
		m.settled(rec)
		m.Settle(e)
	}
	hedge := func(e *Entry) {
		k := slices.IndexFunc(m.waiting, func(x *record) bool { return x.unhedged })
		if k < 0 || m.waiting[k].e != e || m.now < m.waiting[k].asked+m.rules.HedgeAfter {
			m.r.Fatalf("the oldest without a second copy gets it, and only when it is time")
		}
		m.waiting[k].unhedged = false
		m.ask(m.waiting[k], m.leg())
	}
	// What is owed is forgotten behind what expires, and before what is hedged.
	m.Expire(m.now, expired, func(e *Entry) { m.forget(); hedge(e) })
	m.forget()
	for _, rec := range m.waiting {
		if m.rules.Timeout > 0 && m.now >= rec.asked+m.rules.Timeout || rec.unhedged && m.now >= rec.asked+m.rules.HedgeAfter {
			m.r.Fatalf("%s wants to be expired or hedged at %v", rec.id, m.now)
		}
	}
}

func (m *model) forget() {
	for m.rules.Timeout > 0 && len(m.owing) > 0 && m.now >= m.owing[0].asked+m.rules.Timeout+late {
		m.owing = m.owing[1:]
	}
}
