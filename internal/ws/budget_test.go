//go:build !race

package ws

import (
	"fmt"
	"runtime"
	"testing"
)

// orderBook is 1 KiB of market data.
func orderBook() []byte {
	b := []byte(`{"e":"depthUpdate","E":1732460000123,"s":"BTCUSDT","U":157,"u":160,"b":[`)
	for k := 0; len(b) < 1<<10; k++ {
		b = fmt.Appendf(b, `["%d.%02d","%d.%05d"],`, 61000-k, k*37%100, k%3, k*7919%100000)
	}
	b[len(b)-1] = ']'
	return append(b, '}')
}

func TestDeflateAllocatesNothing(t *testing.T) {
	var d Deflater
	m, b := orderBook(), make([]byte, 0, 4<<10)
	b = d.Append(b, m)
	if n := testing.AllocsPerRun(100, func() { b = d.Append(b[:0], m) }); n > 0 {
		t.Errorf("a message is compressed with %v allocations", n)
	}
}

func TestInflateAllocatesNothing(t *testing.T) {
	var d Deflater
	m, b := orderBook(), make([]byte, 0, 4<<10)
	p := d.Append(nil, m)
	for _, f := range []*Inflater{{}, {Takeover: true}} {
		inflate := func() {
			var err error
			if b, err = f.Append(b[:0], p, len(m)); err != nil {
				t.Fatal(err)
			}
		}
		inflate()
		if n := testing.AllocsPerRun(100, inflate); n > 0 {
			t.Errorf("a message is inflated with %v allocations, takeover %v", n, f.Takeover)
		}
	}
}

// TestBombTakesNoRoom: a message that would inflate to 1 GiB costs no more than
// it and its bound take.
func TestBombTakesNoRoom(t *testing.T) {
	p := bomb(t)
	const most = 64 << 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := new(Inflater).Append(nil, p, most); err != errInflated {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took, want := after.TotalAlloc-before.TotalAlloc, uint64(len(p)*5/4+4*most); took > want {
		t.Errorf("it took %d KiB, want %d", took>>10, want>>10)
	}
}

func BenchmarkDeflate(b *testing.B) {
	var d Deflater
	m := orderBook()
	var out []byte
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		out = d.Append(out[:0], m)
	}
	b.ReportMetric(float64(len(out))*100/float64(len(m)), "%size")
}

func BenchmarkInflate(b *testing.B) {
	var d Deflater
	m := orderBook()
	p := d.Append(nil, m)
	for _, takeover := range []bool{false, true} {
		b.Run(fmt.Sprintf("takeover=%v", takeover), func(b *testing.B) {
			f := Inflater{Takeover: takeover}
			var out []byte
			b.SetBytes(int64(len(m)))
			for b.Loop() {
				out, _ = f.Append(out[:0], p, len(m))
			}
		})
	}
}
