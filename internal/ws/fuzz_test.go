package ws

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// cut cuts a stream into pieces of so many bytes each, and the rest.
func cut(stream, sizes []byte) (pieces [][]byte) {
	for _, n := range sizes {
		k := min(int(n), len(stream))
		pieces = append(pieces, stream[:k])
		stream = stream[k:]
	}
	return append(pieces, stream)
}

// fataler is what a fuzz target and a property have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// wantSame holds the parser's promise: any cut of a stream gives the same
// frames, and ends them with a violation at the same one. Which of two rules a
// header breaks is told is TestTwoViolations' matter.
func wantSame(t fataler, ps Parser, stream []byte, pieces [][]byte) {
	t.Helper()
	before := bytes.Clone(stream)
	whole, v := walk(ps, stream)
	got, w := walk(ps, pieces...)
	if !bytes.Equal(stream, before) {
		t.Fatalf("the stream was changed")
	}
	if !slices.Equal(whole, got) || (v == nil) != (w == nil) || v != nil && v.Code != w.Code {
		t.Fatalf("in one piece:\n%s\n%v\nin %d:\n%s\n%v", strings.Join(whole, "\n"), v, len(pieces), strings.Join(got, "\n"), w)
	}
}

// FuzzParser: no bytes make it panic, and any cut gives the same.
func FuzzParser(f *testing.F) {
	for _, c := range violations {
		f.Add(unhex(f, c.stream), []byte{1, 1, 2}, c.ps.Masked, c.ps.Deflate)
	}
	f.Add(unhex(f, "0103 48656c 8901 21 8002 6c6f 8802 03e8"), []byte{3, 0, 4, 1}, false, false)
	f.Add(unhex(f, "c185 37fa213d 7f9f4d5158 8980 37fa213d 82fe 0080 37fa213d 00"), []byte{7, 2}, true, true)
	f.Fuzz(func(t *testing.T, stream, sizes []byte, masked, deflate bool) {
		ps := Parser{Masked: masked, Deflate: deflate}
		wantSame(t, ps, stream, cut(stream, sizes))
		wantSame(t, ps, stream, byteByByte(stream))
	})
}

// TestChunks draws streams that keep the rules, which random bytes seldom do,
// and cuts them.
func TestChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := Parser{Masked: rapid.Bool().Draw(t, "masked"), Deflate: rapid.Bool().Draw(t, "deflate")}
		var stream []byte
		frames := 0
		for range rapid.IntRange(0, 4).Draw(t, "messages") {
			opcode := rapid.SampledFrom([]Opcode{Text, Binary}).Draw(t, "opcode")
			fragments := rapid.IntRange(1, 3).Draw(t, "fragments")
			for k := range fragments {
				if rapid.Bool().Draw(t, "ping") {
					stream = drawFrame(t, stream, ps, Header{Fin: true, Opcode: Ping}, MaxControl)
					frames++
				}
				h := Header{Opcode: opcode, Fin: k == fragments-1}
				if ps.Deflate && k == 0 {
					h.RSV = RSV1
				}
				stream = drawFrame(t, stream, ps, h, 300)
				frames++
				opcode = Continuation
			}
		}
		lines, v := walk(ps, stream)
		if v != nil || len(lines) != frames+1 {
			t.Fatalf("%d good frames are read as\n%s\n%v", frames, strings.Join(lines, "\n"), v)
		}
		wantSame(t, ps, stream, cut(stream, rapid.SliceOf(rapid.Byte()).Draw(t, "sizes")))
		wantSame(t, ps, stream, byteByByte(stream))
	})
}

// drawFrame appends a frame with a payload of at most that many bytes.
func drawFrame(t *rapid.T, stream []byte, ps Parser, h Header, most int) []byte {
	h.Masked = ps.Masked
	h.Key = [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "key"))
	return AppendFrame(stream, h, counting(rapid.IntRange(0, most).Draw(t, "length")))
}

// FuzzHeader: what is written is read again; what is read in its shortest form
// is written the same.
func FuzzHeader(f *testing.F) {
	for _, c := range headers {
		f.Add(unhex(f, c.wire))
	}
	f.Add(unhex(f, "827e 0001"))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, n := readHeader(p)
		if n == 0 {
			return
		}
		wire := AppendHeader(nil, h)
		if again, m := readHeader(wire); again != h || m != len(wire) {
			t.Fatalf("%+v is written % x and read as %+v of %d bytes", h, wire, again, m)
		}
		if minimal(&h, n) != bytes.Equal(wire, p[:n]) {
			t.Fatalf("% x is minimal: %v, and is written % x", p[:n], minimal(&h, n), wire)
		}
	})
}
