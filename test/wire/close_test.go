package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A client's close reaches the instance with code and reason, and the answer
// comes back; we hang up first.
func TestClosesOfClients(t *testing.T) {
	cases := []testkit.Frame{
		testkit.Close(1000, ""), testkit.Close(1000, "bye"), testkit.Close(1001, "page left"), testkit.Close(1002, ""), testkit.Close(1003, ""),
		testkit.Close(1007, ""), testkit.Close(1008, ""), testkit.Close(1009, ""), testkit.Close(1010, ""), testkit.Close(1011, ""),
		testkit.Close(1012, ""), testkit.Close(1013, ""), testkit.Close(1014, ""), testkit.Close(3000, ""), testkit.Close(4999, "ä€😀"),
		testkit.Close(0, ""), testkit.Close(1000, strings.Repeat("r", 123)),
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range cases {
			t.Run(c.String(), func(t *testing.T) {
				client, leg := b.open(t)
				client.Send(testkit.Text("last"), c)
				leg.Want("data, then the close as it was", testkit.Text("last"), c)
				leg.Send(testkit.Text("late"), testkit.Close(1000, "ok"))
				client.Want("what the instance still says, then its close", testkit.Text("late"), testkit.Close(1000, "ok"))
				client.WantEOF("we hang up first")
				client.Close()
				leg.CloseWrite()
				leg.WantEOF("and the instance is let go")
			})
		}
	})
}

// An instance's close reaches the client as it was, save those that mean that
// the instance goes away.
func TestClosesOfInstances(t *testing.T) {
	plain := []testkit.Frame{testkit.Close(1000, "done"), testkit.Close(1008, "no"), testkit.Close(1011, ""), testkit.Close(1013, "full"),
		testkit.Close(1014, ""), testkit.Close(3000, "x"), testkit.Close(4999, "ä"), testkit.Close(0, "")}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range plain {
			t.Run(c.String(), func(t *testing.T) {
				client, leg := b.open(t)
				leg.Send(testkit.Text("last"), c)
				leg.CloseWrite()
				client.Want("data, then the close as it was", testkit.Text("last"), c)
				client.Send(c)
				leg.Want("the client's answer comes back", c)
				client.WantEOF("we hang up")
				leg.WantEOF("on both sides")
			})
		}
		for _, code := range []uint16{1001, 1012} {
			t.Run(testkit.Close(code, "").String(), func(t *testing.T) {
				client, leg := b.open(t)
				leg.Send(testkit.Text("last"), testkit.Close(code, "going"))
				client.Want("what came before", testkit.Text("last"))
				leg.WantClose("the instance is answered", code)
				client.WantClose("the client is asked to come back", 1012)
				client.Send(testkit.Close(1012, ""))
				client.WantEOF("we hang up")
			})
		}
	})
}

// failover.codes says which closes mean that the instance goes away.
func TestFailoverCodes(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Failover: "spread: 0s, codes: [4000]"})
		client, leg := b.open(t)
		leg.Send(testkit.Close(4000, ""))
		client.WantClose("one of the codes becomes 1012", 1012)
		client, leg = b.open(t)
		leg.Send(testkit.Close(1001, "x"))
		client.Want("another is passed on", testkit.Close(1001, "x"))
		client.Close()
	})
}

// Both close at once: each gets the other's.
func TestClosesCross(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for range 10 {
			client, leg := b.open(t)
			client.Send(testkit.Close(4001, "client"))
			leg.Send(testkit.Close(4002, "instance"))
			leg.CloseWrite()
			client.Want("the client gets the instance's", testkit.Close(4002, "instance"))
			leg.Want("and the instance the client's", testkit.Close(4001, "client"))
			client.WantEOF("we hang up")
			leg.WantEOF("on both sides")
		}
	})
}

// What follows a close is read, so that no reset eats it, and thrown away.
func TestDataBehindAClose(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg := b.open(t)
		client.Send(testkit.Close(1000, ""), testkit.Text("behind"), testkit.Ping("behind"))
		leg.Want("the close arrives", testkit.Close(1000, ""))
		client.Send(testkit.Text(strings.Repeat("x", 100<<10)))
		leg.Send(testkit.Close(1000, ""), testkit.Text("behind"))
		leg.CloseWrite()
		client.Want("the answer comes", testkit.Close(1000, ""))
		client.WantEOF("and nothing behind it")
		leg.WantEOF("on both sides")
	})
}

// A client's FIN is passed on behind its last byte, and the other direction
// flows on for a while.
func TestHalfClose(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "close: 5s"})
		client, leg := b.open(t)
		client.Send(testkit.Text("last"))
		client.CloseWrite()
		leg.Want("the last message", testkit.Text("last"))
		leg.WantEOF("then FIN")
		leg.Send(testkit.Text("still"), testkit.Text("there"))
		client.Want("the other direction flows on", testkit.Text("still"), testkit.Text("there"))
		leg.Send(testkit.Close(1000, ""))
		leg.CloseWrite()
		client.Want("to its close", testkit.Close(1000, ""))
		client.WantEOF("and its end")
	})
}

// A client that breaks a rule is told so, though it hangs up right behind it.
func TestHalfCloseBehindAViolation(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Limits: "message_size: {client: 1KiB}"})
		for name, c := range map[string]struct {
			bytes string
			code  uint16
		}{
			"a reserved opcode":          {"\x83\x80abcd", 1002},
			"a close with 1005":          {string(testkit.Close(1005, "").Masked()), 1002},
			"a message over the limit":   {"\x82\xfe\x04\x01abcd", 1009},
			"a message behind a message": {string(testkit.Text("good").Masked()) + "\x83\x80abcd", 1002},
		} {
			t.Run(name, func(t *testing.T) {
				client, leg := b.open(t)
				client.SendString(c.bytes)
				client.CloseWrite()
				if strings.Contains(name, "behind") {
					leg.Want("what was good", testkit.Text("good"))
				}
				leg.WantClose("the instance is told that the client goes", 1001)
				leg.Send(testkit.Close(1001, ""))
				leg.CloseWrite()
				client.WantClose("and the client why", c.code)
				client.WantEOF("and we hang up")
				b.WantNoSessions(t, "all is over")
			})
		}
	})
}

// The instance hangs up without a close behind a client's FIN.
func TestHalfCloseAnsweredByFIN(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "close: 5s"})
		client, leg := b.open(t)
		client.CloseWrite()
		leg.WantEOF("FIN is passed on")
		leg.Close()
		client.WantEnd("and back")
		b.WantNoSessions(t, "at once")
	})
}

// A reset client resets the leg.
func TestClientReset(t *testing.T) {
	for name, before := range map[string]string{"between messages": "", "between frames": string(testkit.Begin("a").Masked()), "inside a frame": "\x81\x85\x00\x00\x00\x00he"} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				b := start(t, tr, testkit.Config{})
				client, leg := b.open(t)
				client.SendString(string(testkit.Text("first").Masked()) + before)
				leg.Want("it was open", testkit.Text("first"))
				client.Reset()
				leg.WantReset("the leg is reset")
				b.WantNoSessions(t, "and all is over")
			})
		})
	}
}

// A lost leg: 1012 between messages, 1011 between the frames of one, a cut
// inside a frame.
func TestLostLeg(t *testing.T) {
	lost := map[string]func(leg *testkit.Peer){
		"FIN": func(leg *testkit.Peer) { leg.CloseWrite() },
		"RST": func(leg *testkit.Peer) { leg.Reset() },
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for name, lose := range lost {
			t.Run("between messages "+name, func(t *testing.T) {
				client, leg := b.open(t)
				leg.Send(testkit.Text("a"))
				client.Want("it was open", testkit.Text("a"))
				lose(leg)
				client.WantClose("the client is asked to come back", 1012)
				client.Send(testkit.Close(1012, ""))
				client.WantEOF("we hang up")
			})
			t.Run("between frames "+name, func(t *testing.T) {
				client, leg := b.open(t)
				leg.Send(testkit.Begin("a"), testkit.Ping("p"))
				client.Want("half a message", testkit.Begin("a"), testkit.Ping("p"))
				lose(leg)
				client.WantClose("the client is told of the failure", 1011)
				client.Send(testkit.Close(1011, ""))
				client.WantEOF("we hang up")
			})
			t.Run("inside a frame "+name, func(t *testing.T) {
				client, leg := b.open(t)
				leg.SendString("\x81\x05he")
				client.WantBytes("half a frame", "\x81\x05he")
				lose(leg)
				client.WantEOF("nothing may follow it")
			})
			t.Run("inside a header "+name, func(t *testing.T) {
				client, leg := b.open(t)
				leg.SendString(string(testkit.Text("a").Plain()) + "\x81\x7E\x01")
				client.Want("whole frames pass", testkit.Text("a"))
				lose(leg)
				client.WantClose("half a header was not passed on", 1012)
			})
			t.Run("inside a client's frame "+name, func(t *testing.T) {
				client, leg := b.open(t)
				client.SendString("\x81\x85\x00\x00\x00\x00he")
				leg.WantBytes("half a frame", "\x81\x85\x00\x00\x00\x00he")
				lose(leg)
				client.WantClose("the client's side is between frames", 1012)
			})
		}
		t.Run("inside a frame behind messages", func(t *testing.T) {
			client, leg := b.open(t)
			leg.Send(testkit.Text("a"))
			client.Want("it was open", testkit.Text("a"))
			whole := testkit.Binary(strings.Repeat("b", 100_000))
			leg.Send(whole, whole)
			leg.SendString("\x81\x05he")
			leg.CloseWrite()
			client.Want("what was relayed is not lost", whole, whole)
			client.WantBytes("half a frame", "\x81\x05he")
			client.WantEOF("nothing may follow it")
		})
	})
}

// Much data, then the end: nothing of it is lost.
func TestDataBeforeTheEnd(t *testing.T) {
	big := testkit.Binary(strings.Repeat("x", 4<<20))
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for name, end := range map[string]func(*testkit.Peer){
			"close": func(leg *testkit.Peer) { leg.Send(testkit.Close(1000, "done")); leg.CloseWrite() },
			"FIN":   func(leg *testkit.Peer) { leg.CloseWrite() },
		} {
			t.Run(name, func(t *testing.T) {
				client, leg := b.open(t)
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					leg.Send(big, big)
					end(leg)
				}()
				client.Want("all of it arrives", big, big)
				if name == "close" {
					client.Want("then the close", testkit.Close(1000, "done"))
				} else {
					client.WantClose("then ours", 1012)
				}
				<-sent
			})
		}
	})
}

// A closing handshake that both ends carry out waits for no clock.
func TestEndsWaitForNoClock(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "close: 60s"})
		for range 5 {
			client, leg := b.open(t)
			leg.Send(testkit.Close(1000, ""))
			leg.CloseWrite()
			client.Want("the close", testkit.Close(1000, ""))
			client.Send(testkit.Close(1000, ""))
			client.CloseWrite()
			leg.Want("and its answer", testkit.Close(1000, ""))
			leg.WantEOF("the instance is let go")
			client.WantEOF("and the client")
			b.WantNoSessions(t, "at once")
		}
	})
}
