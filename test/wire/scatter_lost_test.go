package wire_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// However a leg is lost: what it owed is answered, others and the client go on, and
// an instance that broke the rules is told.
func TestScatterLosses(t *testing.T) {
	for what, c := range map[string]struct {
		end    func(leg *testkit.Peer)
		reason string
		told   uint16 // 0: nothing
	}{
		"RST":            {func(leg *testkit.Peer) { leg.Reset() }, "the instance's connection broke", 0},
		"FIN":            {func(leg *testkit.Peer) { leg.CloseWrite() }, "the instance hung up", 0},
		"1001":           {func(leg *testkit.Peer) { leg.Send(testkit.Close(1001, "bye")) }, "the instance goes away", 1001},
		"1011":           {func(leg *testkit.Peer) { leg.Send(testkit.Close(1011, "oops")) }, "the instance goes away", 1011},
		"1013":           {func(leg *testkit.Peer) { leg.Send(testkit.Close(1013, "later")) }, "the instance goes away", 1013},
		"1012":           {func(leg *testkit.Peer) { leg.Send(testkit.Close(1012, "")) }, "the instance goes away", 1012},
		"a mask":         {func(leg *testkit.Peer) { leg.SendBytes(testkit.Text("x").Masked()) }, "masked", 1002},
		"half a message": {func(leg *testkit.Peer) { leg.Send(testkit.Begin("x"), testkit.Text("y")) }, "", 1002},
		"a reserved bit": {func(leg *testkit.Peer) { leg.Send(testkit.Frame{Op: ws.Text, RSV: ws.RSV1, Payload: "x"}) }, "", 1002},
		"a close of 1":   {func(leg *testkit.Peer) { leg.Send(testkit.Frame{Op: ws.CloseFrame, Payload: "x"}) }, "", 1002},
		"a long message": {func(leg *testkit.Peer) { leg.SendString("\x82\x7F\x00\x00\x00\x00\x00\x10\x00\x00") }, "too big", 1009},
		"a long sum": {func(leg *testkit.Peer) {
			leg.Send(testkit.Begin(strings.Repeat("x", 9000)), testkit.End(strings.Repeat("x", 2000)))
		}, "too big", 1009},
		"cut in a frame":  {func(leg *testkit.Peer) { leg.SendString("\x81\x05abc"); leg.CloseWrite() }, "the instance hung up", 0},
		"cut in a header": {func(leg *testkit.Peer) { leg.SendString("\x81"); leg.Reset() }, "the instance's connection broke", 0},
	} {
		t.Run(what, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f, a := scattering(t, tr, 2, testkit.Scatter{Limits: "message_size: {upstream: 10000}", Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"})
				client, _ := f.Enter(t, a)
				m, n := keyed(1, 0), keyed(2, 0)
				by := asked(t, f, client, m, n)
				by[m.Payload].Leg.Send(testkit.Text("before"))
				client.Want("what it says before comes", testkit.Text("before"))
				c.end(by[m.Payload].Leg)
				if got := client.Frame("what it owes is answered"); !strings.HasPrefix(got.Payload, `{"id":1,"error":"`) || !strings.Contains(got.Payload, c.reason) {
					t.Errorf("want an error because %q, got %v", c.reason, got)
				}
				if c.told != 0 {
					f.WantLeft(t, "the instance is told", by[m.Payload].Leg, c.told)
				}
				by[n.Payload].Leg.Send(n)
				client.Want("the other one goes on", n)
				client.Send(keyed(3, 0))
				f.Message(t, "so does the client").Leg.Send(keyed(3, 0))
				client.Want("and is answered", keyed(3, 0))
			})
		})
	}
}

// Any other code is the application's: the session ends with it, and its reason.
func TestScatterApplicationCloses(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range []testkit.Frame{testkit.Close(1000, "done"), testkit.Close(1008, "no"), testkit.Close(3000, ""), testkit.Close(4001, "own"), testkit.Close(0, "")} {
			f, a := scattering(t, tr, 2, testkit.Scatter{Timeouts: "close: 1m", Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"})
			client, _ := f.Enter(t, a)
			by := asked(t, f, client, keyed(1, 0), keyed(2, 0))
			one, two := by[keyed(1, 0).Payload].Leg, by[keyed(2, 0).Payload].Leg
			two.Send(keyed(2, 0), c, testkit.Text("nothing comes behind a close"))
			client.Want("what comes before it, and its code", keyed(2, 0), c)
			answer := testkit.Close(0, "")
			if len(c.Payload) > 0 {
				answer.Payload = c.Payload[:2]
			}
			if h := f.Find(t, "it is answered", func(h testkit.Heard) bool { return h.Leg == two && h.Head == nil }); h.Frame != answer {
				t.Errorf("want %v, got %v", answer, h.Frame)
			}
			f.WantLeft(t, "the other one is told that the client goes", one, 1001)
			// It had more to say, and says goodbye behind it.
			client.Send(testkit.Text("late"), testkit.Begin("la"), testkit.Ping("p"), testkit.End("te"), answer)
			client.WantEOF("when the client has answered we hang up")
			client.Close()
			one.Send(testkit.Close(1001, ""))
			one.Close()
			two.Close()
			a.WantNoSessions(t, "nothing is left")
		}
	})
}

// failover.codes says which codes mean a loss.
func TestScatterLossCodes(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		c := testkit.Scatter{Scatter: "send: round_robin"}
		f := testkit.NewFleet(t, 2)
		c.Upstreams = f.URLs()
		a := testkit.Start(t, tr, strings.Replace(c.String(), "spread: 0s", "spread: 0s, codes: [4000]", 1))
		client, home := f.Enter(t, a)
		home.Leg.Send(testkit.Close(4000, ""))
		again := f.Until(t, "another home is made", func(h testkit.Heard) bool { return h.Head != nil })
		again.Leg.Send(testkit.Close(1012, "now"))
		client.Want("1012 is not among them", testkit.Close(1012, "now"))
	})
}

// Home lost, the next is home, whether it is there or made for it: what instances
// say unasked goes on.
func TestScatterNextHome(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 0s, unsolicited: home}"})
		client, home := f.Enter(t, a)
		home.Leg.Send(testkit.Text("one"))
		client.Want("home is heard", testkit.Text("one"))
		home.Leg.Reset()
		next := f.Until(t, "another is made", func(h testkit.Heard) bool { return h.Head != nil })
		if next.At == home.At {
			t.Errorf("it wants to be at another instance")
		}
		next.Leg.Send(testkit.Text("two"))
		client.Want("and is heard", testkit.Text("two"))
		by := asked(t, f, client, keyed(1, 0), keyed(2, 0))
		other := by[keyed(1, 0).Payload]
		if other.Leg == next.Leg {
			other = by[keyed(2, 0).Payload]
		}
		other.Leg.Send(testkit.Text("not home"), keyed(1, 0), keyed(2, 0))
		answered, _ := numbers(t, client.Frame("an answer comes"))
		if answered != 1 && answered != 2 {
			t.Errorf("and nothing else, got %d", answered)
		}
		next.Leg.Reset()
		client.Frame("what it owed is told")
		other.Leg.Send(testkit.Text("three"))
		client.Want("who is there becomes home", testkit.Text("three"))
	})
}

// A home that can't be made again at once is made later, though others go on
// meanwhile: its instance may be starting.
func TestScatterHomeComesBack(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := testkit.NewFleet(t, 2)
		home, other := f.URLs()[:1], f.URLs()[1]
		a := testkit.Start(t, tr, testkit.Scatter{Upstreams: home, Top: `pools: {other: {upstreams: ["` + other + `"], health: {probe: none}}}`,
			Scatter: "send: {by: k, to: {x: other}}, gather: {id: id, unsolicited: home}"}.String())
		client, begun := f.Enter(t, a)
		m := testkit.Text(`{"id":1,"k":"x"}`)
		client.Send(m)
		f.Want(t, "another instance is asked", m).Leg.Send(m)
		client.Want("and answers", m)
		f.Answer(func(int, *testkit.Head) string {
			f.Answer(func(_ int, h *testkit.Head) string { return testkit.Answer(h) })
			return "HTTP/1.1 503 Starting\r\nContent-Length: 0\r\n\r\n"
		})
		begun.Leg.Reset()
		f.Until(t, "home refuses", func(h testkit.Heard) bool { return h.Head != nil })
		again := f.Until(t, "and is asked again", func(h testkit.Heard) bool { return h.Head != nil })
		again.Leg.Send(testkit.Text("news"))
		client.Want("so that what it says unasked goes on", testkit.Text("news"))
	})
}

// Where answers aren't paired with messages nobody knows what a client still needs of
// an instance that it spoke to: it is to come again, whatever other instances there are.
func TestScatterLostWithoutIDs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: "send: {hash: k}"})
		client, home := f.Enter(t, a)
		home.Leg.Reset()
		f.Until(t, "who was told nothing owes nothing, and another is home", func(h testkit.Heard) bool { return h.Head != nil })
		m := testkit.Text(`{"subscribe":true,"k":"BTC"}`)
		client.Send(m)
		f.Message(t, "an instance is told what the client needs").Leg.Reset()
		client.WantClose("without it the client is to come again", 1012)
	})
}

// What may be sent again waits, within its timeout, for an instance that starts: an
// instance that did not have it is no try. It comes in its order.
func TestScatterWaitsForAnInstance(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "send: {hash: k}, gather: {id: id, timeout: 1m}, on_lost: resend"})
		client, home := f.Enter(t, a)
		client.Send(keyed(1, 0), keyed(2, 0))
		f.Want(t, "an instance is asked", keyed(1, 0))
		f.Want(t, "twice", keyed(2, 0))
		var starting atomic.Int32
		f.Answer(func(_ int, h *testkit.Head) string {
			if starting.Add(1) <= 5 {
				return "HTTP/1.1 503 Starting\r\nContent-Length: 0\r\n\r\n"
			}
			return testkit.Answer(h)
		})
		home.Leg.Reset()
		f.Message(t, "it is asked again until it has started")
		leg := f.Want(t, "for all that it owes", keyed(2, 0)).Leg
		leg.Send(keyed(1, 0), keyed(2, 0))
		client.Want("and answers", keyed(1, 0), keyed(2, 0))
	})
}

// With no instance left the client is to come again.
func TestScatterNobodyLeft(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, policy := range []string{"error", "resend", "close"} {
			f, a := scattering(t, tr, 2, testkit.Scatter{Timeouts: "close: 1m", Scatter: "send: round_robin, gather: {id: id, timeout: 100ms}, on_lost: " + policy})
			client, home := f.Enter(t, a)
			for _, in := range f.Instances {
				in.Close()
			}
			home.Leg.Close()
			client.WantClose(policy+": a client whose instances are all gone is told", 1012)
			client.Send(testkit.Text("late"), testkit.Close(1012, ""))
			client.WantEOF("and then it is over")
			client.Close()
			a.WantNoSessions(t, "nothing is left")

			// With a message under way it is answered first, or not at all.
			f, a = scattering(t, tr, 1, testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 100ms}, on_lost: " + policy})
			client, _ = f.Enter(t, a)
			client.Send(keyed(1, 0))
			owes := f.Want(t, "it is asked", keyed(1, 0)).Leg
			f.Instances[0].Close()
			owes.Reset()
			if policy != "close" {
				if got := client.Frame(policy + ": what is owed is told"); !strings.HasPrefix(got.Payload, `{"id":1,"error":"`) {
					t.Errorf("%s: want an error, got %v", policy, got)
				}
			}
			client.WantClose(policy+": then the client is to come again", 1012)
		}
	})
}
