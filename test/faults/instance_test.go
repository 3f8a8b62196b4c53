package faults_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// ways in which an instance fails before it answers, and the client's status.
var openings = map[string]struct {
	status int
	fail   func(leg *testkit.Peer)
}{
	"resets":             {502, func(leg *testkit.Peer) { leg.Reset() }},
	"hangs up":           {502, func(leg *testkit.Peer) { leg.Head("it is asked"); leg.Close() }},
	"half-closes":        {502, func(leg *testkit.Peer) { leg.Head("it is asked"); leg.CloseWrite() }},
	"hangs":              {504, func(leg *testkit.Peer) { leg.Head("it is asked") }},
	"hangs inside a 101": {504, func(leg *testkit.Peer) { leg.Head("it is asked"); leg.SendString("HTTP/1.1 101 Swi") }},
}

func TestOpeningFails(t *testing.T) {
	for name, c := range openings {
		t.Run(name, func(t *testing.T) {
			fault(t, testkit.Config{}, func(t *testing.T, b *bench) {
				client := b.Dial(t)
				client.SendString(testkit.Upgrade("/"))
				leg := b.in.Accept(t, "it is asked")
				c.fail(leg)
				client.WantRefusal("the client is told", c.status)
				client.Close()
				leg.Close()
			})
		})
	}
}

func TestInstanceRefuses(t *testing.T) {
	fault(t, testkit.Config{Upstreams: []string{"ws://127.0.0.1:1"}, Balance: "policy: round_robin"}, func(t *testing.T, b *bench) {
		for range 4 {
			p := b.open(t)
			p.say("the other instance serves", "x")
			p.end()
		}
	})
}

// ways in which an instance fails while a session is open.
var breaks = map[string]func(leg *testkit.Peer){
	"resets":                     func(leg *testkit.Peer) { leg.Reset() },
	"hangs up":                   func(leg *testkit.Peer) { leg.Close() },
	"half-closes":                func(leg *testkit.Peer) { leg.CloseWrite() },
	"half-closes inside a frame": func(leg *testkit.Peer) { leg.SendString("\x81\x05he"); leg.CloseWrite() },
	"resets inside a frame":      func(leg *testkit.Peer) { leg.SendString("\x81\x05he"); leg.Reset() },
	"falls silent":               func(*testkit.Peer) {},
	"sends half a frame":         func(leg *testkit.Peer) { leg.SendString("\x81\x05he") },
	"sends garbage":              func(leg *testkit.Peer) { leg.SendString("HTTP/1.1 500 Oops\r\n\r\n") },
}

func TestInstanceBreaks(t *testing.T) {
	for name, fail := range breaks {
		t.Run(name, func(t *testing.T) {
			fault(t, testkit.Config{}, func(t *testing.T, b *bench) {
				other := b.open(t)
				client, leg := testkit.Open(t, b.App, b.in)
				fail(leg)
				client.WantGone("the client's session ends")
				client.Close()
				other.say("another session goes on", "x")
				leg.WantGone("the instance is let go")
				leg.Close()
				other.end()
			})
		})
	}
}
