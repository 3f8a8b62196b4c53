package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A stop tells every client 1001, in whatever way it listens, lets the source
// go, and counts all out.
func TestFanoutStop(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Top: "drain: 300ms", Fanout: "compress: true"})
		client, leg := f.open(t)
		clients := []*testkit.Peer{client}
		for range 8 {
			c, _ := f.join(t, "/")
			d, _ := f.join(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
			clients = append(clients, c, d)
		}
		events, _ := f.listen(t, "/", eventStream)
		lines, _ := f.listen(t, "/", ndjson)
		say(t, leg, 0, 1, clients...)
		f.Cancel()
		f.WantLog(t, "the stop begins", "stopping")
		for _, c := range clients {
			c.WantClose("a client is told that we go", 1001)
			c.Send(testkit.Close(1001, ""))
			c.WantEOF("we hang up")
		}
		if s := string(events.Rest()); !strings.Contains(s, "data: message 0\n\n") || !strings.Contains(s, "event: close\ndata: {\"code\":1001") {
			t.Errorf("event streams end with an event: got %q", s)
		}
		if s := string(lines.Rest()); !strings.Contains(s, `{"close":{"code":1001`) {
			t.Errorf("and lines with a line: got %q", s)
		}
		events.Close()
		lines.Close()
		leg.WantGone("the source is let go")
		f.Stop()
	})
}

// Clients that do not read or answer don't hold a stop up, nor do those that
// wait for a source that does not answer.
func TestFanoutStopWithSilentClients(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Top: "drain: 100ms", Timeouts: "close: 100ms", Fanout: "stream_by: {path: true}, slow: {after: {bytes: 16MiB}}"})
		f.open(t)
		stuck := f.Dial(t)
		stuck.Narrow()
		stuck.SendString(testkit.Upgrade("/large"))
		leg := f.source.Connect(t, "a stream for it")
		stuck.WantUpgraded("it is let in")
		leg.Send(testkit.Binary(strings.Repeat("l", 6<<20)), testkit.Ping("sync"))
		leg.Want("a large message is under way", testkit.Pong("sync"))
		waiting := f.Dial(t)
		waiting.SendString(testkit.Upgrade("/waiting"))
		f.source.Accept(t, "another source is asked").Head("and does not answer")
		f.Cancel()
		waiting.WantAnswer("who waits for a source is refused", 503)
		f.Stop()
	})
}

// A source that ends the stream while we stop.
func TestFanoutStopAsTheSourceEnds(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Top: "drain: 10s", Fanout: "linger: 1m, on_source_close: {relay: [4000]}"})
		client, leg := f.open(t)
		other, _ := f.join(t, "/")
		f.Cancel()
		f.WantLog(t, "the stop begins", "stopping")
		leg.Send(testkit.Close(4000, "over"))
		for _, c := range []*testkit.Peer{client, other} {
			m := c.Frame("everybody is told one thing or the other")
			if m != testkit.Close(4000, "over") && !strings.HasPrefix(m.Payload, testkit.Close(1001, "").Payload) {
				t.Errorf("want a close, got %v", m)
			}
			c.Send(testkit.Close(1000, ""))
			c.WantEOF("and the end")
			c.Close()
		}
		f.Stop()
	})
}
