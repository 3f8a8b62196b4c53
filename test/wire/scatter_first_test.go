package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// The second copy goes out when the first is late, to another instance, and not
// at all where that has answered.
func TestScatterHedges(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Top: `admin: {address: "127.0.0.1:0"}`,
			Scatter: "send: round_robin, gather: {policy: first, id: id, hedge_after: 50ms, timeout: 20s}"})
		client, _ := f.Enter(t, a)
		for n := range 5 {
			m := keyed(n, 0)
			client.Send(m)
			f.Want(t, "one is asked", m).Leg.Send(m)
			client.Want("and answers", m)
		}
		late := keyed(10, 0)
		client.Send(late)
		one := f.Want(t, "one is asked", late)
		two := f.Want(t, "without an answer another one is asked, the same, and of the others none was asked twice", late)
		if one.At == two.At {
			t.Errorf("the second copy wants another instance than %d", one.At)
		}
		one.Leg.Send(testkit.Text(`{"id":10,"from":1}`))
		client.Want("the first answer counts, whose it may be", testkit.Text(`{"id":10,"from":1}`))
		two.Leg.Send(testkit.Text(`{"id":10,"from":2}`), testkit.Text("behind"))
		client.Want("the second does not", testkit.Text("behind"))
		for event, n := range map[string]float64{"hedged": 1, "late": 1} {
			a.WantMetric(t, "it is counted", fmt.Sprintf(`sluice_scatter_events_total{event=%q,route="r"}`, event), n)
		}
	})
}

// A copy that is lost leaves the other one; if the first is lost before the second
// is out, that goes out at once. If both are, the client is told.
func TestScatterHedgesLosses(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, after := range []string{"0s", "10s"} {
			f, a := scattering(t, tr, 4, testkit.Scatter{Scatter: "send: round_robin, gather: {policy: first, id: id, hedge_after: " + after + ", timeout: 20s}"})
			client, _ := f.Enter(t, a)
			m := keyed(1, 0)
			client.Send(m)
			one := f.Want(t, "one is asked", m)
			if after == "0s" {
				f.Want(t, "and another", m).Leg.Reset()
				client.Send(testkit.Ping("still"))
				client.Want("that it is lost is not told", testkit.Pong("still"))
				one.Leg.Send(m)
				client.Want("the other one answers", m)
			} else {
				one.Leg.Reset()
				two := f.Message(t, "another one is asked at once")
				if two.Frame != m || two.At == one.At {
					t.Errorf("the second copy wants another instance than %d, got %v at %d", one.At, two.Frame, two.At)
				}
				two.Leg.Send(m)
				client.Want("and answers", m)
			}
			n := keyed(2, 0)
			client.Send(n)
			lost := []testkit.Heard{f.Message(t, "one is asked")}
			if after == "0s" {
				lost = append(lost, f.Message(t, "and another"))
			}
			for _, h := range lost {
				h.Leg.Reset()
			}
			if after != "0s" {
				f.Message(t, "another is asked").Leg.Reset()
			}
			client.Want("when both are lost that is told", testkit.Text(`{"id":2,"error":"the instance's connection broke"}`))
		}
	})
}

// With all, each is asked at once, and the first answer is it.
func TestScatterFirstOfAll(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: "send: all, gather: {policy: first, id: id, timeout: 20s, unsolicited: drop}"})
		client, _ := f.Enter(t, a)
		m := keyed(1, 0)
		client.Send(m)
		var legs [3]*testkit.Peer
		for range legs {
			h := f.Want(t, "each is asked", m)
			legs[h.At] = h.Leg
		}
		legs[1].Reset()
		legs[2].Send(testkit.Text(`{"id":1,"from":2}`))
		client.Want("the first answer comes", testkit.Text(`{"id":1,"from":2}`))
		legs[0].Send(testkit.Text(`{"id":1,"from":0}`))
		client.Send(testkit.Binary("x"))
		f.Message(t, "what has no id").Leg.Send(testkit.Text(`{"id":1,"from":3}`))
		client.Send(testkit.Ping("p"))
		client.Want("no other", testkit.Pong("p"))
	})
}

// What is collected when time is up names who has not answered; who answers then
// is late.
func TestScatterCollectsInTime(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Top: `admin: {address: "127.0.0.1:0"}`, Scatter: "send: all, gather: {policy: collect, id: id, timeout: 100ms}"})
		client, _ := f.Enter(t, a)
		urls := f.URLs()
		ask := func(m testkit.Frame) (legs [3]*testkit.Peer) {
			t.Helper()
			client.Send(m)
			for range legs {
				h := f.Want(t, "each is asked", m)
				legs[h.At] = h.Leg
			}
			return legs
		}
		legs := ask(testkit.Text(`{"id":"a\/b"}`))
		legs[1].Send(testkit.Text(`{ "id":"a/b" }`))
		client.Want("who answers in time is there", testkit.Text(`{"id":"a\/b","replies":[{ "id":"a/b" }],"missing":["`+urls[0]+`","`+urls[2]+`"]}`))
		legs[0].Send(testkit.Text(`{"id":"a/b"}`))
		legs[2].Send(testkit.Text(`{"id":"a/b"}`))
		ask(testkit.Text(`{"id":2}`))
		client.Want("without any answer it says so", testkit.Text(`{"id":2,"replies":[],"missing":["`+urls[0]+`","`+urls[1]+`","`+urls[2]+`"]}`))
		for event, n := range map[string]float64{"collect_missing": 2, "late": 2} {
			a.WantMetric(t, "it is counted", fmt.Sprintf(`sluice_scatter_events_total{event=%q,route="r"}`, event), n)
		}
	})
}

// What is held for one that is slow is bounded: the others are not read for so long,
// and nothing that they say is lost.
func TestScatterCollectsOfOneThatIsSlow(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: "send: all, gather: {policy: collect, id: id, timeout: 0s, outstanding: {bytes: 64KiB}}"})
		client, _ := f.Enter(t, a)
		const n = 20
		answer := func(id int) testkit.Frame {
			return testkit.Text(fmt.Sprintf(`{"id":%d,"pad":"%s"}`, id, strings.Repeat("x", 20_000)))
		}
		var legs [3]*testkit.Peer
		var answers []testkit.Frame
		for id := range n {
			client.Send(keyed(id, 0))
			for range legs {
				h := f.Want(t, "each is asked", keyed(id, 0))
				legs[h.At] = h.Leg
			}
			answers = append(answers, answer(id))
		}
		legs[0].Send(answers...)
		legs[2].Send(answers...)
		for id, m := range answers {
			legs[1].Send(m)
			client.Want("all are collected", testkit.Text(fmt.Sprintf(`{"id":%d,"replies":[%[2]s,%[2]s,%[2]s],"missing":[]}`, id, m.Payload)))
		}
	})
}

// A message for all that none has answered is sent again to those that are there.
func TestScatterAsksAllAgain(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, policy := range []string{"first", "interleave"} {
			f, a := scattering(t, tr, 2, testkit.Scatter{Top: `admin: {address: "127.0.0.1:0"}`,
				Scatter: "send: all, gather: {policy: " + policy + ", id: id, timeout: 1m}, on_lost: resend"})
			client, _ := f.Enter(t, a)
			m := keyed(1, 0)
			client.Send(m)
			one, two := f.Want(t, "one is asked", m).Leg, f.Want(t, "and the other", m).Leg
			one.Reset()
			two.Reset()
			again := f.Find(t, policy+": it is asked again", func(h testkit.Heard) bool { return h.Frame == m })
			again.Leg.Send(m)
			client.Want("and answered", m)
			a.WantMetric(t, "it is counted", `sluice_scatter_events_total{event="resent",route="r"}`, 1)
		}
	})
}

// An instance that can't be reached is missing, and nobody waits for it; one that
// is drained is not asked.
func TestScatterCollectsOfThoseThatAreThere(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: "send: all, gather: {policy: collect, id: id, timeout: 0s}"})
		f.Instances[1].Close()
		urls := f.URLs()
		client, _ := f.Enter(t, a)
		for n := range 3 {
			m := keyed(n, 0)
			client.Send(m)
			for range 2 {
				h := f.Message(t, "each is asked that is there")
				h.Leg.Send(h.Frame)
			}
			client.Want("and the other is missing", testkit.Text(fmt.Sprintf(`{"id":%d,"replies":[%s,%s],"missing":["%s"]}`, n, m.Payload, m.Payload, urls[1])))
		}
		if _, err := a.Drain(urls[1]); err != nil {
			t.Error(err)
		}
		client.Send(keyed(7, 0))
		for range 2 {
			h := f.Message(t, "each is asked that is there")
			h.Leg.Send(h.Frame)
		}
		client.Want("who is drained is not asked", testkit.Text(fmt.Sprintf(`{"id":7,"replies":[%[1]s,%[1]s],"missing":[]}`, keyed(7, 0).Payload)))
	})
}
