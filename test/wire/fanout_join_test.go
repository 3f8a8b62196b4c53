package wire_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// numbered are the messages from one number to another, as say has them.
func numbered(from, to int) (ms []testkit.Frame) {
	for n := from; n < to; n++ {
		ms = append(ms, testkit.Text(fmt.Sprintf("message %d", n)))
	}
	return ms
}

// offset gives an answer's epoch and number.
func offset(t *testing.T, answer *testkit.Head) (epoch, number string) {
	t.Helper()
	epoch, number, ok := strings.Cut(answer.Get("Sluice-Offset"), "-")
	if !ok || epoch == "" {
		t.Fatalf("an answer says where the client begins: got %q", answer.Raw)
	}
	return epoch, number
}

// Who joins gets what comes from then on, and can say from where else it wants
// to begin.
func TestFanoutJoins(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "compress: true"})
		first := f.Dial(t)
		first.SendString(testkit.Upgrade("/"))
		leg := f.source.Connect(t, "the source is dialled")
		epoch, at := offset(t, first.WantUpgraded("the first client is let in"))
		if at != "0" {
			t.Errorf("the first begins with the first message: got %s", at)
		}
		say(t, leg, 0, 5, first)
		for _, extension := range []string{"X-Plain: 1", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"} {
			clients := []*testkit.Peer{first}
			for _, c := range []struct {
				target, at string
				past       int
			}{
				{"/", "5", 5}, {"/?sluice_from=" + epoch + "-0", "0", 0}, {"/?sluice_from=" + epoch + "-3", "3", 3},
				{"/?sluice_from=" + epoch + "-5", "5", 5}, {"/?sluice_from=oldest", "0", 0}, {"/?sluice_from=&a=b", "5", 5},
				{"/?sluice_from=" + epoch + "-6", "5", 5}, {"/?sluice_from=nobody-3", "5", 5},
			} {
				client, answer := f.join(t, c.target, extension)
				if e, n := offset(t, answer); e != epoch || n != c.at {
					t.Errorf("%s begins at %s-%s: got %s-%s", c.target, epoch, c.at, e, n)
				}
				client.Want("the past that "+c.target+" asked for", numbered(c.past, 5)...)
				clients = append(clients, client)
			}
			leg.Send(testkit.Text("live"))
			for _, c := range clients {
				c.Want("then what comes live, with nothing between", testkit.Text("live"))
			}
			for _, c := range clients[1:] {
				c.Close()
			}
			f.WantSessions(t, "all others go", 1)
			// The next round begins anew, at the same numbers.
			first.Close()
			first = f.Dial(t)
			leg.WantClose("the stream ends", 1000)
			leg.Close()
			first.SendString(testkit.Upgrade("/"))
			leg = f.source.Connect(t, "and begins again")
			epoch, _ = offset(t, first.WantUpgraded("with a new first client"))
			say(t, leg, 0, 5, first)
		}
	})
}

// What is no offset is refused.
func TestFanoutMalformedOffsets(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		f.open(t)
		for _, from := range []string{"x", "-1", "abc-", "abc--1", "abc-%2B1", "a%20b-1", "abc-1x", "Oldest", "latest", "abc-99999999999999999999", strings.Repeat("e", 65) + "-1"} {
			client := f.Dial(t)
			client.SendString(testkit.Upgrade("/?sluice_from=" + from))
			client.WantRefusal(from+" is no offset", 400)
		}
		f.source.WantUnvisited(t, "nothing of that reaches the source")
	})
}

// What is gone from the history is gone: on_gone says where the client goes on.
func TestFanoutGone(t *testing.T) {
	for policy, want := range map[string]struct {
		at   string
		gap  string
		past []testkit.Frame
	}{
		"live": {"10", "9", nil}, "oldest": {"7", "6", numbered(7, 10)}, "refuse": {},
	} {
		t.Run(policy, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f := startFeed(t, tr, testkit.Feed{Top: `admin: {address: "127.0.0.1:0"}`, Fanout: "history: {messages: 3}, on_gone: " + policy})
				first := f.Dial(t)
				first.SendString(testkit.Upgrade("/"))
				leg := f.source.Connect(t, "the source is dialled")
				epoch, _ := offset(t, first.WantUpgraded("the first client is let in"))
				say(t, leg, 0, 10, first)
				if policy == "refuse" {
					for _, from := range []string{epoch + "-1", "unknown-5"} {
						client := f.Dial(t)
						client.SendString(testkit.Upgrade("/?sluice_from=" + from))
						_, body := client.WantRefusal("it is told that they are gone", 410)
						if !strings.Contains(body, epoch+"-7") {
							t.Errorf("and what is there: got %q", body)
						}
					}
					client, _ := f.join(t, "/?sluice_from="+epoch+"-7")
					client.Want("what is there is there", numbered(7, 10)...)
					return
				}
				for _, c := range [][2]string{{epoch + "-1", want.gap}, {"unknown-5", "null"}} {
					client, answer := f.join(t, "/?sluice_announce=1&sluice_from="+c[0])
					if _, n := offset(t, answer); n != want.at {
						t.Errorf("it goes on at %s: got %s", want.at, n)
					}
					client.Want("it is told of the gap", testkit.Text(`{"sluice":{"offset":"`+epoch+"-"+want.at+`","gap":`+c[1]+`}}`))
					client.Want("and goes on", want.past...)
				}
				gap := 9.0
				if policy == "oldest" {
					gap = 6
				}
				f.WantMetric(t, "the gap is counted", `sluice_fanout_lost_total{reason="gone",route="r"}`, gap)
				client, _ := f.join(t, "/?sluice_announce=1&sluice_from=oldest")
				client.Want("the oldest is no gap", testkit.Text(`{"sluice":{"offset":"`+epoch+`-7","gap":0}}`))
				client.Want("but all that there is", numbered(7, 10)...)
				client, _ = f.join(t, "/?sluice_announce=1")
				client.Want("live is none either", testkit.Text(`{"sluice":{"offset":"`+epoch+`-10","gap":0}}`))
				say(t, leg, 10, 12, client)
			})
		})
	}
}

// backlog gives joiners some of the past unasked.
func TestFanoutBacklog(t *testing.T) {
	for name, extension := range map[string]string{"plain": "X-Plain: 1", "deflated": "Sec-WebSocket-Extensions: permessage-deflate"} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f := startFeed(t, tr, testkit.Feed{Fanout: "backlog: 3, compress: true"})
				first, leg := f.open(t, extension)
				say(t, leg, 0, 2, first)
				client, answer := f.join(t, "/", extension)
				if _, n := offset(t, answer); n != "0" {
					t.Errorf("it begins with what there is: got %s", n)
				}
				client.Want("which is less than the backlog", numbered(0, 2)...)
				say(t, leg, 2, 9, first, client)
				client, answer = f.join(t, "/", extension)
				epoch, n := offset(t, answer)
				if n != "6" {
					t.Errorf("it begins three back: got %s", n)
				}
				client.Want("which are sent", numbered(6, 9)...)
				again, _ := f.join(t, "/?sluice_from="+epoch+"-9", extension)
				say(t, leg, 9, 12, first, client, again)
			})
		})
	}
}

// Compressed messages inflate to what was sent; the past comes plain.
func TestFanoutCompresses(t *testing.T) {
	long := func(n int) string { return fmt.Sprintf("%d %s", n, strings.Repeat("word after word ", 100)) }
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "compress: true"})
		plain, leg := f.open(t)
		leg.Send(testkit.Text(long(0)))
		plain.Want("plain clients get plain bytes", testkit.Text(long(0)))
		small, answer := f.join(t, "/?sluice_from=oldest", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate")
		if got := answer.Get("Sec-WebSocket-Extensions"); !strings.Contains(got, "server_no_context_takeover") || !strings.Contains(got, "client_no_context_takeover") {
			t.Errorf("no context is taken over: got %q", got)
		}
		small.Deflate()
		small.Want("the past comes plain", testkit.Text(long(0)))
		for n := 1; n < 6; n++ {
			leg.Send(testkit.Text(long(n)))
			plain.Want("plain clients get plain bytes", testkit.Text(long(n)))
			m := small.Frame("others get a compressed frame")
			if m.Op != ws.Text || m.RSV != testkit.Compressed || len(m.Payload) > 200 || testkit.Inflate(t, m.Payload) != long(n) {
				t.Errorf("which inflates by itself: got %v", m)
			}
		}
		leg.Send(testkit.Text("short"))
		small.Want("what gains nothing is sent plain", testkit.Text("short"))
		declined, answer := f.join(t, "/", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10")
		if got := answer.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("a smaller window is declined: got %q", got)
		}
		leg.Send(testkit.Text(long(7)))
		declined.Want("and messages come plain", testkit.Text(long(7)))
	})
}

// compress: false negotiates nothing.
func TestFanoutDoesNotCompress(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "compress: false"})
		first, leg := f.open(t)
		client, answer := f.join(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
		if got := answer.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("nothing is negotiated: got %q", got)
		}
		leg.Send(testkit.Text(strings.Repeat("a", 1000)))
		client.Want("messages come as they are", testkit.Text(strings.Repeat("a", 1000)))
		first.Close()
		client.Send(testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: "x"})
		client.WantClose("and nobody may compress", 1002)
	})
}

// The announcement is JSON that a page can read, whatever it is asked with.
func TestFanoutAnnounces(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "compress: true"})
		_, leg := f.open(t)
		for _, extension := range []string{"X-Plain: 1", "Sec-WebSocket-Extensions: permessage-deflate"} {
			client, answer := f.join(t, "/?sluice_announce=1", extension)
			var told struct {
				Sluice struct {
					Offset string
					Gap    *int
				}
			}
			m := client.Frame("the first message is ours")
			if err := json.Unmarshal([]byte(m.Payload), &told); err != nil || m.Op != ws.Text || told.Sluice.Offset != answer.Get("Sluice-Offset") ||
				told.Sluice.Gap == nil || *told.Sluice.Gap != 0 {
				t.Errorf("it says what the answer's head does, %q: got %v, %v", answer.Get("Sluice-Offset"), m, err)
			}
			leg.Send(testkit.Text("live"))
			client.Want("then come the source's", testkit.Text("live"))
		}
	})
}
