package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// What comes right behind a handshake, on either side and on every leg, is there
// once.
func TestScatterReadAhead(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: byPool}, "p1", "p2", "p3", "p4")
		f.Answer(func(at int, h *testkit.Head) string {
			greeting := testkit.Text(fmt.Sprintf("hello from %d", at)).Plain()
			return testkit.Answer(h) + string(greeting) + "\x81\x06sec"
		})
		client := a.Dial(t)
		client.SendBytes(append([]byte(testkit.Upgrade("/")), client.Bytes(keyed(1, 0), keyed(2, 1), testkit.Begin(`{"id":3`), testkit.End(`,"k":0}`))...))
		client.WantUpgraded("a client enters that does not wait")
		got := map[string]bool{client.Frame("one greets").Payload: true, client.Frame("and another").Payload: true}
		if !got["hello from 0"] || !got["hello from 1"] {
			t.Errorf("both greetings want to come, got %v", got)
		}
		at := map[testkit.Frame]int{keyed(1, 0): 0, keyed(2, 1): 1, testkit.Text(`{"id":3,"k":0}`): 0}
		for range 3 {
			h := f.Message(t, "each message arrives")
			if want, known := at[h.Frame]; !known || want != h.At {
				t.Errorf("%v wants instance %d, came to %d", h.Frame, want, h.At)
			}
			delete(at, h.Frame)
			if h.Frame != keyed(1, 0) {
				h.Leg.SendString("ond")
				client.Want("what was begun goes on", testkit.Text("second"))
			}
		}
	})
}

// An answer is one whatever its size, up to message_size: it comes once, and nothing
// is said in its place.
func TestScatterLargeAnswers(t *testing.T) {
	pad := strings.Repeat("x", 3<<20)
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "send: round_robin, gather: {id: id, timeout: 1s, unsolicited: drop}"})
		client, _ := f.Enter(t, a)
		client.Send(keyed(1, 0), keyed(2, 0))
		large := testkit.Text(`{"pad":"` + pad + `","id":1}`)
		f.Want(t, "it is asked", keyed(1, 0)).Leg.Send(large)
		client.Want("its answer comes", large)
		client.Want("what has none is told, and nothing else", testkit.Text(`{"id":2,"error":"no answer in time"}`))

		f, a = scattering(t, tr, 2, testkit.Scatter{Scatter: "send: all, gather: {policy: collect, id: id, timeout: 20s}"})
		client, _ = f.Enter(t, a)
		client.Send(keyed(1, 0))
		small := testkit.Text(`{"id":1}`)
		for range 2 {
			h := f.Want(t, "all are asked", keyed(1, 0))
			if h.At == 0 {
				h.Leg.Send(large)
			} else {
				h.Leg.Send(small)
			}
		}
		client.Want("it is collected, too", testkit.Text(`{"id":1,"replies":[`+large.Payload+`,`+small.Payload+`],"missing":[]}`))
	})
}

// What is no upgrade goes to the pool as an ordinary request.
func TestScatterPlainHTTP(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		a := testkit.Start(t, tr, testkit.Scatter{Upstreams: []string{in.URL()}}.String())
		client := a.Dial(t)
		client.SendString("GET /poll?x=1 HTTP/1.1\r\nHost: sluice.test\r\n\r\n")
		leg := in.Accept(t, "the request reaches an instance")
		if h := leg.Head("as it was"); h.Line != "GET /poll?x=1 HTTP/1.1" {
			t.Errorf("want the request, got %q", h.Raw)
		}
		leg.SendString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		if _, body := client.WantAnswer("and its answer the client", 200); body != "ok" {
			t.Errorf("want ok, got %q", body)
		}
		client.Close()
		leg.Close()
	})
}

// Over TLS and a Unix socket legs are as over TCP.
func TestScatterOtherSockets(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in, unix := testkit.Listen(t), testkit.ListenUnix(t)
		a := testkit.Start(t, tr, testkit.Scatter{Top: "pools: {p1: {upstreams: \"" + unix.URL() + "\", health: {probe: none}}}",
			Upstreams: []string{in.URL()}, Scatter: `send: {by: k, to: {"1": p1}}, gather: {id: id, timeout: 20s}`}.String())
		client, _ := testkit.Open(t, a, in)
		client.Send(keyed(1, 1))
		leg := unix.Accept(t, "a leg is made")
		leg.SendString(testkit.Answer(leg.Head("and asked")))
		leg.Want("it gets its message", keyed(1, 1))
		leg.Send(keyed(1, 1))
		client.Want("and answers", keyed(1, 1))
		leg.Close()
	})
}
