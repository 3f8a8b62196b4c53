package wire_test

import (
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Here are the rows of docs/rfc6455.md that no other test is about.

// A ping of ours waits for the end of the frame under way, not for that of the
// message (RFC 6455, section 5.4).
func TestPingsWaitForAFrame(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "ping: 30ms, pong: 20s"})
		client, leg := b.open(t)
		answerPing(t, client)
		part := testkit.Begin(strings.Repeat("x", 256))
		bytes := part.Plain()
		for range 5 { // any byte answers the instance's, and meanwhile the client's is due
			leg.SendBytes(bytes[:10])
			bytes = bytes[10:]
			if f := leg.Frame("a ping of ours"); f.Op != ws.Ping {
				t.Fatalf("want a ping of ours, got %v", f)
			}
		}
		leg.SendBytes(bytes)
		client.Want("the frame is whole", part)
		answerPing(t, client)
		leg.Send(testkit.End("y"))
		wantNextOf(t, client, testkit.End("y"))
	})
}

// Towards the instance we are the client: once both have closed we wait for it
// to hang up (RFC 6455, section 7.1.1).
func TestInstancesHangUpFirst(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "close: 60s"})
		client, leg := b.open(t)
		client.Send(testkit.Close(1000, ""))
		leg.Want("the close arrives", testkit.Close(1000, ""))
		leg.Send(testkit.Close(1000, ""))
		client.Want("and its answer", testkit.Close(1000, ""))
		client.WantEOF("towards the client we hang up first")
		client.Close()
		wantSilence(t, leg, "towards the instance we don't")
		leg.CloseWrite()
		leg.WantEOF("but behind it")
	})
}

// wantSilence wants neither a byte nor an end for a moment.
func wantSilence(t *testing.T, p *testkit.Peer, sentence string) {
	t.Helper()
	_ = p.Conn().SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	var room [64]byte
	if n, err := p.Conn().Read(room[:]); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: got %q, %v", sentence, room[:n], err)
	}
}

// A source gets nothing before it has answered, also while clients speak (RFC
// 6455, section 4.1).
func TestFanoutWaitsForTheAnswer(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "client_messages: forward"})
		client, leg := f.open(t)
		leg.Close()
		again := f.source.Accept(t, "a lost source is dialled again")
		head := again.Head("and asked")
		client.Send(testkit.Text("early"), testkit.Ping("p"))
		client.Want("the client has been heard", testkit.Pong("p"))
		wantSilence(t, again, "its message waits")
		again.SendString(testkit.Answer(head))
		again.Want("for the answer", testkit.Text("early"))
	})
}

// Whoever was told a close gets nothing more: an instance not what its client
// says meanwhile (RFC 6455, section 5.5.1).
func TestNothingFollowsAClose(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "age: 100ms, close: 60s"})
		client, leg := b.open(t)
		leg.WantClose("the instance is told that the client goes", 1001)
		client.Send(testkit.Text("late"), testkit.Ping("too"))
		client.Want("its ping is answered in the instance's place", testkit.Pong("too"))
		leg.Send(testkit.Close(1001, ""))
		client.WantClose("then it is told", 1012)
		client.Send(testkit.Close(1012, ""))
		client.WantEOF("and we hang up")
		leg.CloseWrite()
		leg.WantEOF("nothing came behind the instance's close")
	})
}

// A client whose instance is lost waits for its close up to failover.spread. Its
// pings are answered meanwhile (RFC 6455, section 5.5.2).
func TestPingsAfterALoss(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Failover: "spread: 1h"})
		client, leg := b.open(t)
		leg.Send(testkit.Begin("half a message")) // 1011, and not at once either
		client.Want("it was open", testkit.Begin("half a message"))
		leg.CloseWrite()
		leg.WantEOF("the loss is noticed")
		client.Send(testkit.Ping("there?"), testkit.Text("nobody reads this"), testkit.Ping(""))
		client.Want("pings are answered", testkit.Pong("there?"), testkit.Pong(""))
		client.Send(testkit.Close(1000, ""))
		client.WantClose("and so is a close", 1000)
		client.WantEOF("behind which we hang up")
	})
}

// An instance's close is answered, also if its client never does (RFC 6455,
// section 5.5.1).
func TestInstancesClosesAreAnswered(t *testing.T) {
	for name, end := range map[string]func(client *testkit.Peer){
		"a client that is silent":  func(*testkit.Peer) {},
		"a client that hangs up":   func(client *testkit.Peer) { client.CloseWrite() },
		"a client that breaks off": func(client *testkit.Peer) { client.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				b := start(t, tr, testkit.Config{Timeouts: "close: 300ms"})
				client, leg := b.open(t)
				leg.Send(testkit.Close(4001, "over"))
				client.Want("the close arrives", testkit.Close(4001, "over"))
				end(client)
				if f := leg.Frame("the instance is answered in its client's place"); f.Op != ws.CloseFrame {
					t.Errorf("with a close: got %v", f)
				}
				leg.WantGone("and left")
			})
		})
	}
}

// Frames of ours that are masked have keys of their own, each (RFC 6455,
// section 5.3).
func TestMaskingKeysAreFresh(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "subscribe: [same, same, same, same]"})
		_, leg := f.open(t)
		keys := map[[4]byte]bool{{}: true}
		for range 4 {
			leg.Want("a text of ours", testkit.Text("same"))
			keys[leg.Header().Key] = true
		}
		leg.Send(testkit.Ping("p"))
		leg.Want("and a pong", testkit.Pong("p"))
		if keys[leg.Header().Key] = true; len(keys) != 6 {
			t.Errorf("five keys, none of zeros: got %v", keys)
		}
	})
}

// A wss instance is told which name it is dialled by (RFC 6455, section 4.1).
func TestServerNameIsIndicated(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		c := testkit.NewCertificate(t, t.TempDir())
		names := make(chan string, 1)
		in := testkit.ListenTLS(t, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			names <- hello.ServerName
			return &c.Pair, nil
		}})
		url := strings.Replace(in.URL(), "127.0.0.1", "localhost", 1)
		b := &bench{testkit.Start(t, tr, testkit.Config{Upstreams: []string{`{url: "` + url + `", tls: {ca: "` + c.Cert + `"}}`}}.String()), in}
		client, leg := b.open(t)
		if name := <-names; name != "localhost" {
			t.Errorf("the URL's host: got %q", name)
		}
		farewell(t, client, leg)
	})
}

// A failed connection is logged, with what the peer did (RFC 6455, section
// 7.1.7).
func TestViolationsAreLogged(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg := b.open(t)
		client.SendBytes(testkit.Text("bare").Plain())
		leg.WantClose("the instance is told that the client goes", 1001)
		leg.Close()
		client.WantClose("the client is told", 1002)
		client.Close()
		b.WantLog(t, "so is the operator", "session close", "closed_by=client", "code=1002", "unmasked frame")
		f := startFeed(t, tr, testkit.Feed{})
		client, leg = f.open(t)
		client.SendBytes(testkit.Text("bare").Plain())
		client.WantClose("a subscriber is told", 1002)
		client.Close()
		f.WantLog(t, "so is the operator", "session close", "closed_by=client", "code=1002", "unmasked frame")
		leg.Close()
	})
}

// A service that there is not is answered 404 (RFC 6455, section 4.2.2).
func TestHandshakeWithoutARoute(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Route: "    match: {path: /chat}"})
		client := b.Dial(t)
		client.SendString(with(getLine, "GET /other HTTP/1.1\r\n"))
		client.WantRefusal("it is refused", 404)
		b.in.WantUnvisited(t, "and the instance not asked")
	})
}

// A source is told that we go (RFC 6455, section 7.3).
func TestFanoutStopClosesTheSource(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "linger: 1h"})
		client, leg := f.open(t)
		f.Cancel()
		client.WantClose("the client is told", 1001)
		client.Send(testkit.Close(1001, ""))
		client.WantEOF("we hang up")
		client.Close()
		if m := leg.Frame("and so is the source"); m.Op != ws.CloseFrame {
			t.Errorf("with a close: got %v", m)
		}
		leg.Close()
		f.Stop()
	})
}
