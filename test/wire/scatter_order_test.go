package wire_test

import (
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// Messages about a key keep their order and stay together while their leg is lost
// again and again; each is answered once.
func TestScatterOrderThroughLosses(t *testing.T) {
	const total, keys, done = 600, 12, -1
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 4, testkit.Scatter{Scatter: "send: {hash: k}, gather: {id: id, timeout: 20s, unsolicited: drop}, on_lost: resend"})
		client, _ := f.Enter(t, a)
		var all []byte
		for n := range total {
			all = append(all, client.Bytes(keyed(n, n%keys))...)
		}
		client.SendBytes(all)
		answers := map[string]int{}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for range total {
				m, _ := client.Next()
				answers[m.Payload]++
			}
			_ = client.TrySend(client.Bytes(keyed(done, 0)))
		}()
		last, gone, heard := map[*testkit.Peer]map[int]int{}, map[*testkit.Peer]bool{}, 0
		for {
			h := f.Message(t, "messages come until all are answered")
			n, key := numbers(t, h.Frame)
			if n == done {
				break
			}
			if last[h.Leg] == nil {
				last[h.Leg] = map[int]int{}
			}
			if before, some := last[h.Leg][key]; some && n <= before {
				t.Errorf("key %d: number %d came behind %d", key, n, before)
			}
			last[h.Leg][key] = n
			if heard++; heard%100 == 50 && heard < 300 && !gone[h.Leg] {
				h.Leg.Reset()
				gone[h.Leg] = true
			}
			_ = h.Leg.TrySend(h.Leg.Bytes(h.Frame))
		}
		<-read
		for n := range total {
			if got := answers[keyed(n, n%keys).Payload]; got != 1 {
				t.Errorf("number %d wants one answer, got %d", n, got)
			}
		}
	})
}

// What waits for a leg that comes to nothing goes on to one instance a key, in
// order, whether it has an id or not.
func TestScatterOrderWithoutIDs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, gather := range []string{"", ", gather: {id: none, timeout: 0s}", ", gather: {id: odd, timeout: 0s}"} {
			f, a := scattering(t, tr, 5, testkit.Scatter{Scatter: "send: {hash: k}" + gather})
			client, home := f.Enter(t, a)
			f.Instances[(home.At+1)%5].Close()
			f.Instances[(home.At+2)%5].Close()
			const keys = 20
			for n := range 3 * keys {
				if m := keyed(n, n%keys); n/keys == 1 {
					client.Send(testkit.Text(fmt.Sprintf(`{"id":%d,"k":%d,"odd":%d}`, n, n%keys, n)))
				} else {
					client.Send(m)
				}
			}
			last, where := map[int]int{}, map[int]int{}
			for range 3 * keys {
				h := f.Message(t, "each arrives")
				n, key := numbers(t, h.Frame)
				if n < last[key] {
					t.Errorf("key %d: number %d came behind %d", key, n, last[key])
				}
				if at, known := where[key]; known && at != h.At {
					t.Errorf("key %d wants one instance, came to %d and %d", key, at, h.At)
				}
				last[key], where[key] = n, h.At
			}
		}
	})
}
