package keep

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// plan is one run: what happens, and when.
type plan struct {
	rules  Rules
	list   []message
	client []int         // bytes of the client's that come in each round, in turn
	leg    []int         // bytes that reach the instance, and that come of it
	step   time.Duration // between rounds
	cuts   []int         // the leg is lost behind so many bytes that reached or left an instance
	freeze int           // as cuts; -1: behind every one
}

// run plays it to its end, and holds what both ends got against what they must.
func (pl *plan) run(t fataler) (bytes int, over error) {
	p, texts, sizes := script(pl.list)
	x := newProxy(t, &pl.rules, texts, sizes)
	for round := 0; x.over == nil; round++ {
		if round > 100_000 {
			t.Fatalf("it does not come to an end")
		}
		if n := min(pl.client[round%len(pl.client)], len(p)); !x.Full(x.rules) {
			read, before := n+len(x.client.kept), len(x.store().Tail)-x.store().Gone
			x.comes(&x.client, p[:n])
			p = p[n:]
			if window := len(x.store().Tail) - x.store().Gone; window > max(before, x.rules.Buffer)+read {
				t.Fatalf("after a read of %d bytes the tail has %d", read, window)
			}
		}
		n, inst := pl.leg[round%len(pl.leg)], x.inst
		for k := 0; k < n && x.inst == inst && x.over == nil && len(inst.way) > 0; k++ {
			b := inst.way[0]
			inst.way = inst.way[1:]
			inst.hears(b)
			bytes++
			pl.happens(x, bytes)
		}
		for k := 0; k < n && x.inst == inst && x.over == nil && len(inst.out) > 0; k++ {
			b := inst.out[:1]
			inst.out = inst.out[1:]
			x.comes(&x.leg, b)
			bytes++
			pl.happens(x, bytes)
		}
		next := x.Next(x.rules, true)
		switch quiet := len(x.inst.way) == 0 && len(x.inst.out) == 0; {
		case quiet && next == 0 && len(p) > 0 && x.Full(x.rules):
			t.Fatalf("the client is not read and nothing will change that: %+v", x.State)
		case quiet && next == 0 && len(p) == 0:
			x.ended()
			return bytes, nil
		case quiet && next > x.now && (len(p) == 0 || x.Full(x.rules)):
			x.tick(next - x.now)
		default:
			x.tick(pl.step)
		}
	}
	x.ended()
	return bytes, x.over
}

func (pl *plan) happens(x *proxy, n int) {
	if pl.freeze == n || pl.freeze < 0 {
		x.freeze()
	}
	if slices.Contains(pl.cuts, n) {
		x.lose()
	}
}

// ended is the oracle.
func (x *proxy) ended() {
	x.Release(x.room)
	if len(x.room.lent) > 0 {
		x.t.Fatalf("%d pieces that were lent are not returned", len(x.room.lent))
	}
	x.instancesGot()
	x.clientGot()
}

func (x *proxy) instancesGot() {
	times := make([]int, len(x.texts))
	for _, inst := range x.insts {
		last := -1
		for _, text := range inst.read {
			id := slices.Index(x.texts, text)
			if id <= last {
				x.t.Fatalf("instance %d read %q: one is not the client's, or out of order", inst.name, inst.read)
			}
			last = id
			times[id]++
		}
	}
	for id, n := range times {
		switch {
		case n == 0 && x.over == nil && !x.dropped[id]:
			x.t.Fatalf("message %d of %q is lost", id, x.texts)
		case n > 1+x.resent[id] && id >= x.rules.First:
			x.t.Fatalf("message %d came %d times, and was sent again %d times", id, n, x.resent[id])
		}
	}
	if last := x.inst; x.over == nil && (len(last.kept) > 0 || last.in.InMessage()) {
		x.t.Fatalf("the last instance has half a message, or half a frame")
	}
}

// clientGot: of each instance in turn it has whole messages, in order, from the
// first that none before has said for it; of the last all.
func (x *proxy) clientGot() {
	got := messages(x.t, false, x.seen)
	if n := len(got); n > 0 && strings.HasSuffix(got[n-1], half) {
		if x.over != errHalf {
			x.t.Fatalf("the client has half a message: %q", got)
		}
		got = got[:n-1]
	}
	shown := map[string]bool{}
	once := func(text string) bool { return strings.HasPrefix(text, "hello") || strings.HasPrefix(text, "in") }
	for _, inst := range x.insts {
		for _, text := range inst.said {
			if once(text) && shown[text] {
				continue
			}
			if len(got) == 0 || got[0] != text {
				if inst == x.inst && x.over == nil {
					x.t.Fatalf("the client got all but %q of the last instance, which said %q; before it are %q", text, inst.said, got)
				}
				break
			}
			shown[text] = true
			got = got[1:]
		}
	}
	if len(got) > 0 {
		x.t.Fatalf("the client got %q too much, or out of order", got)
	}
}

// Some messages, of which one is longer than the buffer that the tests have.
var (
	short = []message{{5, 1, false}, {12, 2, true}, {30, 1, false}, {3, 1, true}, {20, 3, true}, {6, 1, false}}
	mixed = []message{{5, 1, false}, {12, 2, true}, {90, 2, true}, {6, 1, false}, {20, 2, true}, {4, 1, false}, {80, 1, false}, {5, 1, false}}
)

const buffer = 64

// everyCut runs a plan with a cut behind every byte and another soon after, and
// without one, frozen behind every byte. TestAnyCuts does both at once.
func everyCut(t *testing.T, pl plan) {
	t.Helper()
	pl.cuts, pl.freeze = nil, -1
	bytes, over := pl.run(t)
	if over != nil {
		t.Fatalf("nothing was cut, and the session is over: %v", over)
	}
	kept := 0
	for n := 1; n <= bytes; n++ {
		pl.cuts, pl.freeze = []int{n, n + 1 + n%41}, 0
		if _, over := pl.run(t); over == nil {
			kept++
		}
	}
	t.Logf("cut behind each of %d bytes, %d sessions were kept", bytes, kept)
	if kept == 0 {
		t.Errorf("none was kept: nothing is tested")
	}
}

// TestCutBehindEveryByte at two paces; TestAnyCuts draws others.
func TestCutBehindEveryByte(t *testing.T) {
	paces := map[string]plan{
		"one by one":   {client: []int{1}, leg: []int{2}, step: time.Millisecond},
		"the leg lags": {client: []int{13}, leg: []int{3, 0, 5}, step: 40 * time.Millisecond},
	}
	for name, pl := range paces {
		for _, rules := range []Rules{{Unproven: "close"}, {Unproven: "drop"}, {Unproven: "resend"}, {Unproven: "resend", Hold: time.Second}} {
			t.Run(fmt.Sprintf("%s, %s, hold %v", name, rules.Unproven, rules.Hold), func(t *testing.T) {
				pl.rules, pl.list = rules, mixed
				pl.rules.Buffer = buffer
				everyCut(t, pl)
				pl.rules.Greeting, pl.rules.First, pl.rules.Swallow, pl.list = 1, 2, 1, short
				everyCut(t, pl)
			})
		}
	}
}
