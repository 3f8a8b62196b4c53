package wire_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A message in one frame reaches the instance as it came, its mask too; one in
// several, cut at any byte, as one frame with the same payload.
func TestScatterFrames(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		a := testkit.Start(t, tr, testkit.Scatter{Limits: "pings_per_second: 0", Upstreams: []string{in.URL()}, Scatter: `send: {hash: {path: k, bytes: [0, 2]}}, gather: {id: id}`}.String())
		client, leg := testkit.Open(t, a, in)
		for _, payload := range []string{`{"k":1}`, "", `not JSON`, strings.Repeat("x", 125), strings.Repeat("y", 126)} {
			whole := client.Bytes(testkit.Text(payload))
			client.SendBytes(whole)
			leg.WantBytes("a frame comes byte for byte, mask and all", string(whole))
		}
		large := testkit.Text(`{"k":"` + strings.Repeat("z", 200_000) + `"}`)
		client.Send(large)
		leg.Want("what does not come at once comes as it was meant", large)
		many := client.Bytes(testkit.Begin(`{"k"`), testkit.Ping("1"), testkit.Go(``), testkit.Go(`:`), testkit.Pong("unasked"), testkit.End(`1}`),
			testkit.Frame{Op: ws.Binary, More: true}, testkit.End("k"), testkit.Binary(""), testkit.Begin(""), testkit.End(""))
		want := []testkit.Frame{testkit.Text(`{"k":1}`), testkit.Binary("k"), testkit.Binary(""), testkit.Text("")}
		for at := range many {
			client.SendBytes(many[:at])
			client.SendBytes(many[at:])
			client.Want("a ping between the frames is answered", testkit.Pong("1"))
			leg.Want("the messages come whole", want...)
		}
		client.SendSlowly(many)
		leg.Want("byte by byte, too", want...)
	})
}

// What instances say in parts comes to the client in whole messages; nobody's
// stands in another's.
func TestScatterFramesOfInstances(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: "send: all"})
		client, _ := f.Enter(t, a)
		client.Send(testkit.Text("go"))
		one, two := f.Want(t, "one is asked", testkit.Text("go")).Leg, f.Want(t, "and another", testkit.Text("go")).Leg
		one.Send(testkit.Begin("on"))
		two.Send(testkit.Text("two"), testkit.Ping("p"), testkit.Frame{Op: ws.Binary, More: true, Payload: "tw"})
		client.Want("one that is whole comes", testkit.Text("two"))
		if h := f.Next(t, "the instance's ping is answered by us"); h.Leg != two || h.Frame != testkit.Pong("p") {
			t.Errorf("want its pong, got %v at %d", h.Frame, h.At)
		}
		one.Send(testkit.Go(""), testkit.Ping("q"), testkit.End("e"))
		client.Want("and one in parts as one", testkit.Text("one"))
		two.SendSlowly(two.Bytes(testkit.End("o")))
		client.Want("and the other one", testkit.Binary("two"))
		client.Send(testkit.Ping("c"))
		client.Want("the client's ping is answered by us", testkit.Pong("c"))
	})
}

// deflated is text as a client compresses it.
func deflated(s string) testkit.Frame {
	var d ws.Deflater
	return testkit.Frame{Op: ws.Text, RSV: ws.RSV1, Payload: string(d.Append(nil, []byte(s)))}
}

// compressing opens a client that has agreed on permessage-deflate.
func compressing(t *testing.T, a *testkit.App) *testkit.Peer {
	t.Helper()
	client := a.Dial(t)
	client.SendString(testkit.Upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"))
	h := client.WantUpgraded("a client enters that compresses")
	if got := h.Get("Sec-WebSocket-Extensions"); got != "permessage-deflate; server_no_context_takeover; client_no_context_takeover" {
		t.Errorf("compression wants to be agreed on, without context takeover, got %q", got)
	}
	client.Deflate()
	return client
}

// Compression ends at Sluice: instances get messages as the client meant them,
// whole, and the client gets large ones compressed.
func TestScatterInflates(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: `send: {by: k, to: {x: a}}, gather: {id: id}`}, "a")
		client := compressing(t, a)
		f.Next(t, "home is asked")
		small := `{"k":"x","id":1}`
		large := `{"k":"x","id":2,"pad":"` + strings.Repeat("what repeats ", 1000) + `"}`
		z := deflated(large)
		begin, end := z, testkit.End(z.Payload[7:])
		begin.More, begin.Payload = true, z.Payload[:7]
		client.Send(deflated(small), testkit.Text(small), z, begin, testkit.Ping("p"), end)
		var leg *testkit.Peer
		for _, m := range []string{small, small, large, large} {
			to := f.Want(t, "it comes as it was meant", testkit.Text(m))
			if leg = to.Leg; to.At != 1 {
				t.Errorf("%.30s wants to be read: to instance 1, came to %d", m, to.At)
			}
		}
		client.Send(testkit.Frame{Op: ws.Text, RSV: ws.RSV1}, testkit.Frame{Op: ws.Binary, RSV: ws.RSV1, Payload: deflated("b").Payload})
		f.Want(t, "nothing, compressed, is nothing", testkit.Text(""))
		f.Want(t, "binary ones may be compressed", testkit.Binary("b"))
		client.Want("a ping amid is answered", testkit.Pong("p"))
		leg.Send(testkit.Text(small), testkit.Text(large))
		client.Want("what is small is not compressed", testkit.Text(small))
		got := client.Frame("what is large is")
		plain, err := new(ws.Inflater).Append(nil, []byte(got.Payload), 1<<20)
		if err != nil || got.RSV != ws.RSV1 || got.Op != ws.Text || string(plain) != large {
			t.Errorf("want it compressed, got %v, %v", got, err)
		}
	})
}

// Who sends what can't be inflated, or too much, is told so, and costs nothing.
func TestScatterInflatesNoBomb(t *testing.T) {
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, 9)
	_, _ = w.Write(make([]byte, 64<<20))
	_ = w.Flush()
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for what, c := range map[string]struct {
			m      testkit.Frame
			limits string
			code   uint16
		}{
			"a bomb":               {testkit.Frame{Op: ws.Text, RSV: ws.RSV1, Payload: bomb.String()[:bomb.Len()-4]}, "", 1009},
			"a ratio too good":     {deflated(strings.Repeat("x", 1<<20)), "", 1009},
			"more than the limit":  {deflated(fmt.Sprintf("%q", strings.Repeat("x", 2000))), "message_size: {client: 1000}", 1009},
			"garbage":              {testkit.Frame{Op: ws.Text, RSV: ws.RSV1, Payload: "\xff\xff\xff\xff"}, "", 1007},
			"a reserved bit":       {testkit.Frame{Op: ws.Text, RSV: 0x20, Payload: "x"}, "", 1002},
			"a compressed control": {testkit.Frame{Op: ws.Ping, RSV: ws.RSV1, Payload: "x"}, "", 1002},
		} {
			f, a := scattering(t, tr, 1, testkit.Scatter{Limits: c.limits})
			client := compressing(t, a)
			home := f.Next(t, "home is asked")
			client.Send(deflated("before"))
			f.Want(t, "what is good passes", testkit.Text("before"))
			client.Send(c.m)
			client.WantClose(what+": the client is told", c.code)
			f.WantLeft(t, what+": the instance hears of nothing but the end", home.Leg, 1001)
		}
	})
}

// compress: false agrees on nothing, and RSV1 is a violation then.
func TestScatterWithoutCompression(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "compress: false"})
		client := a.Dial(t)
		client.SendString(testkit.Upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate"))
		if h := client.WantUpgraded("a client enters"); h.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("no extension wants to be agreed on, got %q", h.Raw)
		}
		home := f.Next(t, "home is asked")
		home.Leg.Send(testkit.Text(strings.Repeat("x", 5000)))
		client.Want("nothing is compressed", testkit.Text(strings.Repeat("x", 5000)))
		client.Send(deflated("x"))
		client.WantClose("nor may the client", 1002)
		f.WantLeft(t, "the instance hears of nothing but the end", home.Leg, 1001)
	})
}
