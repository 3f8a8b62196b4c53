package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Messages go to the source whole, masked with a key of ours.
func TestFanoutForwards(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "client_messages: forward, compress: true"})
		client, leg := f.open(t)
		client.Send(testkit.Text("hello"))
		leg.Want("a message goes on", testkit.Text("hello"))
		if h := leg.Header(); !h.Masked || h.Key == [4]byte{0xA1, 0x5C, 0x00, 0xFE} {
			t.Errorf("with a key of our own: got %+v", h)
		}
		client.SendSlowly(client.Bytes(testkit.Begin("a\xc3"), testkit.Ping("p"), testkit.Go(""), testkit.End("\xa4b"), testkit.Binary(""), testkit.Text("")))
		leg.Want("fragments are joined", testkit.Text("a\u00e4b"), testkit.Binary(""), testkit.Text(""))
		client.Want("and pings don't go to the source", testkit.Pong("p"))
		large := strings.Repeat("large ", 100_000)
		client.Send(testkit.Binary(large))
		leg.Want("however large", testkit.Binary(large))
		small, _ := f.join(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
		p := (&testkit.Deflater{}).Payload(large)
		small.Send(testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: p}, testkit.Text("plain"))
		leg.Want("compressed ones are inflated", testkit.Text(large), testkit.Text("plain"))
		small.Send(testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, More: true, Payload: p[:10]}, testkit.End(p[10:]))
		leg.Want("each by itself", testkit.Text(large))
		say(t, leg, 0, 2, client, small)
	})
}

// Compressed messages that are none, or inflate to too much, end their client.
func TestFanoutForwardsNothingWrong(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Limits: "message_size: {client: 4KiB}", Fanout: "client_messages: forward, compress: true"})
		_, leg := f.open(t)
		for name, c := range map[string]struct {
			payload string
			code    uint16
		}{
			"not compressed":    {"plain text, really", 1007},
			"a bomb":            {(&testkit.Deflater{}).Payload(strings.Repeat("\x00", 4097)), 1009},
			"not UTF-8, inside": {(&testkit.Deflater{}).Payload("a\xff"), 1007},
		} {
			client, _ := f.join(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
			client.Send(testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: c.payload})
			client.WantClose(name, c.code)
			client.Close()
		}
		client, _ := f.join(t, "/")
		client.Send(testkit.Text("right"))
		leg.Want("and none of it reaches the source", testkit.Text("right"))
	})
}

// limits.messages holds clients to a rate: it makes them wait, or ends them.
func TestFanoutForwardsAtARate(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Limits: "messages: {rate: 50, burst: 2, over: wait}", Fanout: "client_messages: forward"})
		client, leg := f.open(t)
		var ms []testkit.Frame
		for range 12 {
			ms = append(ms, testkit.Text("a"), testkit.Begin("b"), testkit.End("c"))
		}
		client.Send(ms...)
		for range 12 {
			leg.Want("all arrive in the end, in order", testkit.Text("a"), testkit.Text("bc"))
		}
		say(t, leg, 0, 2, client)
		g := startFeed(t, tr, testkit.Feed{Limits: "messages: {rate: 0.001, burst: 2, over: close}", Fanout: "client_messages: forward"})
		client, leg = g.open(t)
		client.Send(testkit.Text("1"), testkit.Text("2"), testkit.Text("3"))
		leg.Want("what the rate allows goes on", testkit.Text("1"), testkit.Text("2"))
		client.WantClose("what is over it ends the client", 1008)
	})
}

// A template wraps what clients say.
func TestFanoutForwardsWrapped(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: `client_messages: {forward: {template: '{"from":{{json .Client}},"text":{{json .Message}}}'}}, answers: [{match: ping, send: pong}]`})
		client, leg := f.open(t)
		client.Send(testkit.Text("a \"b\" <c>\n\u00e4"), testkit.Text("ping"), testkit.Binary("b"))
		leg.Want("each is wrapped", testkit.Text(`{"from":"127.0.0.1","text":"a \"b\" <c>\n`+"\u00e4"+`"}`), testkit.Binary(`{"from":"127.0.0.1","text":"b"}`))
		client.Want("but what has an answer", testkit.Text("pong"))
	})
}

// While the source is away what clients say is held, up to a bound.
func TestFanoutForwardsLater(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "client_messages: forward, subscribe: [sub]"})
		client, leg := f.open(t)
		other, _ := f.join(t, "/")
		leg.Want("the subscription", testkit.Text("sub"))
		leg.Reset()
		leg = f.source.Accept(t, "the source is dialled again")
		h := leg.Head("and has not answered")
		client.Send(testkit.Text("1"), testkit.Text("2"), testkit.Ping("read"))
		client.Want("what the client says meanwhile is taken", testkit.Pong("read"))
		half := strings.Repeat("x", 600<<10)
		other.Send(testkit.Binary(half), testkit.Ping("read"))
		other.Want("however large", testkit.Pong("read"))
		client.Send(testkit.Binary(half))
		client.WantClose("up to a bound", 1013)
		leg.SendString(testkit.Answer(h))
		leg.Want("subscriptions go first, then all in order", testkit.Text("sub"), testkit.Text("1"), testkit.Text("2"), testkit.Binary(half))
		other.Send(testkit.Text("3"))
		leg.Want("and so on", testkit.Text("3"))
		say(t, leg, 0, 2, other)
	})
}
