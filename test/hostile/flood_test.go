package hostile_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// wantCheap wants f to have cost no more than so many bytes of memory, all that
// was allocated meanwhile: the test's own share is small beside it.
//
// With the race detector it is not judged: every buffer is another one there.
func wantCheap(t *testing.T, sentence string, most uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if cost := after.TotalAlloc - before.TotalAlloc; cost > most && !raced {
		t.Errorf("%s: at most %d KiB, took %d KiB", sentence, most>>10, cost>>10)
	}
}

// raced tells that the race detector is there. Large documents and floods are
// dear with it: they are smaller, or only in the other builds.
var raced = false

// hostileOf tells which end of a session is hostile.
func hostileOf(r role, client, leg *testkit.Peer) (hostile, other *testkit.Peer) {
	if r.server() {
		return leg, client
	}
	return client, leg
}

// pour writes in a goroutine of its own what the other end may stop reading.
func pour(p *testkit.Peer, b []byte) (poured chan struct{}) {
	poured = make(chan struct{})
	go func() {
		defer close(poured)
		_ = p.TrySend(b)
	}()
	return poured
}

// A flood of pings by a client is bounded by pings_per_second: 20 of them are
// answered, or passed on.
func TestPingFloods(t *testing.T) {
	everywhere(t, settings{}, func(t *testing.T, s *stage) {
		client, leg := s.enter(t, s.path())
		wantCheap(t, "a ping that is one too many costs nothing", 16<<20, func() {
			poured := pour(client, bytes.Repeat(client.Bytes(testkit.Ping("p")), 100_000))
			reader, answer := leg, testkit.Ping("p")
			if s.mode != balance {
				reader, answer = client, testkit.Pong("p")
			}
			for range 20 {
				reader.Want("as many pings as there may be in a second", answer)
			}
			v := &violation{code: 1008}
			if s.mode == fanout {
				s.subscriberTold(t, v, client, leg)
			} else {
				s.clientTold(t, v, client, leg)
			}
			<-poured
		})
	})
}

// A source that pings, and reads none of the pongs, is owed the latest alone. An
// instance's pings, which its client does not read, wait in the instance.
func TestPingFloodsThatNobodyReads(t *testing.T) {
	const flood = 32 << 20 // bytes; far more than sockets hold
	everywhere(t, settings{timeouts: "write: 1s, close: 200ms"}, func(t *testing.T, s *stage) {
		client, leg := s.enter(t, s.path())
		ping := leg.Bytes(testkit.Ping(strings.Repeat("p", ws.MaxControl)))
		pings := bytes.Repeat(ping, flood/len(ping))
		wantCheap(t, "what waits is bounded, however much is sent", flood/2, func() {
			poured := pour(leg, pings)
			if s.mode == balance {
				s.WantLog(t, "the session ends by timeouts.write", "session close", "the client does not read")
			}
			<-poured // by a source: all was read, or timeouts.write has ended it
			client.Close()
			leg.Close()
		})
	})
}

// A client whose instance is lost is answered its pings until it is told. One that
// does not read its pongs gets no more of them.
func TestPingFloodAfterALoss(t *testing.T) {
	const flood = 32 << 20          // bytes
	for _, tr := range transports { // one after the other: memory is measured
		t.Run(string(tr), func(t *testing.T) {
			in := testkit.Listen(t)
			a := testkit.Start(t, tr, testkit.Config{Upstreams: []string{in.URL()}, Failover: "spread: 1h",
				Timeouts: "write: 1s, close: 200ms", Limits: "pings_per_second: 0"}.String())
			client, leg := testkit.Open(t, a, in)
			leg.CloseWrite()
			leg.WantEOF("the loss is noticed")
			ping := client.Bytes(testkit.Ping(strings.Repeat("p", ws.MaxControl)))
			pings := bytes.Repeat(ping, flood/len(ping))
			wantCheap(t, "what waits is bounded, however much is sent", flood/2, func() {
				poured := pour(client, pings)
				<-poured // all was read, or timeouts.write has ended the session
				client.Close()
			})
		})
	}
}

// Empty fragments count for nothing and cost nothing.
func TestEmptyFragmentFloods(t *testing.T) {
	const flood = 200_000
	everywhere(t, settings{}, func(t *testing.T, s *stage) {
		for _, r := range roles(s.mode) {
			client, leg := s.enter(t, s.path())
			hostile, other := hostileOf(r, client, leg)
			frames := append(hostile.Bytes(testkit.Begin("a")), bytes.Repeat(hostile.Bytes(testkit.Go("")), flood)...)
			frames = append(frames, hostile.Bytes(testkit.End("b"))...)
			wantCheap(t, r.String(), 24<<20, func() {
				poured := pour(hostile, frames)
				if s.mode != balance {
					other.Want("a message of two bytes", testkit.Text("ab"))
				} else {
					other.Want("the message begins", testkit.Begin("a"))
					other.WantBytes("and goes on as it came", string(frames[len(hostile.Bytes(testkit.Begin("a"))):]))
				}
				<-poured
			})
			s.end(client, leg)
		}
	})
}

// A message in endless fragments is bounded by message_size.
func TestEndlessFragments(t *testing.T) {
	everywhere(t, settings{}, func(t *testing.T, s *stage) {
		for _, r := range roles(s.mode) {
			client, leg := s.enter(t, s.path())
			hostile, other := hostileOf(r, client, leg)
			begin, one := hostile.Bytes(testkit.Begin("x")), hostile.Bytes(testkit.Go("x"))
			wantCheap(t, r.String(), 24<<20, func() {
				poured := pour(hostile, append(begin, bytes.Repeat(one, 1<<20)...))
				if s.mode == balance {
					other.Want("the message begins", testkit.Begin("x"))
					for range mostMessage - 1 {
						other.Want("and goes on up to the limit", testkit.Go("x"))
					}
				}
				s.told(t, r, &violation{code: 1009}, client, leg)
				<-poured
			})
		}
	})
}

// A bomb is inflated no further than message_size, where messages are read;
// where they are not it passes as it came, and is not inflated at all.
func TestDeflateBombs(t *testing.T) {
	bomb := testkit.Frame{Op: ws.Binary, RSV: ws.RSV1, Payload: (&testkit.Deflater{}).Payload(strings.Repeat("\x00", 32<<20))}
	everywhere(t, settings{most: 64 << 10}, func(t *testing.T, s *stage) {
		for _, r := range roles(s.mode) {
			if r == workers {
				continue // it is not asked for compression
			}
			client, leg := s.enter(t, s.path(), deflateLine)
			client.Deflate()
			leg.Deflate()
			hostile, other := hostileOf(r, client, leg)
			wantCheap(t, r.String(), 4<<20, func() {
				hostile.Send(bomb)
				if s.mode != balance {
					s.told(t, r, &violation{code: 1009}, client, leg)
				} else {
					other.Want("it passes as it came", bomb)
					s.end(client, leg)
				}
			})
		}
	})
}
