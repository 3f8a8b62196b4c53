package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// violations are frames that break section 5 of RFC 6455, masked; before them
// goes ok. For an instance they are sent without masks.
var violations = []struct {
	name string
	// head is two bytes and the extended length, without the mask bit.
	head, payload string
	after         []testkit.Frame
}{
	{"RSV1", "\xC1\x02", "hi", nil},
	{"RSV2", "\xA1\x02", "hi", nil},
	{"RSV3", "\x91\x02", "hi", nil},
	{"RSV1 on a ping", "\xC9\x02", "hi", nil},
	{"opcode 3", "\x83\x02", "hi", nil},
	{"opcode 7", "\x87\x00", "", nil},
	{"opcode 11", "\x8B\x00", "", nil},
	{"opcode 15", "\x8F\x00", "", nil},
	{"a fragmented ping", "\x09\x02", "hi", nil},
	{"a fragmented close", "\x08\x02", "\x03\xE8", nil},
	{"a ping of 126 bytes", "\x89\x7E\x00\x7E", strings.Repeat("x", 126), nil},
	{"a ping of 126 bytes that never come", "\x89\x7E", "", nil},
	{"a pong of 65536 bytes", "\x8A\x7F\x00\x00\x00\x00\x00\x01\x00\x00", "", nil},
	{"a close of 126 bytes", "\x88\x7E\x00\x7E", "\x03\xE8" + strings.Repeat("x", 124), nil},
	{"a length with its top bit", "\x82\x7F\x80\x00\x00\x00\x00\x00\x00\x01", "", nil},
	{"a length of ones", "\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "", nil},
	{"a length of 16 bits that needs 7", "\x82\x7E\x00\x05", "hello", nil},
	{"a length of 64 bits that needs 16", "\x82\x7F\x00\x00\x00\x00\x00\x00\x00\x05", "hello", nil},
	{"a continuation of nothing", "\x80\x02", "hi", nil},
	{"a text inside a message", "\x81\x02", "hi", []testkit.Frame{testkit.Begin("a")}},
	{"a binary inside a message", "\x02\x02", "hi", []testkit.Frame{testkit.Begin("a"), testkit.Go("b")}},
	{"a close of one byte", "\x88\x01", "x", nil},
	{"close 0", "\x88\x02", "\x00\x00", nil},
	{"close 999", "\x88\x02", "\x03\xE7", nil},
	{"close 1004", "\x88\x02", "\x03\xEC", nil},
	{"close 1005", "\x88\x02", "\x03\xED", nil},
	{"close 1006", "\x88\x02", "\x03\xEE", nil},
	{"close 1015", "\x88\x02", "\x03\xF7", nil},
	{"close 1016", "\x88\x02", "\x03\xF8", nil},
	{"close 2999", "\x88\x02", "\x0B\xB7", nil},
	{"close 5000", "\x88\x02", "\x13\x88", nil},
	{"close 65535", "\x88\x02", "\xFF\xFF", nil},
	{"a close reason that is not UTF-8", "\x88\x04", "\x03\xE8\xC3\x28", nil},
}

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

// A client that breaks the rules is told 1002; what came before still counts,
// what comes after doesn't. The instance is told that the client goes.
func TestViolationsOfClients(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range violations {
			t.Run(c.name, func(t *testing.T) {
				client, leg := b.open(t)
				before := append([]testkit.Frame{testkit.Text("before")}, c.after...)
				bad := masked(c.head, c.payload)
				if len(c.head) == 2 && c.payload == "" {
					bad = bad[:2] // two bytes say it all
				} else {
					bad = append(bad, testkit.Text("after").Masked()...)
				}
				client.SendBytes(append(client.Bytes(before...), bad...))
				leg.Want("what came before the violation arrives", before...)
				leg.WantClose("the instance is told that the client goes", 1001)
				leg.Send(testkit.Close(1001, ""))
				leg.CloseWrite()
				client.WantClose("the client is told what it did", 1002)
				client.Close()
				leg.WantEnd("and the end")
			})
		}
	})
}

// A client must mask; an instance must not.
func TestMasks(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		t.Run("client", func(t *testing.T) {
			client, leg := b.open(t)
			client.SendBytes(testkit.Text("bare").Plain())
			leg.WantClose("the instance is told that the client goes", 1001)
			leg.Send(testkit.Close(1001, ""))
			client.WantClose("the client is told", 1002)
		})
		t.Run("instance", func(t *testing.T) {
			client, leg := b.open(t)
			leg.SendBytes(testkit.Text("covered").Masked())
			leg.WantClose("the instance is told", 1002)
			client.WantClose("the client is told too", 1002)
		})
		t.Run("ours", func(t *testing.T) {
			client, leg := b.open(t)
			client.Send(testkit.Text("x"))
			leg.Want("a client's frame", testkit.Text("x"))
			if h := leg.Header(); !h.Masked || h.Key != [4]byte{0xA1, 0x5C, 0x00, 0xFE} {
				t.Errorf("keeps its mask: got %x", h.Key)
			}
		})
	})
}

// An instance that breaks the rules is told 1002, and so is its client, unless
// that is in the middle of a frame.
func TestViolationsOfInstances(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range violations {
			t.Run(c.name, func(t *testing.T) {
				client, leg := b.open(t)
				before := append([]testkit.Frame{testkit.Text("before")}, c.after...)
				leg.SendBytes(append(leg.Bytes(before...), c.head+c.payload...))
				client.Want("what came before the violation arrives", before...)
				leg.WantClose("the instance is told what it did", 1002)
				client.WantClose("and the client gets a close", 1002)
				client.Send(testkit.Close(1002, ""))
				client.WantEOF("and the end")
				leg.WantEOF("on both sides")
			})
		}
	})
}

// RSV1 is as it was negotiated, and only where RFC 7692 has it.
func TestDeflateBit(t *testing.T) {
	const ext = "Sec-WebSocket-Extensions: permessage-deflate"
	squeezed := testkit.Frame{Op: ws.Text, RSV: ws.RSV1, Payload: "\xAA\x00"}
	bad := []testkit.Frame{
		{Op: ws.Text, RSV: 0x20, Payload: "x"},
		{Op: ws.Ping, RSV: ws.RSV1, Payload: "x"},
		{Op: ws.Continuation, RSV: ws.RSV1, Payload: "x"},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, f := range bad {
			t.Run(f.String(), func(t *testing.T) {
				client, leg, head := b.ask(t, plus(ext+"\r\n"))
				leg.SendString(testkit.Answer(head, ext))
				client.WantUpgraded("it is upgraded")
				client.Deflate()
				leg.Deflate()
				client.Send(squeezed)
				leg.Want("a compressed message passes as it came", squeezed)
				leg.Send(squeezed)
				client.Want("both ways", squeezed)
				begin := testkit.Frame{Op: ws.Text, RSV: ws.RSV1, More: true, Payload: "a"}
				if f.Op == ws.Continuation {
					client.Send(begin)
					leg.Want("its first frame too", begin)
				}
				client.Send(f)
				leg.WantClose("the instance is told that the client goes", 1001)
				leg.Send(testkit.Close(1001, ""))
				client.WantClose("the client is told what it did", 1002)
			})
		}
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
