package faults_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// ways in which a client fails.
var clients = map[string]func(client *testkit.Peer){
	"resets":                     func(client *testkit.Peer) { client.Reset() },
	"hangs up":                   func(client *testkit.Peer) { client.Close() },
	"half-closes":                func(client *testkit.Peer) { client.CloseWrite() },
	"half-closes inside a frame": func(client *testkit.Peer) { client.SendString("\x81\x85\x00\x00\x00\x00he"); client.CloseWrite() },
	"resets inside a frame":      func(client *testkit.Peer) { client.SendString("\x81\x85\x00\x00\x00\x00he"); client.Reset() },
	"vanishes":                   func(*testkit.Peer) {}, // no FIN, and no pong
	"vanishes inside a frame":    func(client *testkit.Peer) { client.SendString("\x81\x85\x00\x00\x00\x00he") },
	"sends garbage":              func(client *testkit.Peer) { client.SendString("GET / HTTP/1.1\r\n\r\n") },
}

func TestClientBreaks(t *testing.T) {
	for name, fail := range clients {
		t.Run(name, func(t *testing.T) {
			fault(t, testkit.Config{}, func(t *testing.T, b *bench) {
				other := b.open(t)
				client, leg := testkit.Open(t, b.App, b.in)
				fail(client)
				gone := make(chan struct{})
				go func() { // the instance answers pings until it is let go
					defer close(gone)
					(&pair{ended: make(chan struct{})}).echo(leg)
				}()
				<-gone
				client.WantGone("the session ends")
				client.Close()
				other.say("another session goes on", "x")
				other.end()
			})
		})
	}
}

// A client that sends a byte now and then never completes its frame and is
// ended by its clock, not kept alive by its bytes.
func TestDrippingClient(t *testing.T) {
	fault(t, testkit.Config{Timeouts: "ping: 0s, frame: 400ms, close: 200ms"}, func(t *testing.T, b *bench) {
		client, leg := testkit.Open(t, b.App, b.in)
		began := time.Now()
		frame := client.Bytes(testkit.Text(strings.Repeat("x", 4000)))
		drip := time.NewTicker(100 * time.Millisecond)
		defer drip.Stop()
		for i := 0; ; i++ {
			if client.TrySend(frame[i:i+1]) != nil {
				break
			}
			<-drip.C
			if time.Since(began) > 8*time.Second {
				t.Fatal("the proxy takes a byte every 100 ms for 8 s")
			}
		}
		client.Close()
		leg.WantGone("the instance is let go")
		leg.Close()
	})
}

// A client that stops reading stalls its own session and no other, and is cut
// off.
func TestStalledReader(t *testing.T) {
	fault(t, testkit.Config{}, func(t *testing.T, b *bench) {
		other := b.open(t)
		client, leg := testkit.Open(t, b.App, b.in)
		big := leg.Bytes(testkit.Binary(strings.Repeat("x", 1<<20)))
		stuck := make(chan struct{})
		go func() {
			defer close(stuck)
			for leg.TrySend(big) == nil {
			}
		}()
		for range 50 {
			other.say("another session's echo goes on", "x")
		}
		b.WantLog(t, "the stalled session ends", "session close", "the client does not read")
		other.say("another session's echo goes on", "x")
		client.WantReset("the reader that does not read is cut off")
		client.Close()
		<-stuck
		leg.Close()
		other.end()
	})
}

// Large messages pass through in pieces: what the proxy holds does not grow
// with them.
func TestLargeMessages(t *testing.T) {
	const size = 16 << 20
	fault(t, testkit.Config{Timeouts: "ping: 0s, close: 200ms"}, func(t *testing.T, b *bench) {
		client, leg := testkit.Open(t, b.App, b.in)
		frame := client.Bytes(testkit.Binary(strings.Repeat("x", size)))
		got, room := 0, make([]byte, 64<<10)
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		sent := make(chan error, 1)
		go func() { sent <- client.TrySend(frame) }()
		_ = leg.Conn().SetReadDeadline(time.Now().Add(20 * time.Second))
		for got < len(frame) {
			n, err := leg.Conn().Read(room)
			if err != nil {
				t.Fatalf("after %d bytes of %d: %v", got, len(frame), err)
			}
			for i, c := range room[:n] {
				if c != frame[got+i] {
					t.Fatalf("byte %d is %#x, want %#x", got+i, c, frame[got+i])
				}
			}
			got += n
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&now)
		if grown := now.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
			t.Errorf("a message of %d bytes costs %d bytes of allocations", size, grown)
		}
		client.Reset()
		leg.WantReset("the end")
		leg.Close()
	})
}

// A client that asks and leaves, again and again, leaves nothing.
func TestRestlessClients(t *testing.T) {
	fault(t, testkit.Config{}, func(t *testing.T, b *bench) {
		for i := range 20 {
			client := b.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			leg := b.in.Accept(t, "it is asked")
			head := leg.Head("it is asked")
			if i%2 == 0 {
				client.Reset()
				leg.WantGone("the leg goes with its client")
			} else {
				leg.SendString(testkit.Answer(head))
				client.Close()
				leg.WantGone("the leg goes with its client")
			}
			leg.Close()
		}
	})
}
