//go:build !race && !streamonly

package fanout

import (
	"io"
	"strings"
	"testing"
	"unsafe"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A subscriber's budget, in bytes; engine.md has the reason.
const subscriberMost = 320

func TestASubscriberIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(subscriber{}); n > subscriberMost {
		t.Errorf("a subscriber takes %d bytes, over %d: what few have, or not for long, belongs to the aside", n, subscriberMost)
	}
}

func TestADeliveryAllocatesNothing(t *testing.T) {
	for slow, most := range map[config.Slow]float64{
		{Policy: "close", After: config.Lag{Bytes: 4 << 20}}: 0,
		// The key's text, once a message.
		{Policy: "latest", Key: "k", After: config.Lag{Bytes: 4 << 20}, Notice: latestNotice}: 1,
	} {
		h := newHall(t, slow, config.History{Messages: 100, Bytes: 1 << 20})
		var clients []io.Reader
		for range 3 {
			c, _ := h.seat(plain, (*log).live)
			clients = append(clients, c)
		}
		payload := quote(0, "K", 100)
		head := ws.AppendHeader(nil, ws.Header{Fin: true, Opcode: ws.Text, Length: uint64(len(payload))})
		got := make([]byte, len(head)+len(payload))
		publish := task(func() { h.stream.append(head, payload); h.stream.publish() })
		n := testing.AllocsPerRun(300, func() {
			h.run(publish)
			for _, c := range clients {
				if _, err := io.ReadFull(c, got); err != nil {
					t.Fatal(err)
				}
			}
		})
		if n > most {
			t.Errorf("%s: %v allocations for a message to %d clients", slow.Policy, n, len(clients))
		}
	}
}

// What a socket does not take at once costs nothing either: the cursor is all
// that is known of it.
func TestAStalledDeliveryAllocatesNothing(t *testing.T) {
	h := newHall(t, config.Slow{Policy: "close", After: config.Lag{Bytes: 4 << 20}}, config.History{Messages: 1000, Bytes: 1 << 20})
	h.say([]byte(strings.Repeat("x", 300_000)), []byte("short"), []byte(strings.Repeat("y", 50_000)))
	client, s := h.seat(plain, (*log).live)
	total := int(h.stream.plain.live().bytes())
	got := make([]byte, 3000)
	again := task(func() {
		if s.seat != writable || s.has(flagInside) {
			t.Error("the client should have caught up")
		}
		s.at = h.stream.plain.start()
		s.flush()
	})
	stalled := false
	look := task(func() { stalled = stalled || s.full() })
	n := testing.AllocsPerRun(20, func() {
		h.run(again)
		h.run(look)
		for left := total; left > 0; {
			n, err := client.Read(got[:min(left, len(got))])
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
		h.run(look) // behind what the loop hears of it
	})
	if n != 0 || !stalled {
		t.Errorf("%v allocations for %d bytes to a client that stalls: %v", n, total, stalled)
	}
}
