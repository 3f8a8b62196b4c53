package wire_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// stream_by gives each path and each value a connection of its own, and passes
// on what tells them apart and nothing else.
func TestFanoutStreams(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := &feed{source: testkit.Listen(t)}
		f.App = testkit.Start(t, tr, testkit.Feed{
			Sources: []string{f.source.URL() + "/base?key=1"}, Route: "    match: {path: /feed}\n    strip_prefix: /feed",
			Fanout: "stream_by: {path: true, query: [symbol, depth]}, streams: 5",
		}.String())
		legs, clients := map[string]*testkit.Peer{}, map[string]*testkit.Peer{}
		for _, c := range [][2]string{
			{"/feed/room/42", "GET /base/room/42?key=1 HTTP/1.1"},
			{"/feed/room/43?secret=x&sluice_announce=0", "GET /base/room/43?key=1 HTTP/1.1"},
			{"/feed/room/43?symbol=A%26B&other=1&depth=5", "GET /base/room/43?key=1&symbol=A%26B&depth=5 HTTP/1.1"},
			{"/feed/a%2Fb", "GET /base/a%2Fb?key=1 HTTP/1.1"},
			{"/feed", "GET /base/?key=1 HTTP/1.1"},
		} {
			client := f.Dial(t)
			client.SendString(testkit.Upgrade(c[0]))
			leg := f.source.Accept(t, c[0]+" has a connection of its own")
			h := leg.Head("it is asked")
			if h.Line != c[1] {
				t.Errorf("%s asks the source %q, got %q", c[0], c[1], h.Line)
			}
			leg.SendString(testkit.Answer(h))
			client.WantUpgraded("it is let in")
			legs[c[0]], clients[c[0]] = leg, client
		}
		for _, same := range [][2]string{{"/feed/room/43?depth=5&symbol=A%26B", "/feed/room/43?symbol=A%26B&other=1&depth=5"}, {"/feed/room/42?x", "/feed/room/42"}} {
			client, _ := f.join(t, same[0])
			legs[same[1]].Send(testkit.Text(same[1]))
			client.Want("who asks for the same gets the same", testkit.Text(same[1]))
			clients[same[1]].Want("as those who were there", testkit.Text(same[1]))
			client.Close()
		}
		f.source.WantUnvisited(t, "over the same connection")
		for target, leg := range legs {
			leg.Send(testkit.Text("to " + target))
		}
		for target, client := range clients {
			client.Want("each gets its own", testkit.Text("to "+target))
		}
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/feed/one/too/many"))
		h, _ := client.WantRefusal("there are no more than so many", 503)
		if h.Get("Retry-After") == "" {
			t.Errorf("it is told when to come again: got %q", h.Raw)
		}
		clients["/feed"].Close()
		legs["/feed"].WantClose("when one ends", 1000)
		legs["/feed"].Close()
		client = f.Dial(t)
		client.SendString(testkit.Upgrade("/feed/one/too/many"))
		f.source.Connect(t, "there is room for another")
		client.WantUpgraded("which is let in")
		client = f.Dial(t)
		client.SendString(testkit.Upgrade("/elsewhere"))
		client.WantAnswer("and what is not the route's is not", 404)
	})
}

// Whoever listens is a session: the limits count it.
func TestFanoutAdmission(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for limits, status := range map[string]int{"sessions: 3": 503, "sessions_per_ip: 3": 429} {
			f := startFeed(t, tr, testkit.Feed{Top: "limits: {" + limits + "}"})
			first, leg := f.open(t)
			second, _ := f.join(t, "/")
			events, _ := f.listen(t, "/", eventStream)
			for _, request := range []string{testkit.Upgrade("/"), get("/", ndjson)} {
				client := f.Dial(t)
				client.SendString(request)
				client.WantAnswer(limits, status)
			}
			say(t, leg, 0, 1, first, second)
			events.Close()
			third := f.admitted(t, status)
			say(t, leg, 1, 2, first, second, third)
			third.Close()
			f.admitted(t, status).Close()
		}
	})
}

// admitted has clients ask until one is let in: a place is free soon after its
// client has gone.
func (f *feed) admitted(t *testing.T, refusal int) *testkit.Peer {
	t.Helper()
	for range 10_000 {
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		h := client.Head("it is answered")
		if h.Status() == 101 {
			return client
		}
		client.Close()
		if h.Status() != refusal {
			t.Fatalf("want 101 or %d, got %q", refusal, h.Raw)
		}
	}
	t.Fatal("no place is ever free")
	return nil
}

// A handshake that fails takes no place.
func TestFanoutRefusalsTakeNoPlace(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Top: "limits: {sessions: 2}"})
		f.open(t)
		for range 5 {
			for request, status := range map[string]int{testkit.Upgrade("/?sluice_from=nonsense"): 400, get("/?sluice_from=nonsense", ndjson): 400, get("/", "text/html"): 426} {
				client := f.Dial(t)
				client.SendString(request)
				client.WantAnswer("it is refused", status)
			}
		}
		f.join(t, "/")
	})
}

// A client that leaves while the source is dialled takes no place either, and
// the source is let go.
func TestFanoutClientLeavesEarly(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Top: "limits: {sessions: 1}"})
		for range 3 {
			client := f.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			leg := f.source.Accept(t, "the source is dialled")
			leg.Head("and asked")
			client.Close()
			leg.WantGone("when the client goes the source is let go")
			f.WantNoSessions(t, "and there is place again")
		}
		client, leg := f.open(t)
		say(t, leg, 0, 1, client)
	})
}
