package wire_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// troubled has instances answer all that they hear, in another order, now and then
// twice or not at all, and break off in every way that there is. It ends with the
// instance.
func troubled(t *testing.T, in *testkit.Instance, seed uint64, legs *sync.WaitGroup) {
	defer legs.Done()
	for {
		leg, err := in.Next(t)
		if err != nil {
			return
		}
		legs.Add(1)
		seed++
		go trouble(leg, rand.New(rand.NewPCG(seed, 1)), legs)
	}
}

func trouble(leg *testkit.Peer, rng *rand.Rand, legs *sync.WaitGroup) {
	defer legs.Done()
	defer leg.Close()
	h, err := leg.NextHead()
	switch {
	case err != nil:
		return
	case rng.IntN(10) == 0:
		_ = leg.TrySend([]byte("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"))
		return
	case leg.TrySend([]byte(testkit.Answer(h))) != nil:
		return
	}
	var held []testkit.Frame
	for {
		f, err := leg.Next()
		switch {
		case err != nil:
			return
		case f.Op == ws.CloseFrame:
			_ = leg.TrySend(leg.Bytes(f))
			return
		}
		switch fault := rng.IntN(1500); {
		case fault == 0:
			leg.Reset()
			return
		case fault == 1:
			_ = leg.TrySend([]byte("\x83\x00")) // a reserved opcode
			return
		case fault == 2:
			_ = leg.TrySend(leg.Bytes(testkit.Close(1012, "")))
			return
		case fault < 20: // never answered
		case fault < 40:
			_ = leg.TrySend(leg.Bytes(f, f))
		default:
			held = append(held, f)
		}
		for len(held) > rng.IntN(3) {
			k := rng.IntN(len(held))
			_ = leg.TrySend(leg.Bytes(held[k]))
			held = append(held[:k], held[k+1:]...)
		}
	}
}

// Whatever instances do, each request is answered once: by one of them, or in their
// place. Nothing is left over.
func TestScatterAnswersOnce(t *testing.T) {
	const asks = 1500
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, scatter := range []string{
			"send: round_robin, gather: {id: id, timeout: 200ms, unsolicited: drop, outstanding: {messages: 50}}",
			"send: {hash: k}, gather: {id: id, timeout: 200ms, unsolicited: drop}, on_lost: resend, max_legs: 2, leg_idle: 5ms",
			"send: least_load, gather: {policy: first, id: id, timeout: 200ms, hedge_after: 2ms, unsolicited: drop}",
			"send: least_load, gather: {policy: first, id: id, timeout: 200ms, hedge_after: 0s, unsolicited: drop}, on_lost: resend",
			"send: all, gather: {policy: collect, id: id, timeout: 100ms, unsolicited: drop}",
			"send: all, gather: {policy: first, id: id, timeout: 100ms, unsolicited: drop}",
		} {
			t.Run(scatter, func(t *testing.T) {
				var legs sync.WaitGroup
				var c testkit.Scatter
				for k := range 4 {
					in := testkit.Listen(t)
					c.Upstreams = append(c.Upstreams, in.URL())
					legs.Add(1)
					go troubled(t, in, uint64(k)*1000, &legs)
					defer in.Close()
				}
				c.Scatter = scatter
				a := testkit.Start(t, tr, c.String())
				client := a.Dial(t)
				client.SendString(testkit.Upgrade("/"))
				for client.Head("home may refuse").Status() != 101 {
					client = a.Dial(t)
					client.SendString(testkit.Upgrade("/"))
				}
				go func() {
					for n := range asks {
						if client.TrySend(client.Bytes(keyed(n, n%7))) != nil {
							return
						}
					}
				}()
				answers, over := map[int]int{}, false
				for len(answers) < asks && !over {
					f := client.Frame("answers come")
					if over = f.Op == ws.CloseFrame; over { // each instance broke off a moment ago
						break
					}
					var id int
					if _, err := fmt.Sscanf(f.Payload, `{"id":%d,`, &id); err != nil {
						t.Fatalf("want an answer, got %v", f)
					}
					if answers[id]++; answers[id] > 1 {
						t.Errorf("number %d is answered again: %v", id, f)
					}
				}
				client.Send(testkit.Close(1000, ""))
				if !over {
					if f := client.Frame("the end comes"); f.Op != ws.CloseFrame {
						t.Errorf("nothing wants to come but the end, got %v", f)
					}
				}
				client.WantGone("and then no more")
				client.Close()
				a.WantNoSessions(t, "nothing is left, and nothing awaited")
			})
		}
	})
}
