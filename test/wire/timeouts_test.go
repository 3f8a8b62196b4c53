package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// An instance that does not answer in time makes a 504.
func TestHandshakeTimeout(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "handshake: 200ms"})
		for name, part := range map[string]string{"silence": "", "half a head": "HTTP/1.1 101 Switching Protocols\r\nUpg", "half a refusal": "HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nno",
			"only interim answers": "HTTP/1.1 100 Continue\r\n\r\n"} {
			t.Run(name, func(t *testing.T) {
				client, leg, _ := b.ask(t, good+"\r\n")
				leg.SendString(part)
				h, _ := client.WantRefusal("the client is told", 504)
				if h.Get("Retry-After") == "" {
					t.Errorf("and when to come again: got %q", h.Raw)
				}
				leg.WantEnd("the instance is left")
			})
		}
	})
}

// A client that leaves before it is answered takes its leg along.
func TestClientLeavesEarly(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for name, leave := range map[string]func(*testkit.Peer){"close": (*testkit.Peer).Close, "reset": (*testkit.Peer).Reset} {
			t.Run(name, func(t *testing.T) {
				client, leg, _ := b.ask(t, good+"\r\n")
				leave(client)
				leg.WantEnd("the instance is left")
				b.WantNoSessions(t, "and all is over")
			})
		}
	})
}

// Whoever does not answer pings is gone.
func TestPong(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "ping: 100ms, pong: 300ms"})
		t.Run("client", func(t *testing.T) {
			client, leg := b.open(t)
			gone := answerPings(leg)
			<-gone
			client.WantReset("a silent client is cut off")
		})
		t.Run("instance", func(t *testing.T) {
			client, leg := b.open(t)
			gone := answerPings(client)
			<-gone
			leg.WantReset("a silent instance is cut off")
		})
		t.Run("any byte is life", func(t *testing.T) {
			client, leg := b.open(t)
			answerPings(leg)
			for range 10 {
				f := client.Frame("a ping of ours")
				if f.Op != testkit.Ping("").Op {
					t.Fatalf("a client that speaks lives: got %v", f)
				}
				client.Send(testkit.Pong("other"))
			}
		})
		b.WantNoSessions(t, "all are over")
	})
}

// answerPings plays a peer that answers pings until it gets a close, which it
// answers too, or its connection ends. Other frames are ignored.
func answerPings(p *testkit.Peer) (gone chan struct{}) {
	gone = make(chan struct{})
	go func() {
		defer close(gone)
		for {
			f, err := p.Next()
			switch {
			case err != nil:
				return
			case f.Op == testkit.Ping("").Op:
				_ = p.TrySend(p.Bytes(testkit.Pong(f.Payload)))
			case f.Op == testkit.Close(0, "").Op:
				_ = p.TrySend(p.Bytes(f))
				p.Close()
				return
			}
		}
	}()
	return gone
}

// Whoever takes nothing of what waits for it is gone.
func TestWriteTimeout(t *testing.T) {
	big := testkit.Binary(strings.Repeat("x", 1<<20))
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "write: 300ms, close: 100ms"})
		t.Run("client", func(t *testing.T) {
			client, leg := b.open(t)
			pushed := push(leg, big)
			b.WantLog(t, "a session ends because of a client that does not read", "session close", "the client does not read")
			client.WantReset("that client is cut off")
			<-pushed
		})
		t.Run("instance", func(t *testing.T) {
			client, leg := b.open(t)
			pushed := push(client, big)
			b.WantLog(t, "a session ends because of an instance that does not read", "session close", "the instance does not read")
			leg.WantReset("that instance is cut off")
			<-pushed
		})
		b.WantNoSessions(t, "all are over")
	})
}

// push sends a frame again and again until the connection ends.
func push(p *testkit.Peer, f testkit.Frame) (ended chan struct{}) {
	ended = make(chan struct{})
	b := p.Bytes(f)
	go func() {
		defer close(ended)
		for p.TrySend(b) == nil {
		}
	}()
	return ended
}

// A frame must come at a pace.
func TestFrameTimeout(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "frame: 200ms"})
		for name, part := range map[string]string{"one byte": "\x81", "half a header": "\x81\xFE\x01", "half a ping": "\x89\x85\x00\x00\x00\x00pi"} {
			t.Run("client "+name, func(t *testing.T) {
				client, leg := b.open(t)
				client.SendString(part)
				leg.WantClose("the instance, between frames, is told that the client goes", 1001)
				leg.Send(testkit.Close(1001, ""))
				leg.CloseWrite()
				client.WantClose("a slow client is told", 1008)
			})
		}
		t.Run("client half a frame", func(t *testing.T) {
			client, leg := b.open(t)
			client.SendString("\x81\xFE\x01\x00\x00\x00\x00\x00he")
			leg.WantReset("the instance, inside a frame, is cut off")
			client.WantClose("a slow client is told", 1008)
		})
		for name, part := range map[string]string{"one byte": "\x81", "half a header": "\x82\x7E\x01", "half a ping": "\x89\x05pi"} {
			t.Run("instance "+name, func(t *testing.T) {
				client, leg := b.open(t)
				leg.SendString(part)
				client.WantClose("the client of a slow instance is asked to come back", 1012)
				leg.WantGone("and the instance left")
			})
		}
		t.Run("instance half a frame", func(t *testing.T) {
			client, leg := b.open(t)
			leg.SendString("\x82\x7E\x01\x00he")
			client.WantBytes("what came", "\x82\x7E\x01\x00he")
			client.WantEOF("a client inside a frame gets no more")
			leg.WantGone("and the instance left")
		})
		b.WantNoSessions(t, "all are over")
	})
}

// A close that is not answered ends after a while.
func TestCloseTimeout(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "close: 200ms"})
		t.Run("instance", func(t *testing.T) {
			client, leg := b.open(t)
			client.Send(testkit.Close(1000, ""))
			leg.Want("the close arrives", testkit.Close(1000, ""))
			client.Want("the client does not wait for ever: we answer in its place", testkit.Close(1000, ""))
			client.WantEnd("and hang up")
			leg.WantEnd("nor do we for the instance")
		})
		t.Run("client", func(t *testing.T) {
			client, leg := b.open(t)
			leg.Send(testkit.Close(1000, ""))
			client.Want("the close arrives", testkit.Close(1000, ""))
			leg.Want("the instance does not wait for ever: we answer in the client's place", testkit.Close(1000, ""))
			leg.WantEnd("and hang up")
			client.WantEnd("nor do we wait for the client")
		})
		t.Run("client half-closed", func(t *testing.T) {
			client, leg := b.open(t)
			client.CloseWrite()
			leg.WantEnd("FIN is passed on")
			client.WantEnd("and the session ends")
		})
		b.WantNoSessions(t, "all are over")
	})
}

// Sessions that are silent, or old, are ended.
func TestIdleAndAge(t *testing.T) {
	cases := []struct {
		timeouts string
		code     uint16
	}{{"idle: 200ms", 1001}, {"age: 200ms", 1012}}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range cases {
			t.Run(c.timeouts, func(t *testing.T) {
				b := start(t, tr, testkit.Config{Timeouts: c.timeouts})
				began := time.Now()
				client, leg := b.open(t)
				leg.WantClose("the instance is told that the client goes", 1001)
				leg.Send(testkit.Text("last"), testkit.Close(1001, ""))
				leg.CloseWrite()
				client.Want("what it still says is passed on", testkit.Text("last"))
				client.WantClose("then the client is told", c.code)
				if took := time.Since(began); took < 190*time.Millisecond {
					t.Errorf("not before its time: after %v", took)
				}
				client.Close()
				b.WantNoSessions(t, "all are over")
			})
		}
	})
}

// Messages keep a session from being idle; the proxy's own pings don't.
func TestIdleAndPings(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "idle: 400ms, ping: 100ms"})
		client, leg := b.open(t)
		gone := answerPings(leg)
		for range 8 {
			answerPing(t, client)
			client.Send(testkit.Text("busy"))
		}
		for {
			f := client.Frame("a ping or the end")
			if f.Op != testkit.Ping("").Op {
				if want := testkit.Close(1001, "").Payload; !strings.HasPrefix(f.Payload, want) {
					t.Errorf("an idle session ends with 1001: got %v", f)
				}
				break
			}
			client.Send(testkit.Pong(f.Payload))
		}
		<-gone
	})
}

// A client that goes while it waits to be told of its instance's loss is waited
// for no longer, however the instance was lost.
func TestClientGoesBeforeItIsTold(t *testing.T) {
	losses := map[string]func(leg *testkit.Peer){ // by the metric's name
		"hung_up":    (*testkit.Peer).Close,
		"broken":     (*testkit.Peer).Reset,
		"going_away": func(leg *testkit.Peer) { leg.Send(testkit.Close(1012, "")) },
	}
	for reason, lose := range losses {
		t.Run(reason, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				b := start(t, tr, testkit.Config{Top: `admin: {address: "127.0.0.1:0"}`, Failover: "spread: 1h", Timeouts: "close: 1h"})
				client, leg := b.open(t)
				lose(leg)
				b.WantMetric(t, "the loss is seen", `sluice_failovers_total{reason="`+reason+`",result="closed",route="r"}`, 1)
				client.CloseWrite()
				client.WantGone("the client is let go")
				client.Close()
				leg.Close()
				b.WantNoSessions(t, "and nothing waits")
			})
		})
	}
}
