package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// An instance that can't be reached, or breaks before it answers, is passed
// over.
func TestNextInstance(t *testing.T) {
	// each gives an instance that fails in its way.
	each := map[string]func(t *testing.T) string{
		"refuses": func(t *testing.T) string { in := testkit.Listen(t); in.Close(); return in.URL() },
		"resets":  func(t *testing.T) string { return instanceThat(t, (*testkit.Peer).Reset) },
		"hangs up": func(t *testing.T) string {
			return instanceThat(t, func(p *testkit.Peer) {
				p.Conn().Read(make([]byte, 4096))
				p.Close()
			})
		},
		"hangs up inside a head": func(t *testing.T) string {
			return instanceThat(t, func(p *testkit.Peer) {
				p.Conn().Read(make([]byte, 4096))
				_ = p.TrySend([]byte("HTTP/1.1 10"))
				p.Close()
			})
		},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for name, bad := range each {
			t.Run(name, func(t *testing.T) {
				b := start(t, tr, testkit.Config{Upstreams: []string{bad(t)}, Balance: "policy: round_robin"})
				for range 4 {
					client, leg := b.open(t)
					client.Send(testkit.Text("x"))
					leg.Want("another instance is used", testkit.Text("x"))
				}
			})
		}
	})
}

// instanceThat runs an instance that treats every connection in one way, until the
// test ends.
func instanceThat(t *testing.T, end func(*testkit.Peer)) string {
	t.Helper()
	in := testkit.Listen(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			p, err := in.Next(t)
			if err != nil {
				return
			}
			end(p)
		}
	}()
	t.Cleanup(func() { in.Close(); <-ended })
	return in.URL()
}

// Three are asked and no more; then the client is told when to come again.
func TestNobodyAnswers(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		visits := make(chan struct{}, 16)
		var ups []string
		for range 5 {
			ups = append(ups, instanceThat(t, func(p *testkit.Peer) { visits <- struct{}{}; p.Reset() }))
		}
		a := testkit.Start(t, tr, testkit.Config{Upstreams: ups}.String())
		client := a.Dial(t)
		client.SendString(good + "\r\n")
		if h, _ := client.WantRefusal("the client is told", 502); h.Get("Retry-After") == "" {
			t.Errorf("and when to come again: got %q", h.Raw)
		}
		if n := len(visits); n != 3 {
			t.Errorf("three are asked: got %d", n)
		}
	})
}

// Instances that are down are not asked.
func TestEveryInstanceDown(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Health: "interval: 50ms, timeout: 50ms, fall: 1, rise: 1"})
		b.in.Close()
		b.WantLog(t, "the probe finds the instance down", "instance down")
		client := b.Dial(t)
		client.SendString(good + "\r\n")
		if h, _ := client.WantRefusal("the client is told", 503); h.Get("Retry-After") == "" {
			t.Errorf("and when to come again: got %q", h.Raw)
		}
		client = b.Dial(t)
		client.SendString(getLine + host + "\r\n")
		if h, _ := client.WantAnswer("so is an ordinary request", 503); h.Get("Retry-After") == "" {
			t.Errorf("and when to come again: got %q", h.Raw)
		}
	})
}

// A session's instance is marked down: the session is closed to come back.
func TestInstanceGoesDown(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Health: "probe: handshake, path: /up, interval: 50ms, timeout: 50ms, fall: 1, rise: 1"})
		var client, leg *testkit.Peer
		client = b.Dial(t)
		client.SendString(good + "\r\n")
		for leg == nil { // probes come, too, and stay unanswered
			p := b.in.Accept(t, "a connection")
			if h := p.Head("its request"); strings.Contains(h.Line, "/chat") {
				p.SendString(testkit.Answer(h))
				leg = p
			}
		}
		client.WantUpgraded("it is upgraded")
		leg.WantClose("the instance is told that the client goes", 1001)
		leg.Send(testkit.Close(1001, ""))
		client.WantClose("the client is asked to come back", 1012)
	})
}

// An instance takes so many sessions and no more.
func TestMaxSessions(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		b := &bench{testkit.Start(t, tr, testkit.Config{Upstreams: []string{`{url: "` + in.URL() + `", max_sessions: 2}`}}.String()), in}
		one, _ := b.open(t)
		two, _ := b.open(t)
		b.wantRefused(t, 503)
		one.Reset()
		two.Reset()
		b.WantNoSessions(t, "both leave")
		b.open(t)
		b.open(t)
		b.wantRefused(t, 503)
	})
}

// wantRefused wants a good request to be refused, with word when to come
// again.
func (b *bench) wantRefused(t *testing.T, status int) {
	t.Helper()
	client := b.Dial(t)
	client.SendString(good + "\r\n")
	if h, _ := client.WantRefusal("one too many is refused", status); h.Get("Retry-After") == "" {
		t.Errorf("and told when to come again: got %q", h.Raw)
	}
	b.in.WantUnvisited(t, "the instance is not asked")
}

// The process, and an address, have so many sessions and no more.
func TestSessionLimits(t *testing.T) {
	cases := []struct {
		limits string
		status int
	}{{"limits: {sessions: 1}", 503}, {"limits: {sessions_per_ip: 1}", 429}}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range cases {
			t.Run(c.limits, func(t *testing.T) {
				b := start(t, tr, testkit.Config{Top: c.limits})
				for range 2 {
					client, leg := b.open(t)
					b.wantRefused(t, c.status)
					client.Reset()
					leg.WantReset("the session ends")
					b.WantNoSessions(t, "and makes room")
				}
			})
		}
	})
}

// Behind a trusted proxy an address is the client's.
func TestSessionsPerClientBehindAProxy(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Top: "limits: {sessions_per_ip: 1}\ntrusted_proxies: [127.0.0.1]"})
		b.ask(t, plus("X-Forwarded-For: 192.0.2.1\r\n"))
		b.ask(t, plus("X-Forwarded-For: 192.0.2.2\r\n"))
		client := b.Dial(t)
		client.SendString(plus("X-Forwarded-For: 192.0.2.1\r\n"))
		client.WantRefusal("the second of a client is refused", 429)
	})
}

// A cookie brings a client back to its instance.
func TestSticky(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		other := testkit.Listen(t)
		b := start(t, tr, testkit.Config{Upstreams: []string{other.URL()}, Balance: "policy: round_robin, sticky: {cookie: S}"})
		client := b.Dial(t)
		client.SendString(good + "\r\n")
		other.Accept(t, "the first of the round")
		client = b.Dial(t)
		client.SendString(good + "\r\n")
		leg := b.in.Accept(t, "the second of the round")
		leg.SendString(testkit.Answer(leg.Head("it is asked")))
		cookie, _, _ := strings.Cut(client.WantUpgraded("it is upgraded").Get("Set-Cookie"), ";")
		if !strings.HasPrefix(cookie, "S=") {
			t.Fatalf("the 101 sets the cookie: got %q", cookie)
		}
		for range 3 {
			_, leg, head := b.ask(t, plus("Cookie: a=b; "+cookie+"\r\n"))
			if !strings.Contains(head.Get("Cookie"), "a=b") {
				t.Errorf("the client's cookies go on: got %q", head.Raw)
			}
			leg.SendString(testkit.Answer(head))
		}
	})
}
