package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// The source is asked for what the configuration says, and for nothing that
// one of the clients said.
func TestFanoutRequestToTheSource(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{
			Route:  "    headers: {set: {Authorization: Bearer secret, X-From: sluice}}",
			Fanout: "subprotocols: [v2, v1], source_compress: true, subscribe: [one, \"t\u00f6o\", three]",
		})
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/some/path?a=b", "Cookie: private=1", "Authorization: Basic client", "Sec-WebSocket-Protocol: v1, other"))
		leg := f.source.Accept(t, "the source is dialled")
		h := leg.Head("and asked")
		for name, want := range map[string]string{
			"Sluice-From": "oldest", "Authorization": "Bearer secret", "X-From": "sluice", "Cookie": "",
			"Sec-WebSocket-Protocol": "v2, v1", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s is %q towards the source, want %q", name, got, want)
			}
		}
		if got := h.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
			t.Errorf("compression is offered to the source: got %q", got)
		}
		if h.Line != "GET / HTTP/1.1" || h.Get("Sec-WebSocket-Key") == testkit.ClientKey {
			t.Errorf("the source's own URL is asked for, with a key of our own: got %q", h.Raw)
		}
		leg.SendString(testkit.Answer(h, "Sec-WebSocket-Protocol: v1"))
		answer := client.WantUpgraded("the client is let in")
		if got := answer.Get("Sec-WebSocket-Protocol"); got != "v1" {
			t.Errorf("the client speaks what the source speaks: got %q", got)
		}
		leg.Want("the subscriptions follow, in order", testkit.Text("one"), testkit.Text("t\u00f6o"), testkit.Text("three"))
		if !leg.Header().Masked || leg.Header().Key == [4]byte{} {
			t.Errorf("what goes to the source is masked: got %+v", leg.Header())
		}
		_, answer = f.join(t, "/", "Sec-WebSocket-Protocol: other, v2")
		if got := answer.Get("Sec-WebSocket-Protocol"); got != "" {
			t.Errorf("a client that did not offer what the source speaks gets none: got %q", got)
		}
		leg.Reset()
		leg = f.source.Connect(t, "the source is dialled again")
		leg.Want("and the subscriptions are sent again", testkit.Text("one"), testkit.Text("t\u00f6o"), testkit.Text("three"))
	})
}

// source_compress: false offers nothing, and what the source compresses all the
// same breaks a rule.
func TestFanoutSourceNotCompressed(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "source_compress: false"})
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate"))
		leg := f.source.Accept(t, "the source is dialled")
		h := leg.Head("and asked")
		if got := h.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("no extension is offered: got %q", got)
		}
		leg.SendString(testkit.Answer(h, "Sec-WebSocket-Extensions: permessage-deflate"))
		client.WantAnswer("an extension that was not offered is no answer", 502)
	})
}

// Compressed messages of the source are inflated for clients that want them
// plain, with its context taken over or without, in one frame or in several.
func TestFanoutInflates(t *testing.T) {
	for _, extension := range []string{"permessage-deflate", "permessage-deflate; server_no_context_takeover", "permessage-deflate; client_max_window_bits=10"} {
		t.Run(extension, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f := startFeed(t, tr, testkit.Feed{Fanout: "source_compress: true"})
				client := f.Dial(t)
				client.SendString(testkit.Upgrade("/"))
				leg := f.source.Connect(t, "the source is dialled", "Sec-WebSocket-Extensions: "+extension)
				client.WantUpgraded("the client is let in")
				d := &testkit.Deflater{}
				long := strings.Repeat("the same words again and again, ", 3000)
				for n := range 4 {
					if strings.Contains(extension, "server_no_context_takeover") {
						d = &testkit.Deflater{}
					}
					p := d.Payload(long)
					switch n % 2 {
					case 0:
						leg.Send(testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: p})
					case 1:
						half := len(p) / 2
						leg.Send(testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, More: true, Payload: p[:half]},
							testkit.Ping("between"), testkit.Go(""), testkit.End(p[half:]))
						leg.Want("a ping between frames is answered", testkit.Pong("between"))
					}
					client.Want("the message is inflated, in one frame", testkit.Text(long))
				}
				leg.Send(testkit.Text("plain"), testkit.Frame{Op: ws.Binary, RSV: testkit.Compressed, Payload: d.Payload("")})
				client.Want("a plain one may come among them, and an empty one", testkit.Text("plain"), testkit.Binary(""))
			})
		})
	}
}

// Fragments are joined, and pings among them are answered.
func TestFanoutJoinsFragments(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		client, leg := f.open(t)
		leg.SendSlowly(leg.Bytes(testkit.Begin("a"), testkit.Go(""), testkit.Ping("1"), testkit.Go("b\xc3"), testkit.Ping(strings.Repeat("p", 125)), testkit.End("\xa4")))
		leg.Want("pings are answered with what they carry", testkit.Pong("1"), testkit.Pong(strings.Repeat("p", 125)))
		client.Want("the client gets one frame", testkit.Text("ab\u00e4"))
		big := strings.Repeat("x", 300<<10)
		leg.Send(testkit.Frame{Op: ws.Binary, More: true, Payload: big}, testkit.End(big), testkit.Text(""))
		client.Want("however large, and the empty one behind it", testkit.Binary(big+big), testkit.Text(""))
	})
}

// keepalive sends texts, and timeouts.ping pings.
func TestFanoutKeepsTheSourceAlive(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Timeouts: "ping: 0s", Fanout: `keepalive: {every: 20ms, send: '{"op":"ping"}'}`})
		_, leg := f.open(t)
		for range 3 {
			leg.Want("the text comes again and again", testkit.Text(`{"op":"ping"}`))
		}
		g := startFeed(t, tr, testkit.Feed{Timeouts: "ping: 20ms, pong: 10s"})
		_, leg = g.open(t)
		for range 3 {
			ping := leg.Frame("a silent source is pinged")
			if ping.Op != ws.Ping {
				t.Fatalf("want a ping, got %v", ping)
			}
			leg.Send(testkit.Pong(ping.Payload))
		}
	})
}

// A source that answers no ping is lost; its clients are not.
func TestFanoutSourceWithoutPongs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Timeouts: "ping: 60ms, pong: 60ms"})
		client, _ := f.open(t)
		got := messages(client)
		f.WantLog(t, "the source is given up", "source lost", "no_pong")
		leg := f.source.Connect(t, "and dialled again")
		leg.Send(testkit.Text("again"))
		if m, ok := <-got; !ok || m != testkit.Text("again") {
			t.Errorf("the client goes on with the new connection: got %v", m)
		}
		client.Close()
	})
}
