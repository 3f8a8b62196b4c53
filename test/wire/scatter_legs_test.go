package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// byPool sends messages with k of 0 to home, and others to the pools p1, p2….
const byPool = `send: {by: k, to: {"1": p1, "2": p2, "3": p3, "4": p4}}`

// wantLegs wants so many sessions to be counted at each instance.
func wantLegs(t *testing.T, sentence string, a *testkit.App, f *testkit.Fleet, want ...int) {
	t.Helper()
	for at, url := range f.URLs() {
		for _, p := range a.Pools() {
			for _, i := range p.Instances() {
				if i.Name() == url && i.Sessions() != want[at] {
					t.Errorf("%s: instance %d wants %d sessions, has %d", sentence, at, want[at], i.Sessions())
				}
			}
		}
	}
}

// A leg is opened when a message needs it, closed when it has had nothing to do,
// and opened again. Home stays, and so does a leg that owes an answer.
func TestScatterLegIdle(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: byPool + ", gather: {id: id, timeout: 0s}, leg_idle: 60ms"}, "p1", "p2", "p3", "p4")
		client, home := f.Enter(t, a)
		wantLegs(t, "before a message", a, f, 1, 0, 0, 0, 0)
		client.Send(keyed(1, 1))
		owes := f.Want(t, "one leg is opened", keyed(1, 1)).Leg
		wantLegs(t, "with one message", a, f, 1, 1, 0, 0, 0)
		client.Send(keyed(2, 2))
		idle := f.Want(t, "and another", keyed(2, 2)).Leg
		idle.Send(keyed(2, 2))
		client.Want("this one answers", keyed(2, 2))
		f.WantLeft(t, "who owes nothing is told that it is not needed", idle, 1000)
		client.Send(keyed(3, 2))
		again := f.Find(t, "it is opened again on need", func(h testkit.Heard) bool { return h.Frame == keyed(3, 2) })
		if again.Leg == idle || again.At != 2 {
			t.Errorf("want another leg to instance 2, got one to %d", again.At)
		}
		again.Leg.Send(keyed(3, 2))
		client.Want("and answers", keyed(3, 2))
		idle.Send(testkit.Close(1000, ""))
		owes.Send(keyed(1, 1))
		client.Want("who owed an answer is still there", keyed(1, 1))
		f.WantLeft(t, "until it has given it", owes, 1000)
		client.Send(keyed(4, 0))
		if to := f.Find(t, "home is asked", func(h testkit.Heard) bool { return h.Frame == keyed(4, 0) }); to.Leg != home.Leg {
			t.Errorf("home wants to be the leg that it was")
		}
	})
}

// With as many legs as may be, the one that was used least lately makes room; if
// all owe an answer, the client waits for one.
func TestScatterMaxLegs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: byPool + ", gather: {id: id, timeout: 0s}, max_legs: 3"}, "p1", "p2", "p3", "p4")
		client, _ := f.Enter(t, a)
		take := func(m testkit.Frame) *testkit.Peer {
			t.Helper()
			return f.Find(t, "a message arrives", func(h testkit.Heard) bool { return h.Frame == m }).Leg
		}
		by := asked(t, f, client, keyed(1, 1), testkit.Text(`{"k":2}`))
		one, two := by[keyed(1, 1).Payload].Leg, by[`{"k":2}`].Leg
		client.Send(keyed(3, 3))
		f.WantLeft(t, "who owes nothing makes room", two, 1000)
		three := take(keyed(3, 3))
		client.Send(keyed(4, 4), keyed(5, 1))
		three.Send(testkit.Text("hello"))
		client.Want("while none has room the other direction is open", testkit.Text("hello"))
		one.Send(keyed(1, 1))
		client.Want("an answer comes", keyed(1, 1))
		f.WantLeft(t, "and its leg makes room", one, 1000)
		four := take(keyed(4, 4))
		three.Send(keyed(3, 3))
		client.Want("another answer", keyed(3, 3))
		f.WantLeft(t, "makes room for the next message", three, 1000)
		take(keyed(5, 1)).Send(keyed(5, 1))
		client.Want("whose answer comes", keyed(5, 1))
		four.Send(keyed(4, 4))
		client.Want("as does the last", keyed(4, 4))
		client.Send(keyed(6, 0))
		take(keyed(6, 0))
	})
}

// Without ids a leg makes room that has said as much as it was told: what is under
// way is not cut off.
func TestScatterMaxLegsWithoutIDs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: byPool + ", gather: {timeout: 10m}, max_legs: 2"}, "p1", "p2", "p3", "p4")
		client, _ := f.Enter(t, a)
		client.Send(keyed(1, 1), keyed(2, 1), keyed(3, 2))
		one := f.Find(t, "a leg is made", func(h testkit.Heard) bool { return h.Frame == keyed(1, 1) }).Leg
		f.Want(t, "and told twice", keyed(2, 1))
		one.Send(keyed(1, 1), testkit.Ping("p"))
		client.Want("one answer comes", keyed(1, 1))
		f.Want(t, "while another is under way it stays", testkit.Pong("p"))
		one.Send(keyed(2, 1))
		client.Want("which comes, too", keyed(2, 1))
		f.WantLeft(t, "then it makes room", one, 1000)
		f.Find(t, "for the next", func(h testkit.Heard) bool { return h.Frame == keyed(3, 2) }).Leg.Send(keyed(3, 2))
		client.Want("whose answer comes", keyed(3, 2))
	})
}

// With one leg alone, home itself makes room.
func TestScatterOneLeg(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: byPool + ", gather: {id: id, timeout: 0s, unsolicited: home}, max_legs: 1"}, "p1", "p2", "p3", "p4")
		client, home := f.Enter(t, a)
		client.Send(keyed(1, 0), keyed(2, 1))
		f.Want(t, "home is asked", keyed(1, 0)).Leg.Send(keyed(1, 0))
		client.Want("and answers", keyed(1, 0))
		f.WantLeft(t, "then it makes room", home.Leg, 1000)
		leg := f.Find(t, "for another", func(h testkit.Heard) bool { return h.Frame == keyed(2, 1) }).Leg
		leg.Send(keyed(2, 1), testkit.Text("unasked"))
		client.Want("which is home now", keyed(2, 1), testkit.Text("unasked"))
	})
}

// What a leg is to be sent waits for it in order, up to buffer; others go on until
// then.
func TestScatterQueues(t *testing.T) {
	pad := strings.Repeat("x", 16<<10)
	big := func(n int) testkit.Frame { return testkit.Text(fmt.Sprintf(`{"n":%d,"k":1,"pad":"%s"}`, n, pad)) }
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: byPool + ", buffer: 64KiB"}, "p1", "p2", "p3", "p4")
		client, home := f.Enter(t, a)
		answer := make(chan string)
		f.Answer(func(_ int, h *testkit.Head) string { return testkit.Answer(h) + <-answer })
		for n := range 10 {
			client.Send(big(n), keyed(n, 0))
		}
		for n := range 3 {
			f.Want(t, "while one leg is opened the other one gets its messages", keyed(n, 0))
		}
		home.Leg.Send(testkit.Ping("p"))
		f.Until(t, "up to the bound", func(h testkit.Heard) bool {
			return h.Frame == testkit.Pong("p") || h.Frame == keyed(9, 0) && fail(t, "the client was read on")
		})
		close(answer)
		next := map[int]int{0: 3}
		for range 17 {
			h := f.Message(t, "then all comes")
			n := next[h.At]
			if next[h.At]++; h.Frame != keyed(n, 0) && h.Frame != big(n) {
				t.Fatalf("in order: want number %d at %d, got %v", n, h.At, h.Frame)
			}
		}
	})
}

// fail is for conditions that must never be.
func fail(t *testing.T, why string) bool {
	t.Helper()
	t.Error(why)
	return true
}
