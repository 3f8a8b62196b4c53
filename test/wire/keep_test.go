package wire_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// pair is a proxy that keeps its clients, in front of two instances.
type pair struct {
	*testkit.App
	a, b *testkit.Instance
}

// keeping starts one; rules are failover's beside client: keep.
func keeping(t *testing.T, tr testkit.Transport, rules string, c testkit.Config) *pair {
	t.Helper()
	p := &pair{a: testkit.Listen(t), b: testkit.Listen(t)}
	c.Upstreams = []string{p.a.URL(), p.b.URL()}
	c.Failover = "client: keep, spread: 0s, " + rules
	c.Balance = strings.TrimPrefix(c.Balance+", policy: round_robin", ", ")
	p.App = testkit.Start(t, tr, c.String())
	return p
}

// open opens a session on the first instance.
func (p *pair) open(t *testing.T) (client, leg *testkit.Peer) {
	t.Helper()
	return testkit.Open(t, p.App, p.a)
}

// next takes the session over on the second.
func (p *pair) next(t *testing.T) (*testkit.Peer, *testkit.Head) {
	t.Helper()
	leg := p.b.Accept(t, "another instance is asked")
	head := leg.Head("with the same request")
	leg.SendString(testkit.Answer(head))
	return leg, head
}

// barrier wants a ping of the proxy's; its pong is still to be sent.
func barrier(t *testing.T, leg *testkit.Peer) testkit.Frame {
	t.Helper()
	f := leg.Frame("a ping follows what is to be proven")
	if f.Op != ws.Ping || len(f.Payload) != 8 {
		t.Fatalf("want a ping of the proxy's, got %v", f)
	}
	return testkit.Pong(f.Payload)
}

// A session that is idle goes over to another instance, and its client sees
// nothing.
func TestAKeptClientSeesNothing(t *testing.T) {
	ways := map[string]func(leg *testkit.Peer){
		"reset":   (*testkit.Peer).Reset,
		"hung up": (*testkit.Peer).Close,
		"1001":    func(leg *testkit.Peer) { leg.Send(testkit.Close(1001, "deploy")) },
		"1012":    func(leg *testkit.Peer) { leg.Send(testkit.Close(1012, "")) },
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for name, end := range ways {
			t.Run(name, func(t *testing.T) {
				p := keeping(t, tr, "state: none", testkit.Config{})
				client := p.Dial(t)
				client.SendString(testkit.Upgrade("/room?x=1", "Cookie: a=1", "Sec-WebSocket-Protocol: chat, other", "Sec-WebSocket-Extensions: permessage-deflate"))
				leg := p.a.Accept(t, "the first instance is asked")
				first := leg.Head("for what the client wants")
				if first.Get("Sec-WebSocket-Extensions") != "" || first.Get("Sluice-Resume") != "" {
					t.Errorf("compression is not offered, and nothing resumed: got %q", first.Raw)
				}
				leg.SendString(testkit.Answer(first, "Sec-WebSocket-Protocol: chat"))
				client.WantUpgraded("the client is upgraded")
				leg.Send(testkit.Text("hello"))
				client.Want("it is served", testkit.Text("hello"))
				end(leg)
				leg = p.b.Accept(t, "another instance is asked")
				again := leg.Head("for the same")
				if again.Line != "GET /room?x=1 HTTP/1.1" || again.Get("Cookie") != "a=1" || again.Get("Sluice-Resume") != "1" ||
					again.Get("Sec-WebSocket-Protocol") != "chat" || again.Get("Sluice-Session") != first.Get("Sluice-Session") || again.Get("Host") != "sluice.test" {
					t.Errorf("the same request, and which attempt it is: got %q", again.Raw)
				}
				leg.SendString(testkit.Answer(again, "Sec-WebSocket-Protocol: chat") + string(testkit.Text("go on").Plain()))
				client.Want("what it begins with is for the client", testkit.Text("go on"))
				client.Send(testkit.Text("up"))
				leg.Want("and it serves the session", testkit.Text("up"))
				client.Send(testkit.Close(1000, ""))
				leg.Send(barrier(t, leg))
				leg.Want("the client's own close ends it", testkit.Close(1000, ""))
			})
		}
	})
}

// A message that may not have been read decides by the user's rule.
func TestUnproven(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		t.Run("close", func(t *testing.T) {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Text("one"))
			leg.Want("it is sent", testkit.Text("one"))
			leg.Reset()
			client.WantClose("the client is asked to come back", 1012)
			p.b.WantUnvisited(t, "nobody else is asked")
		})
		t.Run("close, proven", func(t *testing.T) {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Text("one"))
			leg.Want("it is sent", testkit.Text("one"))
			leg.Send(barrier(t, leg), testkit.Text("answer"))
			client.Want("it is answered", testkit.Text("answer"))
			leg.Reset()
			leg, _ = p.next(t)
			client.Send(testkit.Text("two"))
			leg.Want("only what is new is sent", testkit.Text("two"))
		})
		t.Run("resend", func(t *testing.T) {
			p := keeping(t, tr, "state: none, unproven: resend, hold: 0s", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Text("one"))
			leg.Want("it is sent", testkit.Text("one"))
			pong := barrier(t, leg)
			client.Send(testkit.Begin("tw"), testkit.Ping("p"), testkit.End("o"), testkit.Text("three"))
			leg.Want("a control frame passes a message", testkit.Ping("p"), testkit.Begin("tw"), testkit.End("o"), testkit.Text("three"))
			leg.Send(pong, testkit.Pong("p"), testkit.Text("answer"))
			client.Want("the first is proven and answered", testkit.Pong("p"), testkit.Text("answer"))
			leg.Reset()
			leg, _ = p.next(t)
			leg.Want("what is not proven is sent again, control frames apart", testkit.Begin("tw"), testkit.End("o"), testkit.Text("three"))
			leg.Send(barrier(t, leg))
			client.Send(testkit.Text("four"))
			leg.Want("and what is new", testkit.Text("four"))
		})
		t.Run("resend what was just proven", func(t *testing.T) {
			p := keeping(t, tr, "state: none, unproven: resend, hold: 20s", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Text("one"))
			leg.Want("it is sent", testkit.Text("one"))
			leg.Send(barrier(t, leg), testkit.Text("answer"))
			client.Want("read, and answered", testkit.Text("answer"))
			leg.Reset()
			leg, _ = p.next(t)
			leg.Want("read is not processed: it is sent again", testkit.Text("one"))
		})
		t.Run("drop", func(t *testing.T) {
			p := keeping(t, tr, "state: none, unproven: drop", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Text("one"))
			leg.Want("it is sent", testkit.Text("one"))
			leg.Reset()
			leg, _ = p.next(t)
			client.Send(testkit.Text("two"))
			leg.Want("it is not sent again", testkit.Text("two"))
		})
	})
}

// A ping rides behind the messages that fill the buffer, not behind the one that
// streams after them: inside its frame none can be sent, and without its pong the
// rest of the frame would never be read.
func TestABufferFullBeforeALongMessage(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none, unproven: resend, buffer: 1KiB", testkit.Config{})
		client, leg := p.open(t)
		part := testkit.Text(strings.Repeat("x", 600))
		long := testkit.Text(strings.Repeat("y", 5000))
		all := client.Bytes(part, part, long)
		client.SendBytes(all[:len(all)-1000])
		leg.Want("messages of more than the buffer", part, part)
		leg.Send(barrier(t, leg))
		client.SendBytes(all[len(all)-1000:])
		leg.Want("then the client is read again", long)
	})
}

// A ping that the lost leg had yet to answer is answered, whatever it answered
// before: the client may wait for that very pong.
func TestPingsOfALostLeg(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{})
		client, leg := p.open(t)
		client.Send(testkit.Ping("one"), testkit.Ping("two"))
		leg.Want("both pass", testkit.Ping("one"), testkit.Ping("two"))
		leg.Send(testkit.Pong("one"))
		client.Want("the first is answered", testkit.Pong("one"))
		leg.Reset()
		client.Want("the second is, too", testkit.Pong("two"))
		leg, _ = p.next(t)
		leg.Send(testkit.Text("hello"))
		client.Want("once", testkit.Text("hello"))
		client.Send(testkit.Ping("three"))
		leg.Want("the next passes again", testkit.Ping("three"))
		leg.Send(testkit.Pong("three"))
		client.Want("with its pong", testkit.Pong("three"))
		leg.Reset()
		leg = p.a.Accept(t, "once more")
		leg.SendString(testkit.Answer(leg.Head("for the session")) + string(testkit.Text("still").Plain()))
		client.Want("what was answered is not answered again", testkit.Text("still"))
	})
}

// A client that is to leave anyway does not outlive its instance.
func TestAKeptClientThatLeaves(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Top: "drain: 1h"})
		client, leg := p.open(t)
		p.Cancel()
		p.WantLog(t, "all sessions are told when to leave", "stopping")
		leg.Reset()
		f := client.Frame("this one leaves at once")
		if code, _, err := ws.ParseClose([]byte(f.Payload)); f.Op != ws.CloseFrame || err != nil || code != 1012 && code != 1001 {
			t.Errorf("as one whose instance is lost, or whose Sluice goes: got %v", f)
		}
	})
}

// Nobody gets half a message of a leg that is lost.
func TestHalfMessagesOfALostLeg(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		t.Run("of the instance", func(t *testing.T) {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			leg.Send(testkit.Text("whole"), testkit.Begin("ha"), testkit.Ping("p"), testkit.Go("lf"))
			client.Want("whole ones go on, and control frames", testkit.Text("whole"), testkit.Ping("p"))
			leg.Reset()
			leg, _ = p.next(t)
			leg.Send(testkit.Text("next"))
			client.Want("of the other nothing is seen", testkit.Text("next"))
		})
		t.Run("of the client", func(t *testing.T) {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Begin("ha"), testkit.Ping("p"))
			leg.Want("the control frame passes", testkit.Ping("p"))
			leg.Reset()
			client.Want("the ping that it can't answer is answered", testkit.Pong("p"))
			leg, _ = p.next(t)
			client.Send(testkit.End("lf"))
			leg.Want("the message is sent whole", testkit.Begin("ha"), testkit.End("lf"))
		})
		t.Run("too long, of the instance", func(t *testing.T) {
			p := keeping(t, tr, "state: none, buffer: 1KiB", testkit.Config{})
			client, leg := p.open(t)
			leg.Send(testkit.Begin(strings.Repeat("x", 2000)))
			client.Want("it streams", testkit.Begin(strings.Repeat("x", 2000)))
			leg.Reset()
			client.WantClose("and can't be finished", 1011)
		})
		t.Run("too long, of the client", func(t *testing.T) {
			p := keeping(t, tr, "state: none, buffer: 1KiB", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Begin(strings.Repeat("x", 2000)))
			leg.Want("it streams", testkit.Begin(strings.Repeat("x", 2000)))
			leg.Reset()
			client.WantClose("and can't be sent again", 1012)
		})
	})
}

// A session is made known to another instance by its opening, and the client
// does not see twice what that is answered.
func TestReplay(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: replay, replay: {first: 2, swallow: 1}", testkit.Config{Balance: "greeting: 1"})
		client, leg := p.open(t)
		leg.Send(testkit.Text("welcome"))
		client.Want("the greeting", testkit.Text("welcome"))
		client.Send(testkit.Text("login"), testkit.Begin("join"), testkit.End(" room"))
		leg.Want("the opening", testkit.Text("login"), testkit.Begin("join"), testkit.End(" room"))
		leg.Send(testkit.Text("joined"), testkit.Text("news"))
		client.Want("its answer, and more", testkit.Text("joined"), testkit.Text("news"))
		leg.Reset()
		leg, _ = p.next(t)
		leg.Send(testkit.Text("welcome"))
		leg.Want("the opening again", testkit.Text("login"), testkit.Begin("join"), testkit.End(" room"))
		client.Send(testkit.Text("hi"))
		leg.Send(testkit.Begin("joi"), testkit.End("ned"), testkit.Text("more news"))
		client.Want("greeting and answer are not shown again", testkit.Text("more news"))
		leg.Want("then the client is read again", testkit.Text("hi"))
		leg.Send(barrier(t, leg))
		leg.Reset()
		p.a.Close()
		p.b.Close()
	})
}

// An answer that the client has not had is not swallowed.
func TestReplayBeforeTheAnswer(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: replay, replay: {first: 1, swallow: 1}", testkit.Config{Balance: "greeting: 1"})
		client, leg := p.open(t)
		leg.Send(testkit.Text("welcome"))
		client.Want("the greeting", testkit.Text("welcome"))
		client.Send(testkit.Text("login"))
		leg.Want("the opening", testkit.Text("login"))
		leg.Reset()
		leg, _ = p.next(t)
		leg.Want("it is sent again", testkit.Text("login"))
		leg.Send(testkit.Text("welcome"), testkit.Text("hello"))
		client.Want("its answer is the first that the client gets", testkit.Text("hello"))
	})
}

// Who can't be kept is told so.
func TestNobodyTakesOver(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		t.Run("none is there", func(t *testing.T) {
			p := keeping(t, tr, "state: none, timeout: 300ms", testkit.Config{})
			client, leg := p.open(t)
			p.a.Close()
			p.b.Close()
			leg.Reset()
			client.WantClose("it may try later", 1013)
		})
		t.Run("refused", func(t *testing.T) {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			leg.Reset()
			leg = p.b.Accept(t, "another instance is asked")
			leg.Head("for the session")
			leg.SendString("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
			client.WantClose("it has to ask by itself", 1012)
		})
		t.Run("broken, then taken", func(t *testing.T) {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			leg.Reset()
			leg = p.b.Accept(t, "another instance is asked")
			leg.Head("for the session")
			p.b.Close()
			leg.SendString("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			leg = p.a.Accept(t, "then the first again")
			leg.SendString(testkit.Answer(leg.Head("once more")))
			leg.Send(testkit.Text("back"))
			client.Want("which has the session again", testkit.Text("back"))
		})
		t.Run("the application does not want it", func(t *testing.T) {
			p := keeping(t, tr, "state: replay, replay: {first: 1, swallow: 1}", testkit.Config{})
			client, leg := p.open(t)
			client.Send(testkit.Text("login"))
			leg.Want("the opening", testkit.Text("login"))
			leg.Send(testkit.Text("hello"))
			client.Want("is answered", testkit.Text("hello"))
			leg.Reset()
			leg, _ = p.next(t)
			leg.Want("another instance is sent it", testkit.Text("login"))
			leg.Send(testkit.Close(1011, "oops"))
			leg = p.a.Accept(t, "where that fails the next is asked")
			leg.SendString(testkit.Answer(leg.Head("for the session")))
			leg.Want("and is sent it", testkit.Text("login"))
			leg.Send(testkit.Close(4001, "logged out"))
			client.Want("what it tells the client reaches that", testkit.Close(4001, "logged out"))
			leg.Want("and is answered", testkit.Close(4001, ""))
		})
		t.Run("frozen, then another", func(t *testing.T) {
			p := keeping(t, tr, "state: none, timeout: 1s", testkit.Config{})
			client, leg := p.open(t)
			leg.Reset()
			leg = p.b.Accept(t, "another instance is asked")
			leg.Head("which does not answer")
			leg = p.a.Accept(t, "the first again, while there is time")
			leg.SendString(testkit.Answer(leg.Head("once more")))
			leg.Send(testkit.Text("back"))
			client.Want("which has the session again", testkit.Text("back"))
		})
		t.Run("the client leaves meanwhile", func(t *testing.T) {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			leg.Reset()
			leg = p.b.Accept(t, "another instance is asked")
			head := leg.Head("for the session")
			client.Send(testkit.Close(1000, "bye"))
			client.CloseWrite()
			leg.SendString(testkit.Answer(head))
			leg.Want("its close is not lost", testkit.Close(1000, "bye"))
		})
	})
}

// The leg ends behind every byte of the client's, and behind every byte of the
// instance's: no message is lost, halved or out of order.
func TestCutAtEveryByte(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		up := slices.Concat(testkit.Text("one").Masked(), testkit.Begin("t").Masked(), testkit.Ping("p").Masked(), testkit.End("wo").Masked())
		for n := range len(up) + 1 {
			p := keeping(t, tr, "state: none, unproven: resend, hold: 0s", testkit.Config{})
			client, leg := p.open(t)
			client.SendBytes(up[:n])
			leg.Reset()
			leg, _ = p.next(t)
			client.SendBytes(up[n:])
			wantAll(t, leg, n)
			client.Close()
			leg.Close()
			p.Stop()
		}
		down := []testkit.Frame{testkit.Text("eins"), testkit.Begin("z"), testkit.End("wei")}
		all := slices.Concat(down[0].Plain(), down[1].Plain(), down[2].Plain())
		for n := range len(all) + 1 {
			p := keeping(t, tr, "state: none", testkit.Config{})
			client, leg := p.open(t)
			leg.SendBytes(all[:n])
			leg.Close()
			leg, _ = p.next(t)
			leg.Send(testkit.Text("still here"))
			want := 0
			switch {
			case n == len(all):
				want = 3
			case n >= len(down[0].Plain()):
				want = 1
			}
			client.Want("whole messages, and then what the other instance says", append(slices.Clone(down[:want]), testkit.Text("still here"))...)
			client.Close()
			leg.Close()
			p.Stop()
		}
	})
}

// wantAll wants both messages, whole and in order; control frames may be among
// them.
func wantAll(t *testing.T, leg *testkit.Peer, n int) {
	t.Helper()
	var text strings.Builder
	for !strings.HasSuffix(text.String(), "two") {
		f := leg.Frame("the client's messages")
		switch f.Op {
		case ws.Ping:
			if len(f.Payload) == 8 {
				leg.Send(testkit.Pong(f.Payload))
			}
		case ws.Text, ws.Continuation:
			text.WriteString(f.Payload)
		default:
			t.Fatalf("cut behind %d bytes the instance gets %v", n, f)
		}
	}
	if got := text.String(); got != "onetwo" {
		t.Fatalf("cut behind %d bytes the instance gets %q", n, got)
	}
}
