package wire_test

import (
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// feed is a Sluice that hands the stream of one source to its clients.
type feed struct {
	*testkit.App
	source *testkit.Instance
}

// startFeed runs a Sluice behind a source, which it puts behind those of c.
func startFeed(t *testing.T, tr testkit.Transport, c testkit.Feed) *feed {
	t.Helper()
	in := testkit.Listen(t)
	c.Sources = append(c.Sources, in.URL())
	return &feed{testkit.Start(t, tr, c.String()), in}
}

// open connects the first client, and the source that it makes Sluice connect
// to.
func (f *feed) open(t *testing.T, extra ...string) (client, leg *testkit.Peer) {
	t.Helper()
	client = f.Dial(t)
	client.SendString(testkit.Upgrade("/", extra...))
	leg = f.source.Connect(t, "the first client opens the stream")
	client.WantUpgraded("the first client is let in")
	return client, leg
}

// join connects a client to a stream that is open.
func (f *feed) join(t *testing.T, target string, extra ...string) (client *testkit.Peer, answer *testkit.Head) {
	t.Helper()
	client = f.Dial(t)
	client.SendString(testkit.Upgrade(target, extra...))
	return client, client.WantUpgraded("a client joins")
}

// listen connects a client that does not speak WebSocket.
func (f *feed) listen(t *testing.T, target, accept string, extra ...string) (client *testkit.Peer, answer *testkit.Head) {
	t.Helper()
	client = f.Dial(t)
	client.SendString(get(target, accept, extra...))
	if answer = client.Head("a listener is answered"); answer.Status() != 200 {
		t.Fatalf("a listener is let in: got %q", answer.Raw)
	}
	return client, answer
}

// get is a request of a client that does not speak WebSocket.
func get(target, accept string, extra ...string) string {
	s := "GET " + target + " HTTP/1.1\r\nHost: sluice.test\r\nAccept: " + accept + "\r\n"
	for _, line := range extra {
		s += line + "\r\n"
	}
	return s + "\r\n"
}

const (
	eventStream = "text/event-stream"
	ndjson      = "application/x-ndjson"
)

// say has the source send numbered messages, and every client get them.
func say(t *testing.T, leg *testkit.Peer, from, to int, clients ...*testkit.Peer) {
	t.Helper()
	for n := from; n < to; n++ {
		m := testkit.Text(fmt.Sprintf("message %d", n))
		leg.Send(m)
		for _, c := range clients {
			c.Want("every message arrives, in order", m)
		}
	}
}

// messages reads what is no control frame, and answers pings, until the
// connection ends.
func messages(p *testkit.Peer) <-chan testkit.Frame {
	got := make(chan testkit.Frame, 16)
	go func() {
		defer close(got)
		for {
			m, err := p.Next()
			switch {
			case err != nil:
				return
			case m.Op == ws.Ping:
				_ = p.TrySend(p.Bytes(testkit.Pong(m.Payload)))
			case m.Op < ws.CloseFrame:
				got <- m
			}
		}
	}()
	return got
}
