//go:build !race

package gather

import (
	"testing"
	"time"
	"unsafe"
)

// exchange gives what happens to a message that is asked and answered, behind a
// hundred others that wait.
func exchange(r Rules) func() {
	r.Messages, r.Bytes, r.Timeout = 1024, 4<<20, 2*time.Second
	b := &Book{Rules: &r, Owner: nobody{}}
	id := []byte("n1000000")
	ask := func(key uint64) *Entry {
		e := b.Enter(key, id, "1000000", time.Second)
		b.Sent(e, 1, "ws://10.0.0.1:9000")
		if r.Policy == First {
			b.Sent(e, 2, "ws://10.0.0.2:9000")
		}
		b.About(e, key%20)
		return e
	}
	for key := range uint64(100) {
		ask(key)
	}
	key := uint64(100)
	return func() {
		key++
		ask(key)
		b.Answered(1, key, id, id)
		if r.Policy == First {
			b.Answered(2, key, id, id)
		}
	}
}

func TestAnExchangeAllocatesNothing(t *testing.T) {
	for _, p := range []Policy{Interleave, First} {
		f := exchange(Rules{Policy: p})
		for range 1000 {
			f() // the maps and the entries are there
		}
		if n := testing.AllocsPerRun(10_000, f); n != 0 {
			t.Errorf("policy %d: %v allocations for a message and its answers", p, n)
		}
	}
}

// What a message that waits takes beside its id, in bytes.
const entryBudget = 304

func TestAnEntryIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Entry{}); n > entryBudget {
		t.Errorf("an entry takes %d bytes, %d are allowed", n, entryBudget)
	}
}

func BenchmarkExchange(b *testing.B) {
	for name, p := range map[string]Policy{"interleave": Interleave, "first": First} {
		b.Run(name, func(b *testing.B) {
			f := exchange(Rules{Policy: p})
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
