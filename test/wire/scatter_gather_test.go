package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// asked sends messages and gives who got each.
func asked(t *testing.T, f *testkit.Fleet, client *testkit.Peer, ms ...testkit.Frame) (by map[string]testkit.Heard) {
	t.Helper()
	client.Send(ms...)
	by = map[string]testkit.Heard{}
	for range ms {
		h := f.Message(t, "each message is asked of an instance")
		by[h.Frame.Payload] = h
	}
	return by
}

// Answers come as they are given, each instance's in its order.
func TestScatterInterleaves(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"})
		client, _ := f.Enter(t, a)
		m, n := keyed(1, 0), keyed(2, 0)
		by := asked(t, f, client, m, n)
		one, two := by[m.Payload].Leg, by[n.Payload].Leg
		two.Send(testkit.Text("from two"), n, testkit.Binary("behind it"))
		client.Want("the second answer may come first", testkit.Text("from two"), n, testkit.Binary("behind it"))
		one.Send(testkit.Text("from one"), m, testkit.Text("behind it"))
		client.Want("and the first then", testkit.Text("from one"), m, testkit.Text("behind it"))

		f, a = scattering(t, tr, 3, testkit.Scatter{Scatter: "send: all, gather: {id: id, timeout: 0s}"})
		client, _ = f.Enter(t, a)
		client.Send(m)
		for range 3 {
			f.Want(t, "all are asked", m).Leg.Send(m)
			client.Want("and each one's answer comes", m)
		}
	})
}

// What answers nothing is passed, taken from home alone, or dropped; answers are
// the client's whatever is done with the rest.
func TestScatterUnsolicited(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range []struct {
			what        string
			home, other bool
		}{{"pass", true, true}, {"home", true, false}, {"drop", false, false}} {
			f, a := pooled(t, tr, testkit.Scatter{Top: `admin: {address: "127.0.0.1:0"}`,
				Scatter: "send: {by: k, to: {\"1\": a}}, gather: {id: id, timeout: 0s, unsolicited: " + c.what + "}"}, "a")
			client, home := f.Enter(t, a)
			m, n := keyed(1, 0), keyed(2, 1)
			other := asked(t, f, client, m, n)[n.Payload].Leg
			dropped := 0
			say := func(leg *testkit.Peer, passes bool, answer testkit.Frame) {
				t.Helper()
				un := []testkit.Frame{testkit.Text("hello"), testkit.Binary(answer.Payload), testkit.Text(`{"id":9}`), testkit.Text(`{"id":"1"}`), testkit.Text(`{"id":"2"}`), testkit.Text(`{"id":null}`)}
				leg.Send(append(un, answer, answer)...)
				if passes {
					client.Want(c.what+": what is said unasked comes", un...)
				} else {
					dropped += len(un)
				}
				client.Want(c.what+": what answers comes", answer)
				if passes {
					client.Want("what answers again was not asked for", answer)
				} else {
					dropped++
				}
			}
			say(home.Leg, c.home, m)
			say(other, c.other, n)
			a.WantMetric(t, c.what+": what is dropped is counted", `sluice_scatter_events_total{event="unsolicited",route="r"}`, float64(dropped))
		}
	})
}

// An id is what it is in JSON: a number, whatever it is written as, or a string,
// wherever it stands.
func TestScatterIDs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "send: round_robin, gather: {id: head.0.id, timeout: 0s, unsolicited: drop}"})
		client, home := f.Enter(t, a)
		at := func(id string) testkit.Frame { return testkit.Text(`{"head":[{"id":` + id + `}]}`) }
		for _, c := range []struct{ asked, answers string }{
			{`1`, `1`}, {`"1"`, `"1"`}, {`-7`, `-7`}, {`1.5`, `1.50`}, {`50`, `5e1`}, {`5.0`, `5`}, {`true`, `true`},
			{`123456789012345678901234567890`, `123456789012345678901234567890`},
			{`9007199254740993`, `9007199254740993`},
			{`"a\u0062c"`, `"abc"`}, {`"\ud83d\ude00"`, `"😀"`}, {`"` + strings.Repeat("long", 1000) + `"`, `"` + strings.Repeat("long", 1000) + `"`},
		} {
			client.Send(at(c.asked))
			f.Want(t, "it is asked", at(c.asked))
			for _, wrong := range []string{`9007199254740992`, `"-7"`, `"1.5"`, `123456789012345678901234567891`, `"x"`} {
				home.Leg.Send(at(wrong))
			}
			home.Leg.Send(at(c.answers))
			client.Want("its answer comes, and no other", at(c.answers))
		}
		// None of these is an id: nothing is awaited, so nothing that has it comes.
		for _, none := range []string{`null`, `[1]`, `{"id":1}`} {
			client.Send(at(none))
			f.Want(t, "it goes to an instance all the same", at(none)).Leg.Send(at(none))
		}
		client.Send(at(`5`))
		f.Want(t, "the last is asked", at(`5`)).Leg.Send(at(`5`))
		client.Want("and is all that is answered", at(`5`))
	})
}

// Two messages with one id are two: each is answered, the older first.
func TestScatterSameIDs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 0s, unsolicited: drop}"})
		client, home := f.Enter(t, a)
		client.Send(keyed(1, 1), keyed(1, 2))
		f.Want(t, "one is asked", keyed(1, 1))
		f.Want(t, "and the other", keyed(1, 2))
		home.Leg.Send(keyed(1, 1), keyed(1, 2), keyed(1, 3))
		client.Want("two answers come, not three", keyed(1, 1), keyed(1, 2))
		client.Send(keyed(1, 4))
		f.Want(t, "the id may be used again", keyed(1, 4))
		home.Leg.Send(keyed(1, 4))
		client.Want("and is answered again", keyed(1, 4))
	})
}

// After timeout the client gets an error, by the template, and no answer.
func TestScatterTimeout(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for onLost, want := range map[string]string{
			"error":  `{"id":"a<\u0062\"","error":"no answer in time"}`,
			"resend": `{"id":"a<\u0062\"","error":"no answer in time"}`,
			"close":  `{"id":"a<\u0062\"","error":"no answer in time"}`,
			`{error: '{"re":{{.ID}},"why":{{json .Reason}},"at":{{json .Instance}}}'}`: `{"re":"a<\u0062\"","why":"no answer in time","at":"INSTANCE"}`,
		} {
			f, a := scattering(t, tr, 1, testkit.Scatter{Top: `admin: {address: "127.0.0.1:0"}`,
				Scatter: "send: round_robin, gather: {id: id, timeout: 50ms}, on_lost: " + onLost})
			client, home := f.Enter(t, a)
			m := testkit.Text(`{"id":"a<\u0062\""}`)
			client.Send(m)
			f.Want(t, "it is asked", m)
			client.Want(onLost+": it is answered in the instance's place", testkit.Text(strings.Replace(want, "INSTANCE", f.URLs()[0], 1)))
			home.Leg.Send(testkit.Text(`{"id":"a<b\"","late":1}`), testkit.Text("behind it"))
			client.Want("its own answer is late, what is behind it is not", testkit.Text("behind it"))
			for event, n := range map[string]float64{"error_timeout": 1, "late": 1} {
				a.WantMetric(t, onLost+": it is counted", fmt.Sprintf(`sluice_scatter_events_total{event=%q,route="r"}`, event), n)
			}
		}
	})
}

// As many as may be are unanswered; then the client is not read until one is.
func TestScatterOutstanding(t *testing.T) {
	pad := strings.Repeat("x", 40_000)
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range []struct {
			scatter, pad string
			most         int
		}{
			{"send: round_robin, gather: {id: id, timeout: 0s, outstanding: {messages: 3}}", "", 3},
			{"send: round_robin, gather: {id: id, timeout: 0s, outstanding: {bytes: 64KiB}}, on_lost: resend", pad, 2},
		} {
			f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: c.scatter})
			client, home := f.Enter(t, a)
			var all []testkit.Frame
			for n := range 10 {
				all = append(all, testkit.Text(fmt.Sprintf(`{"id":%d,"pad":"%s"}`, n, c.pad)))
			}
			client.Send(all[0])
			f.Want(t, "one is asked", all[0])
			home.Leg.Send(all[0])
			client.Want("and answered", all[0])
			client.Send(all[1:]...)
			for k, m := range all[1:] {
				if k == c.most { // what is answered first, and only that, lets another one in
					home.Leg.Send(testkit.Ping("that is all"))
					f.Want(t, "no more than may be are asked", testkit.Pong("that is all"))
				}
				if k >= c.most {
					home.Leg.Send(all[1+k-c.most])
					client.Want("one is answered", all[1+k-c.most])
				}
				f.Want(t, "and another is asked", m)
			}
			for _, m := range all[len(all)-c.most:] {
				home.Leg.Send(m)
				client.Want("the last ones are answered", m)
			}
		}
	})
}
