package balance_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-proxy/sluice/internal/balance"
)

// drawParts gives the parts of a load.
func drawParts(t *rapid.T) balance.Parts {
	rtt := rapid.Int64Range(0, int64(time.Second))
	return balance.Parts{
		Sessions: rapid.IntRange(0, 1e5).Draw(t, "sessions"),
		Messages: rapid.Float64Range(0, 1e6).Draw(t, "messages"),
		Bytes:    rapid.Float64Range(0, 1e10).Draw(t, "bytes"),
		RTT:      time.Duration(rtt.Draw(t, "rtt")),
		Usual:    time.Duration(rtt.Draw(t, "usual")),
	}
}

// TestScoreIsMonotone: more of anything never counts as less.
func TestScoreIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParts(t)
		more := map[string]balance.Parts{"sessions": p, "messages": p, "bytes": p, "slowness": p}
		add := func(part string, change func(*balance.Parts)) {
			q := more[part]
			change(&q)
			more[part] = q
		}
		add("sessions", func(q *balance.Parts) { q.Sessions++ })
		add("messages", func(q *balance.Parts) { q.Messages += 100 })
		add("bytes", func(q *balance.Parts) { q.Bytes += 1e6 })
		add("slowness", func(q *balance.Parts) {
			q.RTT += time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "more"))
		})
		if p.Score(1) < float64(p.Sessions) {
			t.Fatalf("%+v counts %v, less than its sessions", p, p.Score(1))
		}
		for part, q := range more {
			if q.Score(1) < p.Score(1) || part != "slowness" && q.Score(1) == p.Score(1) {
				t.Fatalf("with more %s it goes from %v to %v: %+v", part, p.Score(1), q.Score(1), p)
			}
		}
	})
}

func TestScore(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		p    balance.Parts
		want float64
	}{
		{"nothing", balance.Parts{}, 0},
		{"idle sessions count one each", balance.Parts{Sessions: 7}, 7},
		{"ten messages a second are a session more", balance.Parts{Sessions: 1, Messages: 10}, 2},
		{"16 KiB a second are a session more", balance.Parts{Sessions: 1, Bytes: 16 << 10}, 2},
		{"a round trip as usual", balance.Parts{Sessions: 5, RTT: 10 * ms, Usual: 10 * ms}, 5},
		{"twice the usual is noise", balance.Parts{Sessions: 5, RTT: 20 * ms, Usual: 10 * ms}, 5},
		{"faster than usual gives no credit", balance.Parts{Sessions: 5, RTT: ms, Usual: 10 * ms}, 5},
		{"ten times a usual of microseconds is noise", balance.Parts{Sessions: 5, RTT: 200 * time.Microsecond, Usual: 20 * time.Microsecond}, 5},
		{"no round trip known", balance.Parts{Sessions: 5, Usual: 10 * ms}, 5},
		{"no past known", balance.Parts{Sessions: 5, RTT: 10 * ms}, 5},
	} {
		if got := c.p.Score(1); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	slow := balance.Parts{Sessions: 5, RTT: 100 * ms, Usual: 10 * ms}
	if got := slow.Score(1); got < 5*60 || got > 5*64 {
		t.Errorf("ten times slower than usual, five sessions count %v, want 64 times as much", got)
	}
	if got := slow.Score(slow.Ratio()); got != 5 {
		t.Errorf("as slow as all the others, five sessions count %v, want 5", got)
	}
}

func TestPast(t *testing.T) {
	const ms = time.Millisecond
	var p balance.Past
	now := time.Hour
	add := func(rtt time.Duration, n int) {
		for range n {
			now += time.Second
			p.Add(rtt, now)
		}
	}
	within := func(what string, got, low, high time.Duration) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: %v, want %v to %v", what, got, low, high)
		}
	}
	within("before the first sample", p.Lately()+p.Usual(), 0, 0)
	add(10*ms, 1)
	within("one sample is lately", p.Lately(), 10*ms-1, 10*ms)
	within("and usual", p.Usual(), 10*ms-1, 10*ms)
	add(100*ms, 1)
	within("one slow answer is not lately yet", p.Lately(), 10*ms, 10*ms)
	within("nor usual", p.Usual(), 10*ms, 10*ms)
	add(100*ms, 20)
	within("slow for 20 s, lately knows", p.Lately(), 95*ms, 100*ms)
	within("and the usual is of the past", p.Usual(), 10*ms, 13*ms)
	add(100*ms, 3600)
	within("slow for an hour is usual", p.Usual(), 90*ms, 100*ms)
	add(5*ms, 30)
	within("quick again, the usual falls at once", p.Usual(), 5*ms, 6*ms)
	add(5*ms, 100)
	now += 24 * time.Hour
	add(50*ms, 1)
	within("after a day without a sample one does not overturn it", p.Usual(), 5*ms, 12*ms)
}

// TestBusyAndSlow is the case that least_load is for: four instances, one with
// 20 sessions of 1000 messages a second each way, one whose round trip takes
// ten times its usual. Of 1000 new sessions, picked one after another, each of
// the two gets less than 60 % of a fair share.
func TestBusyAndSlow(t *testing.T) {
	for _, usual := range []time.Duration{100 * time.Microsecond, time.Millisecond, 20 * time.Millisecond} {
		parts := [4]balance.Parts{{Sessions: 20, Messages: 40000, Bytes: 40000 * 100}}
		for i := range parts {
			parts[i].RTT, parts[i].Usual = usual, usual
		}
		parts[1].RTT = 10 * usual
		p, r, cs, given := balance.New("least_load"), source(), even(4), [4]int{}
		for range 1000 {
			for i := range cs {
				cs[i].Sessions, cs[i].Load = parts[i].Sessions, parts[i].Score(1)
			}
			k := p.Pick(cs, 0, r)
			parts[k].Sessions++
			given[k]++
		}
		if given[0] >= 150 || given[1] >= 150 {
			t.Errorf("with %v as usual the busy one gets %d, the slow one %d, the others %v, want under 150 of 250", usual, given[0], given[1], given[2:])
		}
	}
}
