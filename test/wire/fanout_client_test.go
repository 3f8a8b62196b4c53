package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Pages of other origins are refused, with the line that would let them in.
func TestFanoutOrigins(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		for _, request := range []string{testkit.Upgrade("/", "Origin: https://evil.example"), get("/", eventStream, "Origin: https://evil.example"),
			"OPTIONS / HTTP/1.1\r\nHost: sluice.test\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n\r\n"} {
			client := f.Dial(t)
			client.SendString(request)
			h, body := client.WantAnswer("another page is refused", 403)
			if !strings.Contains(body, `origins: ["https://evil.example"]`) || h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("it is told the line to add: got %q, %q", h.Raw, body)
			}
		}
		f.source.WantUnvisited(t, "nothing of that reaches the source")
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/", "Origin: http://sluice.test"))
		f.source.Connect(t, "the site's own page has the source dialled")
		client.WantUpgraded("and is let in")
	})
}

// Pings are answered with what they carry, and other control frames need none.
func TestFanoutPingsOfClients(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "client_messages: drop"})
		client, leg := f.open(t)
		client.Send(testkit.Ping("a"), testkit.Pong("unasked"), testkit.Ping(""), testkit.Begin("half a message"), testkit.Ping(strings.Repeat("p", 125)))
		client.Want("each is answered", testkit.Pong("a"), testkit.Pong(""), testkit.Pong(strings.Repeat("p", 125)))
		say(t, leg, 0, 2, client)
		client.Send(testkit.End("whole"), testkit.Ping("b"))
		client.Want("what it says is thrown away", testkit.Pong("b"))
		leg.Send(testkit.Ping("sync"))
		leg.Want("and none of it reaches the source", testkit.Pong("sync"))
	})
}

// A client's close comes back with its code, and we hang up first.
func TestFanoutClosesOfClients(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		_, leg := f.open(t)
		for _, c := range []testkit.Frame{testkit.Close(1000, "bye"), testkit.Close(1001, ""), testkit.Close(4999, "\u00e4"), testkit.Close(0, "")} {
			client, _ := f.join(t, "/")
			say(t, leg, 0, 1, client)
			client.Send(c, testkit.Text("behind it"))
			if got := client.Frame("its close comes back"); got.Op != ws.CloseFrame || got.Payload[:min(2, len(got.Payload))] != c.Payload[:min(2, len(c.Payload))] {
				t.Errorf("with its code: sent %v, got %v", c, got)
			}
			client.WantEOF("and the end")
		}
		f.WantSessions(t, "they are counted out", 1)
		client, _ := f.join(t, "/")
		client.Reset()
		client, _ = f.join(t, "/")
		client.CloseWrite()
		client.WantEnd("one that hangs up is let go")
		f.WantSessions(t, "they too", 1)
	})
}

// A client that breaks a rule is told so, and nobody else notices.
func TestFanoutClientsBreakRules(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Limits: "message_size: {client: 4KiB}", Fanout: "client_messages: forward"})
		other, leg := f.open(t)
		for name, c := range map[string]struct {
			bytes string
			code  uint16
		}{
			"not masked":               {string(testkit.Text("plain").Plain()), 1002},
			"reserved opcode":          {"\x83\x80abcd", 1002},
			"RSV1 unasked":             {"\xc1\x80abcd", 1002},
			"a continuation":           {string(testkit.End("x").Masked()), 1002},
			"a message within another": {string(testkit.Begin("x").Masked()) + string(testkit.Text("y").Masked()), 1002},
			"a long ping":              {"\x89\xfe\x00\x7eabcd", 1002},
			"a close of one byte":      {"\x88\x81\x00\x00\x00\x00\x03", 1002},
			"a close with 1006":        {string(testkit.Close(1006, "").Masked()), 1002},
			"a message over the limit": {string(testkit.Text(strings.Repeat("x", 4097)).Masked()), 1009},
			"fragments over the limit": {string(testkit.Begin(strings.Repeat("x", 4096)).Masked()) + string(testkit.End("x").Masked()), 1009},
			"2^62 bytes":               {"\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00abcd", 1009},
			"text that is not UTF-8":   {string(testkit.Text("a\xff").Masked()), 1007},
		} {
			client, _ := f.join(t, "/")
			say(t, leg, 0, 1, client, other)
			client.SendString(c.bytes)
			client.WantClose(name, c.code)
			client.Send(testkit.Close(c.code, ""))
			client.Close()
		}
		other.Send(testkit.Text("right"))
		leg.Want("nothing of that reaches the source", testkit.Text("right"))
		say(t, leg, 1, 2, other)
	})
}

// So is one that hangs up right behind it, or behind its close.
func TestFanoutClientsThatHangUpAreAnswered(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		_, leg := f.open(t)
		for range 20 {
			for name, c := range map[string]struct {
				bytes string
				code  uint16
			}{
				"a reserved opcode": {"\x83\x80abcd", 1002},
				"a close":           {string(testkit.Close(4001, "").Masked()), 4001},
			} {
				client, _ := f.join(t, "/")
				client.SendString(c.bytes)
				client.CloseWrite()
				client.WantClose(name, c.code)
				client.WantEOF("and we hang up")
			}
		}
		f.WantSessions(t, "they are counted out", 1)
		say(t, leg, 0, 1)
	})
}

// reject ends whoever says anything but what has an answer.
func TestFanoutRejects(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: `compress: true, client_messages: reject, answers: [{match: ping, send: pong}, {match: '{"op":"ping"}', send: '{"op":"pong"}'}]`})
		_, leg := f.open(t)
		client, _ := f.join(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
		client.Send(testkit.Text("ping"), testkit.Ping("p"), testkit.Begin(`{"op":`), testkit.End(`"ping"}`),
			testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: (&testkit.Deflater{}).Payload("ping")})
		client.Want("what has an answer gets it", testkit.Text("pong"), testkit.Pong("p"), testkit.Text(`{"op":"pong"}`), testkit.Text("pong"))
		say(t, leg, 0, 2, client)
		for _, m := range []testkit.Frame{testkit.Text("pin"), testkit.Binary("ping"), testkit.Text("something long that has no answer at all"), testkit.Text("")} {
			client, _ := f.join(t, "/")
			client.Send(m)
			client.WantClose("anything else ends it", 1008)
			client.Send(testkit.Close(1008, ""))
			client.WantEOF("and we hang up")
		}
	})
}

// Answers work beside drop as well.
func TestFanoutAnswers(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: `answers: [{match: ping, send: pong}]`})
		client, leg := f.open(t)
		client.Send(testkit.Text("other"), testkit.Text("ping"), testkit.Binary(strings.Repeat("long", 1000)), testkit.Begin("pi"), testkit.Ping("p"), testkit.End("ng"))
		client.Want("what has an answer gets it", testkit.Text("pong"), testkit.Pong("p"), testkit.Text("pong"))
		say(t, leg, 0, 2, client)
		leg.Send(testkit.Ping("sync"))
		leg.Want("and the source hears nothing of it", testkit.Pong("sync"))
	})
}

// A client is pinged, and one that does not answer is let go.
func TestFanoutPingsClients(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Timeouts: "ping: 40ms, pong: 40ms"})
		client, leg := f.open(t)
		answerPings(leg)
		silent, _ := f.join(t, "/")
		for range 5 {
			m := client.Frame("a client is pinged")
			if m.Op != ws.Ping {
				t.Fatalf("with a ping: got %v", m)
			}
			client.Send(testkit.Pong(m.Payload))
		}
		f.WantLog(t, "one that does not answer is let go", "session close", "does not answer pings")
		silent.WantGone("at once")
	})
}
