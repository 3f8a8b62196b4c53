package wire_test

import (
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// The client's close reaches every leg, with its code, and is answered.
func TestScatterClientCloses(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range []testkit.Frame{testkit.Close(1000, ""), testkit.Close(4321, "bye"), testkit.Close(0, "")} {
			f, a := scattering(t, tr, 3, testkit.Scatter{Timeouts: "close: 1m", Scatter: "send: all, gather: {id: id, timeout: 0s}"})
			client, _ := f.Enter(t, a)
			client.Send(keyed(1, 0))
			var legs []*testkit.Peer
			for range 3 {
				legs = append(legs, f.Want(t, "each leg is asked", keyed(1, 0)).Leg)
			}
			client.Send(c, testkit.Text("nothing comes behind a close"))
			answer := testkit.Close(0, "")
			if len(c.Payload) > 0 {
				answer.Payload = c.Payload[:2]
			}
			client.Want("the close is answered", answer)
			client.WantEOF("and we hang up first")
			client.Close()
			for _, leg := range legs {
				if h := f.Find(t, "each leg is told", func(h testkit.Heard) bool { return h.Leg == leg && h.Head == nil }); h.Frame != c {
					t.Errorf("each leg wants %v, got %v", c, h.Frame)
				}
				leg.Send(answer)
				leg.Close()
			}
			a.WantNoSessions(t, "nothing is left")
		}
	})
}

// What the client said before it closed, or hung up, arrives, though the leg has to
// be made first.
func TestScatterSaysAndLeaves(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for what, leave := range map[string]func(*testkit.Peer){
			"a close":           func(p *testkit.Peer) { p.Send(testkit.Close(4000, "bye")) },
			"a close and a FIN": func(p *testkit.Peer) { p.Send(testkit.Close(4000, "bye")); p.CloseWrite() },
			"a FIN":             func(p *testkit.Peer) { p.CloseWrite() },
		} {
			f, a := scattering(t, tr, 4, testkit.Scatter{Scatter: "send: {hash: k}"})
			client, _ := f.Enter(t, a)
			for n := range 20 {
				client.Send(keyed(n, n))
			}
			leave(client)
			for range 20 {
				f.Message(t, what+" does not overtake messages")
			}
			if what != "a FIN" {
				client.Want("its close is answered", testkit.Close(4000, ""))
			}
			client.WantGone("and that is the end")
			client.Close()
			a.WantNoSessions(t, what+": nothing is left")
		}
	})
}

// A client that has hung up gets the answers that it waits for, and an end.
func TestScatterHalfClosed(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Timeouts: "close: 1m", Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"})
		client, _ := f.Enter(t, a)
		by := asked(t, f, client, keyed(1, 0), keyed(2, 0))
		client.CloseWrite()
		by[keyed(1, 0).Payload].Leg.Send(keyed(1, 0))
		client.Want("an answer comes", keyed(1, 0))
		by[keyed(2, 0).Payload].Leg.Reset()
		client.Want("what is lost is told", testkit.Text(`{"id":2,"error":"the instance's connection broke"}`))
		client.WantClose("then it is told goodbye", 1000)
		client.WantEOF("and that is the end")
		a.WantNoSessions(t, "nothing is left")

		f, a = scattering(t, tr, 2, testkit.Scatter{Timeouts: "close: 100ms", Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"})
		client, home := f.Enter(t, a)
		asked(t, f, client, keyed(1, 0))
		client.CloseWrite()
		client.WantClose("who is not answered has its end all the same", 1000)
		client.WantEOF("in time")
		f.WantLeft(t, "and legs have theirs", home.Leg, 1001)

		// Without ids it gets as many messages as it has sent.
		f, a = scattering(t, tr, 2, testkit.Scatter{Timeouts: "close: 1m", Scatter: "send: round_robin"})
		client, _ = f.Enter(t, a)
		by = asked(t, f, client, keyed(1, 0), keyed(2, 0), keyed(3, 0))
		client.CloseWrite()
		for n := 1; n <= 3; n++ {
			by[keyed(n, 0).Payload].Leg.Send(keyed(n, 1))
			client.Want("what may be an answer comes", keyed(n, 1))
		}
		client.WantClose("then it is told goodbye, too", 1000)
	})
}

// A client that breaks off leaves nothing, however much is under way.
func TestScatterClientGone(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: "send: all, gather: {policy: collect, id: id, timeout: 0s}, on_lost: resend"})
		for n := range 5 {
			client, _ := f.Enter(t, a)
			client.Send(keyed(n, 0), keyed(n, 1), testkit.Begin("half"))
			for range 6 {
				f.Message(t, "it asks")
			}
			client.Reset()
			a.WantNoSessions(t, "with a reset all is over")
		}
		client := a.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		client.Reset()
		a.WantNoSessions(t, "also before it was answered")
	})
}

// A stop lets answers come that are under way, then tells who is there.
func TestScatterStop(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Top: "drain: 10ms", Timeouts: "close: 10s", Scatter: "send: round_robin, gather: {id: id, timeout: 10s}"})
		client, _ := f.Enter(t, a)
		idle, _ := f.Enter(t, a)
		by := asked(t, f, client, keyed(1, 0), keyed(2, 0))
		a.Cancel()
		idle.WantClose("who waits for nothing is told at once", 1001)
		for _, n := range []int{2, 1} {
			by[keyed(n, 0).Payload].Leg.Send(keyed(n, 0))
			client.Want("answers come", keyed(n, 0))
		}
		client.WantClose("then the client is told", 1001)
		for _, p := range []*testkit.Peer{client, idle} {
			p.Send(testkit.Close(1001, ""))
			p.WantEOF("and that is the end")
			p.Close()
		}
	})
}

// Limits end a session with their code, or make it wait.
func TestScatterLimits(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for what, c := range map[string]struct {
			limits, timeouts string
			send             []testkit.Frame
			raw              string
			passes           int // messages
			code             uint16
		}{
			"message size":           {"message_size: {client: 10}", "", []testkit.Frame{testkit.Text("0123456789")}, "\x81\x8babcd", 1, 1009},
			"message size, in sum":   {"message_size: {client: 10}", "", []testkit.Frame{testkit.Begin("012345"), testkit.End("6789"), testkit.Begin("012345")}, "\x80\x85abcd", 1, 1009},
			"the largest there is":   {"", "", nil, "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd", 0, 1009},
			"messages":               {"messages: {rate: 0.001, burst: 2, over: close}", "", []testkit.Frame{testkit.Text("1"), testkit.Begin("2"), testkit.End(""), testkit.Text("3"), testkit.Text("4")}, "", 2, 1008},
			"pings":                  {"pings_per_second: 1", "", []testkit.Frame{testkit.Text("1"), testkit.Ping(""), testkit.Ping(""), testkit.Ping("")}, "", 1, 1008},
			"a frame that stops":     {"", "frame: 50ms", []testkit.Frame{testkit.Text("1")}, "\x81\x85abcd", 1, 1008},
			"idle":                   {"", "idle: 50ms", []testkit.Frame{testkit.Text("1")}, "", 1, 1001},
			"age":                    {"", "age: 50ms", nil, "", 0, 1012},
			"no mask":                {"", "", []testkit.Frame{testkit.Text("1")}, "\x81\x01a", 1, 1002},
			"a continuation":         {"", "", nil, "\x80\x80abcd", 0, 1002},
			"a close of one byte":    {"", "", nil, "\x88\x81abcdx", 0, 1002},
			"a code that may not be": {"", "", []testkit.Frame{testkit.Close(1005, "")}, "", 0, 1002},
		} {
			f, a := scattering(t, tr, 1, testkit.Scatter{Limits: c.limits, Timeouts: c.timeouts})
			client, home := f.Enter(t, a)
			client.SendBytes(append(client.Bytes(c.send...), c.raw...))
			for range c.passes {
				f.Message(t, what+": what is within it passes")
			}
			for {
				got := client.Frame(what + ": the client is told")
				if got.Op == testkit.Pong("").Op {
					continue
				}
				if len(got.Payload) < 2 || got.Payload[:2] != testkit.Close(c.code, "").Payload {
					t.Errorf("%s wants a close with %d, got %v", what, c.code, got)
				}
				break
			}
			f.WantLeft(t, what+": and the instance", home.Leg, 1001)
		}

		f, a := scattering(t, tr, 1, testkit.Scatter{Limits: "messages: {rate: 50, burst: 1, over: wait}"})
		client, home := f.Enter(t, a)
		var all []testkit.Frame
		for n := range 5 {
			all = append(all, testkit.Text(fmt.Sprint(n)))
		}
		client.Send(all...)
		home.Leg.Send(testkit.Text("down"))
		client.Want("the other direction is open", testkit.Text("down"))
		for _, m := range all {
			f.Want(t, "over: wait loses nothing", m)
		}
	})
}
