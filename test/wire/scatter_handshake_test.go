package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// Home judges the handshake: what it refuses is refused as it came.
func TestScatterRefusal(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range []struct {
			what, answer string
			status       int
		}{
			{"a refusal", "HTTP/1.1 403 Not You\r\nX-Why: because\r\nContent-Length: 6\r\n\r\nno way", 403},
			{"a redirect", "HTTP/1.1 302 Found\r\nLocation: /there\r\nX-Why: because\r\nContent-Length: 6\r\n\r\nno way", 302},
			{"a wrong accept value", testkit.AnswerTo("AAAAAAAAAAAAAAAAAAAAAA=="), 502},
			{"an extension that nobody offered", "", 502},
			{"no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", 502},
		} {
			f, a := scattering(t, tr, 1, testkit.Scatter{})
			f.Answer(func(_ int, h *testkit.Head) string {
				if c.answer == "" {
					return testkit.Answer(h, "Sec-WebSocket-Extensions: permessage-deflate")
				}
				return c.answer
			})
			client := a.Dial(t)
			client.SendString(testkit.Upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate"))
			h, body := client.WantRefusal(c.what, c.status)
			if c.status < 500 && (h.Get("X-Why") != "because" || body != "no way") {
				t.Errorf("%s wants to come as it was, got %q %q", c.what, h.Raw, body)
			}
			a.WantNoSessions(t, "nothing is left of it")
		}
	})
}

// Who can't get a home is told why, and when to come again.
func TestScatterNoHome(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		wantRefused := func(a *testkit.App, what string, status int) {
			t.Helper()
			client := a.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			if h, _ := client.WantRefusal(what, status); h.Get("Retry-After") == "" {
				t.Errorf("%s wants a Retry-After, got %q", what, h.Raw)
			}
			a.WantNoSessions(t, "nothing is left of it")
		}
		f, a := scattering(t, tr, 2, testkit.Scatter{Timeouts: "handshake: 100ms"})
		f.Answer(func(int, *testkit.Head) string { return "HTTP/1.1 101 Switch" })
		wantRefused(a, "an instance that does not finish its answer", 504)
		for _, in := range f.Instances {
			in.Close()
		}
		wantRefused(a, "instances that nobody listens at", 502)
		for _, url := range f.URLs() {
			if _, err := a.Drain(url); err != nil {
				t.Error(err)
			}
		}
		wantRefused(a, "instances that are all drained", 503)
	})
}

// Who can be reached takes the place of who can't.
func TestScatterHomeElsewhere(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{})
		f.Instances[0].Close()
		f.Instances[1].Close()
		for range 4 {
			if _, home := f.Enter(t, a); home.At != 2 {
				t.Errorf("home wants to be the third instance, is %d", home.At)
			}
		}
	})
}

// Every leg asks as the client asked, under one session, and none is offered what
// Sluice does itself.
func TestScatterLegsAskAlike(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{
			Route: "    match: {path: /app}\n    strip_prefix: /app\n    headers: {set: {X-Set: by-us}, remove: [X-Secret]}", Scatter: "send: all",
		})
		client := a.Dial(t)
		client.SendString(testkit.Upgrade("/app/a%20b?x=1&y=%2F", "Origin: https://page.test", "Cookie: c=1", "X-Own: a", "X-Own: b", "X-Secret: s",
			"Sluice-Session: forged", "Sec-WebSocket-Protocol: p, q", "Sec-WebSocket-Extensions: permessage-deflate"))
		home := f.Next(t, "home is asked")
		client.WantUpgraded("the client is upgraded")
		if line := "GET /a%20b?x=1&y=%2F HTTP/1.1"; home.Head.Line != line {
			t.Errorf("the target wants to go on behind the prefix: %q, got %q", line, home.Head.Line)
		}
		client.Send(testkit.Text("go"))
		keys := map[string]bool{home.Head.Get("Sec-WebSocket-Key"): true}
		for len(keys) < 3 {
			h := f.Until(t, "the others are asked", func(h testkit.Heard) bool { return h.Head != nil })
			if h.Head.Line != home.Head.Line {
				t.Errorf("every leg wants %q, got %q", home.Head.Line, h.Head.Line)
			}
			for _, name := range []string{"Host", "Origin", "Cookie", "X-Own", "X-Set", "X-Secret", "X-Forwarded-For", "Sluice-Session", "Sec-WebSocket-Extensions"} {
				if got, want := h.Head.Get(name), home.Head.Get(name); got != want {
					t.Errorf("%s: every leg wants what home was asked, %q, got %q", name, want, got)
				}
			}
			keys[h.Head.Get("Sec-WebSocket-Key")] = true
		}
		for name, want := range map[string]string{"X-Own": "a | b", "X-Set": "by-us", "X-Secret": "", "Cookie": "c=1", "Origin": "https://page.test", "Host": "sluice.test",
			"Sec-WebSocket-Extensions": "", "X-Forwarded-For": "127.0.0.1"} {
			if got := home.Head.Get(name); got != want {
				t.Errorf("%s wants %q, got %q", name, want, got)
			}
		}
		if id := home.Head.Get("Sluice-Session"); id == "" || id == "forged" {
			t.Errorf("the session wants a number of ours, got %q", id)
		}
	})
}

// Home chooses the subprotocol, and that alone is offered to others.
func TestScatterSubprotocol(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: "send: round_robin"})
		f.Answer(func(_ int, h *testkit.Head) string {
			offered := strings.Split(h.Get("Sec-WebSocket-Protocol"), ", ")
			return testkit.Answer(h, "Sec-WebSocket-Protocol: "+offered[len(offered)-1], "Set-Cookie: own=1")
		})
		client := a.Dial(t)
		client.SendString(testkit.Upgrade("/", "Sec-WebSocket-Protocol: v1, v2"))
		home := f.Next(t, "home is asked")
		h := client.WantUpgraded("the client is upgraded")
		if home.Head.Get("Sec-WebSocket-Protocol") != "v1, v2" || h.Get("Sec-WebSocket-Protocol") != "v2" || h.Get("Set-Cookie") != "own=1" {
			t.Errorf("home's choice and its cookie want to be the client's, got %q", h.Raw)
		}
		client.Send(testkit.Text("1"), testkit.Text("2"))
		other := f.Until(t, "another is asked", func(h testkit.Heard) bool { return h.Head != nil })
		if got := other.Head.Get("Sec-WebSocket-Protocol"); got != "v2" {
			t.Errorf("it is offered what home chose, v2, got %q", got)
		}
	})
}

// A leg that is refused, or that agrees to something else, is none: its messages
// go elsewhere, in order.
func TestScatterLegRefused(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for what, answer := range map[string]func(*testkit.Head) string{
			"refused":              func(*testkit.Head) string { return "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy" },
			"another subprotocol":  func(h *testkit.Head) string { return testkit.Answer(h, "Sec-WebSocket-Protocol: v1") },
			"no subprotocol":       func(h *testkit.Head) string { return testkit.Answer(h) },
			"a wrong accept value": func(*testkit.Head) string { return testkit.AnswerTo("AAAAAAAAAAAAAAAAAAAAAA==") },
			"no HTTP":              func(*testkit.Head) string { return "220 mail.test ESMTP\r\n\r\n" },
		} {
			f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: "send: {hash: k}, gather: {id: id}"})
			good := func(_ int, h *testkit.Head) string { return testkit.Answer(h, "Sec-WebSocket-Protocol: v2") }
			f.Answer(good)
			client := a.Dial(t)
			client.SendString(testkit.Upgrade("/", "Sec-WebSocket-Protocol: v1, v2"))
			home := f.Next(t, "home is asked")
			client.WantUpgraded("the client is upgraded")
			f.Answer(func(at int, h *testkit.Head) string {
				if at == home.At {
					return good(at, h)
				}
				return answer(h)
			})
			var all []testkit.Frame
			for n := range 20 {
				all = append(all, keyed(n, n%10))
			}
			client.Send(all...)
			next := map[int]int{}
			for range all {
				h := f.Message(t, what+": each message arrives")
				n, key := numbers(t, h.Frame)
				if h.Leg != home.Leg || n < next[key] {
					t.Errorf("%s: want all at home, in the order of their key, got %v at %d behind number %d", what, h.Frame, h.At, next[key])
				}
				next[key] = n
				h.Leg.Send(h.Frame)
			}
			for range all {
				client.Frame(what + ": and each is answered")
			}
		}
	})
}

// An instance that refuses the client for good is not waited for, and the client is
// told that it was that.
func TestScatterLegDenied(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, policy := range []string{"error", "resend"} {
			f, a := pooled(t, tr, testkit.Scatter{Scatter: byPool + ", gather: {id: id, timeout: 10m}, on_lost: " + policy}, "p1", "p2", "p3", "p4")
			client, home := f.Enter(t, a)
			f.Answer(func(int, *testkit.Head) string { return "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n" })
			client.Send(keyed(1, 1))
			client.Want(policy+": what can't be asked is told", testkit.Text(`{"id":1,"error":"the instance refuses the session"}`))
			client.Send(keyed(2, 0))
			f.Find(t, "others go on", func(h testkit.Heard) bool { return h.Frame == keyed(2, 0) })
			home.Leg.Send(keyed(2, 0))
			client.Want("and are answered", keyed(2, 0))
		}
	})
}

// A client whose home is drained before it has answered gets another one.
func TestScatterHomeDrained(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		one, two := testkit.Listen(t), testkit.Listen(t)
		a := testkit.Start(t, tr, testkit.Scatter{Upstreams: []string{one.URL(), two.URL()}}.String())
		if _, err := a.Drain(two.URL()); err != nil {
			t.Error(err)
		}
		client := a.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		home := one.Accept(t, "the first is asked")
		home.Head("and does not answer yet")
		if _, err := a.Undrain(two.URL()); err != nil {
			t.Error(err)
		}
		if _, err := a.Drain(one.URL()); err != nil {
			t.Error(err)
		}
		home.WantGone("it is left")
		next := two.Accept(t, "the other is asked")
		next.SendString(testkit.Answer(next.Head("with the same request")))
		client.WantUpgraded("and the client is there")
		client.Send(testkit.Text("x"))
		next.Want("with what it says", testkit.Text("x"))
	})
}
