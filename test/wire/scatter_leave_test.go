package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// leaving has an instance that owes an answer and holds home be left, in a way of
// the test's: what it owes is awaited, and nothing new goes there.
func leaving(t *testing.T, f *testkit.Fleet, a *testkit.App, client *testkit.Peer, home testkit.Heard, leave func()) {
	t.Helper()
	by := asked(t, f, client, keyed(1, 0), keyed(2, 0), keyed(3, 0))
	owed := 0
	for n := 1; n <= 3; n++ {
		if by[keyed(n, 0).Payload].Leg == home.Leg {
			owed = n
		}
	}
	leave()
	for n := 10; n < 20; n++ {
		client.Send(keyed(n, 0))
		h := f.Message(t, "messages go on")
		if h.At == home.At {
			t.Errorf("%v wants another instance than %d, which is left", h.Frame, home.At)
		}
		h.Leg.Send(h.Frame)
		client.Want("and are answered", keyed(n, 0))
	}
	home.Leg.Send(testkit.Text("unasked"), keyed(owed, 0))
	client.Want("what is said there still comes, and what is owed", testkit.Text("unasked"), keyed(owed, 0))
	f.WantLeft(t, "then the instance is told", home.Leg, 1001)
	home.Leg.Send(testkit.Close(1001, ""))
	for n := 1; n <= 3; n++ {
		if h := by[keyed(n, 0).Payload]; h.Leg != home.Leg {
			h.Leg.Send(keyed(n, 0))
			client.Want("others answer as ever", keyed(n, 0))
		}
	}
}

// A drained instance is left, and so is one that a reload takes away.
func TestScatterLeaves(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		c := testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 20s}"}
		f, a := scattering(t, tr, 3, c)
		client, home := f.Enter(t, a)
		leaving(t, f, a, client, home, func() {
			if _, err := a.Drain(f.URLs()[home.At]); err != nil {
				t.Error(err)
			}
		})

		f, a = scattering(t, tr, 3, c)
		client, home = f.Enter(t, a)
		leaving(t, f, a, client, home, func() {
			urls := f.URLs()
			c.Upstreams = append(urls[:home.At:home.At], urls[home.At+1:]...)
			a.Reload(t, c.String())
		})
	})
}

// With all instances drained the client is to come again, when it has its answers.
func TestScatterLeavesAll(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 20s}"})
		client, _ := f.Enter(t, a)
		by := asked(t, f, client, keyed(1, 0), keyed(2, 0))
		for _, url := range f.URLs() {
			if _, err := a.Drain(url); err != nil {
				t.Error(err)
			}
		}
		for n := 1; n <= 2; n++ {
			by[keyed(n, 0).Payload].Leg.Send(keyed(n, 0))
			client.Want("what is owed comes", keyed(n, 0))
		}
		client.WantClose("then the client is to come again", 1012)
	})
}

// A session of a route that is removed, or that does something else, ends.
func TestScatterRouteRemoved(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, other := range []string{"scatter", "balance"} {
			f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "gather: {id: id, timeout: 20s}"})
			client, home := f.Enter(t, a)
			asked(t, f, client, keyed(1, 0))
			next := testkit.Scatter{Upstreams: f.URLs()}.String()
			if other == "scatter" {
				next = strings.Replace(next, "name: r", "name: another", 1)
			} else {
				next = testkit.Config{Upstreams: f.URLs()}.String()
			}
			a.Reload(t, next)
			home.Leg.Send(keyed(1, 0))
			client.Want(other+": it gets its answer", keyed(1, 0))
			client.WantClose(other+": and is to come again", 1012)
			f.WantLeft(t, "the instance is told", home.Leg, 1001)
		}
	})
}

// What a reload changes holds for sessions that are there; what was asked before is
// answered.
func TestScatterReload(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		pools := "pools: {a: {upstreams: %q, health: {probe: none}}, b: {upstreams: %q, health: {probe: none}}}"
		f := testkit.NewFleet(t, 3)
		urls := f.URLs()
		c := testkit.Scatter{Top: fmt.Sprintf(pools, urls[1], urls[2]), Upstreams: urls[:1]}
		with := func(scatter string) string { c := c; c.Scatter = scatter; return c.String() }
		a := testkit.Start(t, tr, with(`send: {by: k, to: {"1": a}}, gather: {id: id, timeout: 20s}`))
		client, _ := f.Enter(t, a)
		wantRouted(t, f, client, []routed{{keyed(1, 1), 1}, {keyed(2, 2), 0}})
		owes := map[int]*testkit.Peer{}
		client.Send(keyed(3, 1))
		owes[3] = f.Want(t, "one is asked", keyed(3, 1)).Leg

		a.Reload(t, with(`send: {by: k, to: {"2": b}, default: a}, gather: {id: id, timeout: 20s}`))
		wantRouted(t, f, client, []routed{{keyed(4, 2), 2}, {keyed(5, 3), 1}})
		owes[3].Send(keyed(3, 1))
		client.Want("what was asked before is answered", keyed(3, 1))

		a.Reload(t, with(`send: {rules: [{when: 'msg.k > 5', to: b}]}, gather: {id: id, timeout: 20s}, on_invalid: error`))
		wantRouted(t, f, client, []routed{{keyed(6, 6), 2}, {keyed(7, 3), 0}})
		client.Send(testkit.Text("x"))
		if m := client.Frame("on_invalid holds, too"); !strings.HasPrefix(m.Payload, `{"id":null,"error":"invalid`) {
			t.Errorf("want an error, got %v", m)
		}

		a.Reload(t, with(`send: {rules: [{when: 'msg.k > 5', to: b}], within: all}, gather: {policy: collect, id: k, timeout: 20s}`))
		client.Send(keyed(8, 9))
		f.Want(t, "another way to gather", keyed(8, 9)).Leg.Send(testkit.Text(`{"k":9}`))
		client.Want("holds", testkit.Text(`{"id":9,"replies":[{"k":9}],"missing":[]}`))
		client.Send(testkit.Close(1000, ""))
		client.Want("it ends as it likes", testkit.Close(1000, ""))
		a.WantNoSessions(t, "nothing is left, and nothing awaited")
	})
}

// Who waits for room that a reload makes does not wait any longer.
func TestScatterReloadMakesRoom(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 0s, outstanding: {messages: 1}}"})
		client, _ := f.Enter(t, a)
		client.Send(keyed(1, 0), keyed(2, 0))
		f.Want(t, "one may be asked", keyed(1, 0))
		a.Reload(t, testkit.Scatter{Upstreams: f.URLs(), Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"}.String())
		f.Want(t, "more may be asked now", keyed(2, 0))
	})
}

// An instance that goes, or that the route has no more, while a leg to it is made
// takes nothing with it: what waits for that leg goes to who is there now, and other
// legs are none the worse.
func TestScatterReloadAmidDials(t *testing.T) {
	const to = `send: {by: k, to: {"1": p1, "2": p2}}`
	for what, c := range map[string]struct {
		send string
		p1   int // the instance of p1 that there is then
		at   int // where p1's messages are in the end
	}{"removed": {to, 3, 3}, "of the route no more": {`send: {by: k, to: {"2": p2}}`, 1, 1}} {
		t.Run(what, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f := testkit.NewFleet(t, 4)
				urls := f.URLs()
				config := func(p1 int, send string) string {
					return testkit.Scatter{Top: fmt.Sprintf("pools: {p1: {upstreams: %q, health: {probe: none}}, p2: {upstreams: %q, health: {probe: none}}}", urls[p1], urls[2]),
						Route: `    match: {path: "=/"}`, Upstreams: urls[:1], Scatter: send + `, gather: {id: id, timeout: 20s}`}.String() +
						"  - name: other\n    match: {path: /other}\n    balance: {pool: p1}\n"
				}
				a := testkit.Start(t, tr, config(1, to))
				client, _ := f.Enter(t, a)
				answer := make(chan string)
				f.Answer(func(_ int, h *testkit.Head) string { return testkit.Answer(h) + <-answer })
				client.Send(keyed(1, 1), keyed(2, 2), testkit.Text(`{"k":1}`), keyed(3, 0))
				f.Message(t, "two legs are being made").Leg.Send(keyed(3, 0))
				client.Want("while home goes on", keyed(3, 0))
				a.Reload(t, config(c.p1, c.send))
				close(answer)
				for range 3 {
					h := f.Message(t, "what waited goes where it belongs now")
					want := map[testkit.Frame]int{keyed(1, 1): c.at, keyed(2, 2): 2, testkit.Text(`{"k":1}`): c.at}
					if at, known := want[h.Frame]; !known || at != h.At {
						t.Errorf("%v wants instance %d, came to %d", h.Frame, at, h.At)
					}
					h.Leg.Send(h.Frame)
					client.Want("and is answered", h.Frame)
				}
			})
		})
	}
}
