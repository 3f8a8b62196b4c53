package ws

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex reads bytes written as "81 05", for tables that look like the wire.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("the test's own bytes %q: %v", s, err)
	}
	return b
}

var key = [4]byte{0x37, 0xfa, 0x21, 0x3d} // the RFC's own example, section 5.7

// headers are one of each form that a header has, with its bytes.
var headers = []struct {
	name string
	h    Header
	wire string
}{
	{"an empty text frame", Header{Fin: true, Opcode: Text}, "81 00"},
	{"a fragment", Header{Opcode: Binary, Length: 1}, "02 01"},
	{"a continuation", Header{Fin: true, Opcode: Continuation, Length: 2}, "80 02"},
	{"a compressed message", Header{Fin: true, Opcode: Text, RSV: RSV1, Length: 7}, "c1 07"},
	{"all reserved bits", Header{Opcode: Text, RSV: rsvBits, Length: 7}, "71 07"},
	{"a ping", Header{Fin: true, Opcode: Ping, Length: 5}, "89 05"},
	{"a masked pong", Header{Fin: true, Opcode: Pong, Length: 5, Masked: true, Key: key}, "8a 85 37fa213d"},
	{"the most that seven bits hold", Header{Fin: true, Opcode: Binary, Length: 125}, "82 7d"},
	{"the least for two bytes", Header{Fin: true, Opcode: Binary, Length: 126}, "82 7e 007e"},
	{"the RFC's 256 bytes", Header{Fin: true, Opcode: Binary, Length: 256}, "82 7e 0100"},
	{"the most for two bytes, masked", Header{Fin: true, Opcode: Binary, Length: 0xFFFF, Masked: true, Key: key}, "82 fe ffff 37fa213d"},
	{"the least for eight bytes", Header{Fin: true, Opcode: Binary, Length: 0x10000}, "82 7f 0000000000010000"},
	{"the most there is, masked", Header{Fin: true, Opcode: Binary, Length: 1<<63 - 1, Masked: true, Key: key}, "82 ff 7fffffffffffffff 37fa213d"},
}

func TestHeader(t *testing.T) {
	for _, c := range headers {
		t.Run(c.name, func(t *testing.T) {
			wire := unhex(t, c.wire)
			if got := AppendHeader([]byte("before"), c.h); !bytes.Equal(got, append([]byte("before"), wire...)) {
				t.Errorf("it is written % x, want % x behind what was there", got[6:], wire)
			}
			h, n := readHeader(append(bytes.Clone(wire), "payload"...))
			if h != c.h || n != len(wire) {
				t.Errorf("it is read as %+v of %d bytes, want %+v of %d", h, n, c.h, len(wire))
			}
			for cut := range wire {
				if _, n := readHeader(wire[:cut]); n != 0 {
					t.Errorf("%d bytes of its %d are taken as a whole header of %d", cut, len(wire), n)
				}
			}
			if len(wire) > MaxHeader {
				t.Errorf("it takes %d bytes, more than MaxHeader", len(wire))
			}
		})
	}
}

func TestAppendFrame(t *testing.T) {
	hello := []byte("Hello")
	for _, c := range []struct {
		name string
		h    Header
		want string
	}{
		{"the RFC's unmasked text", Header{Fin: true, Opcode: Text}, "81 05 48656c6c6f"},
		{"the RFC's masked text", Header{Fin: true, Opcode: Text, Masked: true, Key: key}, "81 85 37fa213d 7f9f4d5158"},
		{"a key without the mask bit masks nothing", Header{Fin: true, Opcode: Text, Key: key}, "81 05 48656c6c6f"},
		{"the length is the payload's own", Header{Fin: true, Opcode: Text, Length: 99}, "81 05 48656c6c6f"},
	} {
		if got := AppendFrame(nil, c.h, hello); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: got % x, want %s", c.name, got, c.want)
		}
	}
	if string(hello) != "Hello" {
		t.Errorf("the caller's payload became %q: it must not be masked in place", hello)
	}
}

func TestControlOpcodes(t *testing.T) {
	for o := range Opcode(16) {
		if got, want := o.Control(), o >= 8; got != want {
			t.Errorf("opcode %x: control is %v, want %v", o, got, want)
		}
		if got, want := o.known(), strings.ContainsRune("0 1 2 8 9 a", rune("0123456789abcdef"[o])); got != want {
			t.Errorf("opcode %x: known is %v, want %v", o, got, want)
		}
	}
}
