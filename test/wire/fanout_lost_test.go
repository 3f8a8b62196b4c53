package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A client gets 502 when every URL has given a bad answer, and none is tried
// twice for it.
func TestFanoutNoSourceToBeHad(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		a, b := testkit.Listen(t), testkit.Listen(t)
		f := startFeed(t, tr, testkit.Feed{Sources: []string{a.URL(), b.URL()}, Fanout: "linger: 0s"})
		for _, bad := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + testkit.ClientAccept + "\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n\r\n",
			"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", "nonsense\r\n\r\n", "",
		} {
			client := f.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			for _, in := range []*testkit.Instance{a, b, f.source} {
				leg := in.Accept(t, "each URL is tried, in turn")
				h := leg.Head("and asked")
				leg.SendString(strings.ReplaceAll(bad, "KEY", testkit.AcceptFor(h.Get("Sec-WebSocket-Key"))))
				leg.Close()
			}
			h, _ := client.WantRefusal(fmt.Sprintf("the client learns that there is no source behind %.40q", bad), 502)
			if h.Get("Retry-After") == "" {
				t.Errorf("it is told when to come again: got %q", h.Raw)
			}
			f.WantNoSessions(t, "and counted out")
		}
	})
}

// The first URL refuses, the second does not.
func TestFanoutNextURL(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		a, b := testkit.Listen(t), testkit.Listen(t)
		const gone = "ws://127.0.0.1:1" // a port that is given to nobody, unlike one that was left
		f := startFeed(t, tr, testkit.Feed{Sources: []string{gone, a.URL(), b.URL()}})
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		leg := a.Accept(t, "behind one that refuses the connection the next is tried")
		leg.Head("it is asked")
		leg.SendString("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		leg = b.Connect(t, "and the next")
		client.WantUpgraded("which has it")
		say(t, leg, 0, 3, client)
		f.source.WantUnvisited(t, "the last one was not needed")
		leg.Send(testkit.Close(1000, "bye"))
		leg.Want("its close is answered", testkit.Close(1000, ""))
		leg = f.source.Connect(t, "a source that is lost is followed by the next")
		say(t, leg, 3, 6, client)
		leg.Close()
		leg = a.Connect(t, "and the last one by the first that answers")
		say(t, leg, 6, 9, client)
	})
}

// However many clients come, and however they come, there is one connection.
func TestFanoutOneConnection(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "compress: true"})
		var clients []*testkit.Peer
		for range 20 {
			c := f.Dial(t)
			c.SendString(testkit.Upgrade("/"))
			clients = append(clients, c)
		}
		leg := f.source.Accept(t, "the first of them has the source dialled")
		h := leg.Head("and asked")
		f.source.WantUnvisited(t, "once, while it has not answered")
		leg.SendString(testkit.Answer(h) + string(testkit.Text("first").Plain()))
		for _, c := range clients {
			_, n := offset(t, c.WantUpgraded("all are let in"))
			if n == "0" { // it waited for the answer
				c.Want("and begin with the first message", testkit.Text("first"))
			}
		}
		late, _ := f.join(t, "/?whatever=1")
		events, _ := f.listen(t, "/elsewhere", eventStream)
		events.Until("an event stream begins", "\n\n")
		say(t, leg, 1, 5, append(clients, late)...)
		f.source.WantUnvisited(t, "nobody had it dialled again")
	})
}

// A stream outlives its last client by linger, and is begun anew by the next.
func TestFanoutLingers(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, linger := range []string{"0s", "50ms"} {
			f := startFeed(t, tr, testkit.Feed{Fanout: "linger: " + linger})
			offsets := map[string]bool{}
			for range 3 {
				client := f.Dial(t)
				client.SendString(testkit.Upgrade("/"))
				leg := f.source.Connect(t, "a client has the source dialled")
				offsets[client.WantUpgraded("it is let in").Get("Sluice-Offset")] = true
				say(t, leg, 0, 3, client)
				other, _ := f.join(t, "/")
				client.Close()
				say(t, leg, 3, 6, other)
				other.Send(testkit.Close(1000, ""))
				other.Want("the last client goes", testkit.Close(1000, ""))
				other.Close()
				leg.WantClose("then the source is let go", 1000)
				leg.Send(testkit.Close(1000, ""))
				leg.WantEnd("in good order")
			}
			if len(offsets) != 3 {
				t.Errorf("each life of the stream has an epoch of its own: got %v", offsets)
			}
		}
	})
}

// A client that comes while the stream lingers finds it as it was.
func TestFanoutLingersForTheNext(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "linger: 1m"})
		client, leg := f.open(t)
		say(t, leg, 0, 3, client)
		client.Close()
		f.WantNoSessions(t, "the client is gone")
		say(t, leg, 3, 6)
		client, _ = f.join(t, "/?sluice_from=oldest")
		for n := range 6 {
			client.Want("all that came meanwhile is there", testkit.Text(fmt.Sprintf("message %d", n)))
		}
		f.source.WantUnvisited(t, "over the one connection")
	})
}

// An end that the application means for its clients reaches all of them, behind
// everything else, and whoever comes then begins another stream.
func TestFanoutRelaysTheSourcesClose(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "linger: 1m, compress: true, on_source_close: {relay: [1000, 4001]}"})
		for _, end := range []testkit.Frame{testkit.Close(4001, "the match is over"), testkit.Close(1000, "")} {
			client, leg := f.open(t)
			deflated, _ := f.join(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
			events, _ := f.listen(t, "/", eventStream)
			lines, _ := f.listen(t, "/", ndjson)
			leg.Send(testkit.Text("last"), testkit.Text("of all"), end)
			for _, c := range []*testkit.Peer{client, deflated} {
				c.Want("everything, then the source's own close", testkit.Text("last"), testkit.Text("of all"), end)
				c.Send(testkit.Close(1000, ""))
				c.WantEOF("and the end")
			}
			s := string(events.Rest())
			if code := fmt.Sprint(int(end.Payload[0])<<8 + int(end.Payload[1])); !strings.Contains(s, "data: last\n\n") ||
				strings.Index(s, "data: of all\n\n") > strings.Index(s, "event: close\ndata: {\"code\":"+code) || !strings.Contains(s, "event: close") {
				t.Errorf("event streams end with an event: got %q", s)
			}
			if s := string(lines.Rest()); !strings.Contains(s, `"data":"of all"}`+"\n"+`{"close":{"code":`) {
				t.Errorf("and lines with a line: got %q", s)
			}
			leg.WantClose("the source's close is answered", uint16(end.Payload[0])<<8+uint16(end.Payload[1]))
			events.Close()
			lines.Close()
			f.WantNoSessions(t, "all are counted out")
		}
	})
}

// A source that is lost in any other way is dialled again; nobody notices, and
// half a message reaches nobody.
func TestFanoutSourceLost(t *testing.T) {
	half := testkit.Text(strings.Repeat("half ", 1000)).Plain()
	for name, lose := range map[string]func(leg *testkit.Peer){
		"closed 1001":         func(leg *testkit.Peer) { leg.Send(testkit.Close(1001, "going")) },
		"closed 4000":         func(leg *testkit.Peer) { leg.Send(testkit.Close(4000, "")) },
		"closed without code": func(leg *testkit.Peer) { leg.Send(testkit.Close(0, "")) },
		"reset":               func(leg *testkit.Peer) { leg.Reset() },
		"FIN":                 func(leg *testkit.Peer) { leg.CloseWrite() },
		"half a frame":        func(leg *testkit.Peer) { leg.SendBytes(half[:len(half)-1]); leg.CloseWrite() },
		"half a header":       func(leg *testkit.Peer) { leg.SendBytes(half[:3]); leg.Close() },
		"half a message": func(leg *testkit.Peer) {
			leg.Send(testkit.Begin("a"), testkit.Frame{Op: ws.Continuation, More: true, Payload: "b"})
			leg.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				other := testkit.Listen(t)
				f := startFeed(t, tr, testkit.Feed{Sources: []string{other.URL()}})
				client := f.Dial(t)
				client.SendString(testkit.Upgrade("/"))
				leg := other.Connect(t, "the first URL is dialled")
				offset := client.WantUpgraded("the client is let in").Get("Sluice-Offset")
				say(t, leg, 0, 2, client)
				lose(leg)
				leg = f.source.Connect(t, "the next URL is dialled")
				leg.Send(testkit.Text("message 2"))
				client.Want("the client stays, and half a message was never there", testkit.Text("message 2"))
				resumed, answer := f.join(t, "/?sluice_from="+strings.Replace(offset, "-0", "-1", 1))
				resumed.Want("who counted on is understood", testkit.Text("message 1"), testkit.Text("message 2"))
				if answer.Get("Sluice-Offset") != strings.Replace(offset, "-0", "-1", 1) {
					t.Errorf("and finds the numbers as they were: asked for %s less one, got %q", offset, answer.Raw)
				}
				_, answer = f.join(t, "/")
				if got := answer.Get("Sluice-Offset"); got[:12] == offset[:12] || !strings.HasSuffix(got, "-1") {
					t.Errorf("what may be missing is told by a new epoch: got %s behind %s", got, offset)
				}
			})
		})
	}
}
