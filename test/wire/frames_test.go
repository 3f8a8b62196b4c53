package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// masked puts the mask bit and a key into a frame.
func masked(head, payload string) []byte {
	b := []byte(head)
	b[1] |= 0x80
	key := [4]byte{1, 2, 3, 4}
	b = append(b, key[:]...)
	at := len(b)
	b = append(b, payload...)
	ws.Mask(b[at:], key, 0)
	return b
}

// A client's frame goes on in the mask that it came in.
func TestMasks(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg := b.open(t)
		client.Send(testkit.Text("x"))
		leg.Want("a client's frame", testkit.Text("x"))
		if h := leg.Header(); !h.Masked || h.Key != [4]byte{0xA1, 0x5C, 0x00, 0xFE} {
			t.Errorf("keeps its mask: got %x", h.Key)
		}
	})
}

// RSV1 passes where it was negotiated.
func TestDeflateBit(t *testing.T) {
	const ext = "Sec-WebSocket-Extensions: permessage-deflate"
	squeezed := testkit.Frame{Op: ws.Text, RSV: ws.RSV1, Payload: "\xAA\x00"}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg, head := b.ask(t, plus(ext+"\r\n"))
		leg.SendString(testkit.Answer(head, ext))
		client.WantUpgraded("it is upgraded")
		client.Deflate()
		leg.Deflate()
		frames := []testkit.Frame{squeezed, {Op: ws.Text, RSV: ws.RSV1, More: true, Payload: "a"}, testkit.End("b")}
		client.Send(frames...)
		leg.Want("a compressed message passes as it came, in one frame or several", frames...)
		leg.Send(frames...)
		client.Want("both ways", frames...)
	})
}

// A message passes frame by frame, in whatever lengths, with control frames
// between.
func TestFramesPass(t *testing.T) {
	frames := []testkit.Frame{
		testkit.Text(""), testkit.Text(strings.Repeat("a", 125)), testkit.Text(strings.Repeat("b", 126)),
		testkit.Binary(strings.Repeat("c", 65535)), testkit.Binary(strings.Repeat("d", 65536)), testkit.Binary(strings.Repeat("e", 300000)),
		testkit.Begin(""), testkit.Ping(""), testkit.Go("x"), testkit.Pong("unasked"), testkit.Go(""), testkit.Ping(strings.Repeat("p", 125)), testkit.End(""),
		testkit.Binary("\x00\xFF\xFE"), testkit.Text("\xFF not judged here"),
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg := b.open(t)
		for range 3 {
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				client.Send(frames...)
			}()
			leg.Want("a client's frames pass as they came", frames...)
			<-sent
			back := make(chan struct{})
			go func() {
				defer close(back)
				leg.Send(frames...)
			}()
			client.Want("an instance's too", frames...)
			<-back
		}
	})
}

// Pings of the ends pass with their payload; ours are seen by nobody but their
// peer, and their pongs stop here.
func TestPings(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "ping: 50ms"})
		client, leg := b.open(t)
		for range 3 {
			answerPing(t, client)
			answerPing(t, leg)
		}
		for _, c := range []struct {
			from, to *testkit.Peer
			payload  string
		}{{client, leg, "from the client"}, {leg, client, "from the instance"}, {client, leg, ""}, {leg, client, strings.Repeat("x", 125)}} {
			c.from.Send(testkit.Ping(c.payload))
			wantNextOf(t, c.to, testkit.Ping(c.payload))
			c.to.Send(testkit.Pong(c.payload))
			wantNextOf(t, c.from, testkit.Pong(c.payload))
		}
		client.Send(testkit.Pong("87654321"))
		wantNextOf(t, leg, testkit.Pong("87654321"))
	})
}

// answerPing waits for a ping of ours, which has eight bytes, and answers it.
func answerPing(t *testing.T, p *testkit.Peer) {
	t.Helper()
	f := p.Frame("a ping of ours")
	if f.Op != ws.Ping || len(f.Payload) != 8 {
		t.Fatalf("want a ping of ours, got %v", f)
	}
	p.Send(testkit.Pong(f.Payload))
}

// wantNextOf wants a frame, and only pings of ours before it.
func wantNextOf(t *testing.T, p *testkit.Peer, want testkit.Frame) {
	t.Helper()
	for {
		f := p.Frame(want.String())
		if f == want {
			return
		}
		if f.Op != ws.Ping || len(f.Payload) != 8 {
			t.Fatalf("want %v or a ping of ours, got %v", want, f)
		}
		p.Send(testkit.Pong(f.Payload))
	}
}
