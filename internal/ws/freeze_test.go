package ws

import (
	"bytes"
	"encoding"
	"slices"
	"testing"
)

var _ interface {
	encoding.BinaryAppender
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
} = (*Parser)(nil)

// thaw writes a parser down and gives one that was read from that.
func thaw(t *testing.T, ps *Parser) (again Parser) {
	t.Helper()
	b, err := ps.MarshalBinary()
	if err == nil {
		again.Masked = !ps.Masked // it is overwritten
		err = again.UnmarshalBinary(b)
	}
	if err != nil || again != *ps {
		t.Fatalf("%+v is written % x and read as %+v, %v", *ps, b, again, err)
	}
	return again
}

// TestFrozenAfterEveryByte: a parser that was written down goes on as the one
// that was not.
func TestFrozenAfterEveryByte(t *testing.T) {
	streams := map[string]Parser{
		"0103 48656c 8901 21 8002 6c6f 8200 8a00 8802 03e8":           {},
		"c185 37fa213d 7f9f4d5158 8980 37fa213d 0283 00000000 616263": {Masked: true, Deflate: true},
	}
	for hex, ps := range streams {
		stream := unhex(t, hex)
		for n := range len(stream) + 1 {
			first, at := ps, 0
			for {
				piece, err := first.Next(stream[at:n])
				if err != nil {
					t.Fatal(err)
				}
				if piece.Kind == More {
					break
				}
				at += piece.N
			}
			second := thaw(t, &first)
			want, _ := walk(first, stream[at:])
			if got, _ := walk(second, stream[at:]); !slices.Equal(got, want) {
				t.Errorf("frozen behind %d bytes of %s it reads %q, want %q", n, hex, got, want)
			}
		}
	}
}

// frozenAfter gives a parser that has read a stream, written down.
func frozenAfter(t fataler, ps Parser, stream []byte) []byte {
	for {
		piece, err := ps.Next(stream)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if piece.Kind == More {
			b, _ := ps.MarshalBinary()
			return b
		}
		stream = stream[piece.N:]
	}
}

func TestWhatWasNoParser(t *testing.T) {
	good := frozenAfter(t, Parser{Masked: true}, unhex(t, "0183 37fa213d 7f"))
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                           nil,
		"too short":                         good[:len(good)-1],
		"too long":                          append(bytes.Clone(good), 0),
		"another version":                   change(0, 2),
		"an unknown flag":                   change(1, good[1]|0x80),
		"the end and the middle at once":    change(1, good[1]|frozenMessageFin),
		"an opcode that is reserved":        change(2, 3),
		"a bit that was not negotiated":     change(3, RSV1),
		"the frame's key is another":        change(8, 0),
		"more to come than its header says": change(35, 9),
		"a length with its top bit set":     change(12, 0x80),
		"a sum that overflows":              change(28, 0xFF),
	} {
		ps := Parser{Masked: true}
		if err := ps.UnmarshalBinary(b); err == nil || ps != (Parser{Masked: true}) {
			t.Errorf("%s: it is taken for %+v, %v", name, ps, err)
		}
	}
}

// FuzzFrozen: bad input is an error; good input is written the same, and the
// parser that comes of it panics at nothing.
func FuzzFrozen(f *testing.F) {
	f.Add(frozenAfter(f, Parser{}, nil), []byte{0x81, 0})
	f.Add(frozenAfter(f, Parser{Masked: true}, unhex(f, "0183 37fa213d 7f")), unhex(f, "9f4d 8080 37fa213d"))
	f.Add(frozenAfter(f, Parser{Deflate: true}, unhex(f, "4103 48656c 8901 21")), unhex(f, "8002 6c6f"))
	f.Add(bytes.Repeat([]byte{0xFF}, frozenSize), []byte{})
	f.Fuzz(func(t *testing.T, b, stream []byte) {
		var ps Parser
		if ps.UnmarshalBinary(b) != nil {
			return
		}
		if again, err := ps.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("% x is read as %+v and written % x, %v", b, ps, again, err)
		}
		walk(ps, stream)
		thaw(t, &ps)
	})
}
