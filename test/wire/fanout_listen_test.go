package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// event reads an event that is not a comment.
func event(p *testkit.Peer, sentence string) string {
	for {
		if e := p.Until(sentence, "\n\n"); !strings.HasPrefix(e, ":") {
			return e
		}
	}
}

// An event stream has every message with its number, and goes on behind the
// last one that its client has seen.
func TestFanoutEvents(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		client := f.Dial(t)
		client.SendString(get("/", "text/html;q=0.3, "+eventStream))
		leg := f.source.Connect(t, "a listener has the source dialled")
		h := client.Head("it is answered")
		epoch, n := offset(t, h)
		if h.Status() != 200 || n != "0" || !strings.HasPrefix(h.Get("Content-Type"), eventStream) || h.Get("Cache-Control") != "no-store" {
			t.Errorf("with an event stream from the first message on: got %q", h.Raw)
		}
		if e := event(client, "it is told"); !strings.HasPrefix(e, "retry: ") {
			t.Errorf("when to come again: got %q", e)
		}
		leg.Send(testkit.Text("one"), testkit.Text("a\nb\r\nc\rd\n"), testkit.Binary("\x00\xff"), testkit.Text(""), testkit.Begin("jo"), testkit.End("ined"))
		id := func(n int) string { return fmt.Sprintf("id: %s-%d\n", epoch, n) }
		want := []string{id(0) + "data: one\n\n", id(1) + "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n", id(2) + "event: binary\ndata: AP8=\n\n",
			id(3) + "data: \n\n", id(4) + "data: joined\n\n"}
		for _, e := range want {
			if got := event(client, "every message is an event"); got != e {
				t.Errorf("want %q, got %q", e, got)
			}
		}
		for seen := range want {
			again, h := f.listen(t, "/?sluice_from=oldest", eventStream, "Last-Event-ID: "+epoch+"-"+fmt.Sprint(seen))
			if got := h.Get("Sluice-Offset"); got != fmt.Sprintf("%s-%d", epoch, seen+1) {
				t.Errorf("it goes on behind what it has seen: got %s", got)
			}
			event(again, "told when to come again")
			for _, e := range want[seen+1:] {
				if got := event(again, "with all that is missing, once"); got != e {
					t.Errorf("want %q, got %q", e, got)
				}
			}
			leg.Send(testkit.Text("live"))
			if got := event(again, "then live"); !strings.HasSuffix(got, "data: live\n\n") {
				t.Errorf("want it live, got %q", got)
			}
			want = append(want, id(len(want))+"data: live\n\n")
			again.Close()
			event(client, "the first goes on meanwhile")
		}
	})
}

// Who comes too late is told how much is missing.
func TestFanoutEventsGone(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "history: {messages: 2}, on_gone: oldest"})
		first := f.Dial(t)
		first.SendString(testkit.Upgrade("/"))
		leg := f.source.Connect(t, "the source is dialled")
		epoch, _ := offset(t, first.WantUpgraded("the first client is let in"))
		say(t, leg, 0, 6, first)
		for id, gap := range map[string]string{epoch + "-0": "3", epoch + "-2": "1", "another-7": "null"} {
			client, _ := f.listen(t, "/", eventStream, "Last-Event-ID: "+id)
			event(client, "told when to come again")
			if got, want := event(client, "it is told of the gap"), fmt.Sprintf("event: sluice\ndata: {\"offset\":\"%s-4\",\"gap\":%s}\n\n", epoch, gap); got != want {
				t.Errorf("behind %s want %q, got %q", id, want, got)
			}
			for n := 4; n < 6; n++ {
				if got, want := event(client, "then it goes on"), fmt.Sprintf("id: %s-%d\ndata: message %d\n\n", epoch, n, n); got != want {
					t.Errorf("want %q, got %q", want, got)
				}
			}
		}
		client, _ := f.listen(t, "/", ndjson, "Last-Event-ID: "+epoch+"-0")
		client.WantBytes("lines tell of it too", fmt.Sprintf("{\"sluice\":{\"offset\":\"%s-4\",\"gap\":3}}\n{\"offset\":\"%s-4\",\"data\":\"message 4\"}\n", epoch, epoch))
		odd, _ := f.listen(t, "/", eventStream, "Last-Event-ID: nonsense")
		event(odd, "what is no offset is none that is known: refused, an EventSource would not come again")
		event(odd, "so it is told of a gap")
	})
}

// Lines carry the same.
func TestFanoutLines(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "greeting: 1"})
		client := f.Dial(t)
		client.SendString(get("/", ndjson))
		leg := f.source.Connect(t, "a listener has the source dialled")
		h := client.Head("it is answered")
		epoch, _ := offset(t, h)
		if h.Status() != 200 || !strings.HasPrefix(h.Get("Content-Type"), ndjson) {
			t.Errorf("with lines: got %q", h.Raw)
		}
		leg.Send(testkit.Text("a \"b\"\n\u2028"), testkit.Binary("\x00\xff"))
		lines := []string{"{\"offset\":\"" + epoch + "-0\",\"data\":\"a \\\"b\\\"\\n\u2028\"}\n", "{\"offset\":\"" + epoch + "-1\",\"data\":\"AP8=\",\"binary\":true}\n"}
		client.WantBytes("every message is a line", lines[0]+lines[1])
		late, _ := f.listen(t, "/?sluice_announce=1", ndjson)
		late.WantBytes("a later one is told where it begins, then greeted", "{\"sluice\":{\"offset\":\""+epoch+"-2\",\"gap\":0,\"greeting\":1}}\n{\"data\":\"a \\\"b\\\"\\n\u2028\"}\n")
		again, _ := f.listen(t, "/?sluice_from="+epoch+"-1", ndjson)
		again.WantBytes("one that resumes gets what it wants", lines[1])
		leg.Send(testkit.Text("live"))
		for _, c := range []*testkit.Peer{client, late, again} {
			c.WantBytes("then all go on", "{\"offset\":\""+epoch+"-2\",\"data\":\"live\"}\n")
		}
	})
}

// Silence is filled with what clients ignore.
func TestFanoutListenersAreKeptAlive(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Timeouts: "ping: 30ms, pong: 30ms"})
		keeper, leg := f.open(t)
		answerPings(leg)
		messages(keeper)
		events, _ := f.listen(t, "/", eventStream)
		lines, _ := f.listen(t, "/", ndjson)
		event := events.Until("an event stream begins", "\n\n")
		for range 4 {
			events.WantBytes("comments come, behind "+event, ":\n\n")
			lines.WantBytes("and empty lines", "\n")
		}
	})
}

// A browser's page may read what its origin is allowed, and asks first.
func TestFanoutCORS(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for origins, c := range map[string]struct{ from, allow, credentials string }{
			`["https://app.example"]`: {"https://app.example", "https://app.example", "true"},
			`["*"]`:                   {"https://any.example", "*", ""},
			`[self]`:                  {"http://sluice.test", "http://sluice.test", "true"},
		} {
			f := startFeed(t, tr, testkit.Feed{Route: "    origins: " + origins})
			f.open(t)
			client := f.Dial(t)
			client.SendString("OPTIONS / HTTP/1.1\r\nHost: sluice.test\r\nOrigin: " + c.from + "\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: last-event-id\r\n\r\n")
			h, _ := client.WantAnswer("a preflight is answered", 204)
			if h.Get("Access-Control-Allow-Origin") != c.allow || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Last-Event-ID") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "GET") {
				t.Errorf("%s: it lets the page in: got %q", origins, h.Raw)
			}
			_, h = f.listen(t, "/", eventStream, "Origin: "+c.from)
			if h.Get("Access-Control-Allow-Origin") != c.allow || h.Get("Access-Control-Allow-Credentials") != c.credentials || !strings.Contains(h.Get("Vary"), "Origin") ||
				!strings.Contains(h.Get("Access-Control-Expose-Headers"), "Sluice-Offset") {
				t.Errorf("%s: so does the stream: got %q", origins, h.Raw)
			}
			_, h = f.listen(t, "/", eventStream)
			if h.Get("Access-Control-Allow-Credentials") != "" && h.Get("Access-Control-Allow-Origin") != "" && c.allow != "*" {
				t.Errorf("%s: whoever is no page needs nothing: got %q", origins, h.Raw)
			}
		}
	})
}

// What is neither a handshake nor asks for a stream gets an answer that says
// so.
func TestFanoutOtherRequests(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		client := f.Dial(t)
		client.SendString("HEAD / HTTP/1.1\r\nHost: sluice.test\r\nAccept: " + eventStream + "\r\n\r\n")
		if h := client.Head("HEAD"); h.Status() != 200 || !strings.HasPrefix(h.Get("Content-Type"), eventStream) {
			t.Errorf("HEAD tells what GET would give: got %q", h.Raw)
		}
		for request, want := range map[string]struct {
			status       int
			field, value string
		}{
			"POST / HTTP/1.1\r\nHost: sluice.test\r\nContent-Length: 0\r\n\r\n": {405, "Allow", "GET"},
			"GET / HTTP/1.1\r\nHost: sluice.test\r\n\r\n":                       {426, "Upgrade", "websocket"},
			get("/", "text/html"):                {426, "Sec-WebSocket-Version", "13"},
			get("/", "text/event-stream;q=0"):    {426, "Upgrade", "websocket"},
			get("/", "application/json, text/*"): {426, "Upgrade", "websocket"},
		} {
			client := f.Dial(t)
			client.SendString(request)
			h, _ := client.WantAnswer(fmt.Sprintf("%q", request), want.status)
			if !strings.Contains(h.Get(want.field), want.value) {
				t.Errorf("%q: %s says %q: got %q", request, want.field, want.value, h.Raw)
			}
		}
		f.source.WantUnvisited(t, "nothing of that reaches the source")
		f.WantNoSessions(t, "or counts as a session")
	})
}
