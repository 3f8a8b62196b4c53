package ws

import (
	"bytes"
	"fmt"
	"testing"
)

// maskByByte is RFC 6455, section 5.3 to the letter.
func maskByByte(p []byte, key [4]byte, pos int) {
	for i := range p {
		p[i] ^= key[(pos+i)%4]
	}
}

// counting gives n different-looking bytes.
func counting(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

func TestMask(t *testing.T) {
	for n := range 140 { // past four rounds of the longest step
		for pos := range 9 {
			for align := range 8 { // where the bytes lie in memory
				got := counting(align + n)[align:]
				want := bytes.Clone(got)
				Mask(got, key, pos)
				maskByByte(want, key, pos)
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes behind %d, off a word by %d:\ngot  % x\nwant % x", n, pos, align, got, want)
				}
			}
		}
	}
}

func TestMaskInPieces(t *testing.T) {
	whole := counting(100)
	Mask(whole, key, 0)
	for cut := range whole {
		p := counting(100)
		Mask(p[:cut], key, 0)
		Mask(p[cut:], key, cut)
		if !bytes.Equal(p, whole) {
			t.Errorf("cut at %d it comes out otherwise than in one go", cut)
		}
	}
}

func TestMaskTwice(t *testing.T) {
	p := counting(77)
	Mask(p, key, 3)
	Mask(p, key, 3)
	if !bytes.Equal(p, counting(77)) {
		t.Error("masking twice does not give the bytes back")
	}
}

func TestMaskStaysInside(t *testing.T) {
	p := counting(64)
	Mask(p[8:41], key, 0)
	if want := counting(64); !bytes.Equal(p[:8], want[:8]) || !bytes.Equal(p[41:], want[41:]) {
		t.Error("bytes beside the slice were touched")
	}
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{8, 100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			p := counting(n)
			b.SetBytes(int64(n))
			for b.Loop() {
				Mask(p, key, 1)
			}
		})
	}
}
