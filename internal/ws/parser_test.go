package ws

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// walk shows a stream to a parser in those pieces and writes down what it says,
// a line for each frame. What is not taken is shown again in front of the next
// piece.
func walk(ps Parser, pieces ...[]byte) (lines []string, end *Violation) {
	var held, data []byte
	for _, p := range pieces {
		held = append(held, p...)
		for {
			piece, err := ps.Next(held)
			if err != nil {
				return lines, err.(*Violation)
			}
			if piece.Kind == More {
				if piece != (Piece{}) {
					lines = append(lines, fmt.Sprintf("More with %+v", piece))
				}
				break
			}
			body := bytes.Clone(held[piece.Head:piece.N])
			held = held[piece.N:]
			if piece.Kind == Control {
				if ps.Header.Masked {
					Mask(body, ps.Header.Key, 0)
				}
				lines = append(lines, frameLine(&ps.Header, "", body))
				continue
			}
			ps.Unmask(body)
			if data = append(data, body...); piece.End {
				lines = append(lines, frameLine(&ps.Header, ending(&ps), data))
				data = nil
			}
		}
	}
	lines = append(lines, fmt.Sprintf("held %d, in frame %v with %q, in message %v", len(held), ps.InFrame(), data, ps.InMessage()))
	return lines, nil
}

func ending(ps *Parser) string {
	switch {
	case !ps.MessageEnd():
		return " and more"
	case ps.Header.RSV != 0:
		return " deflated"
	}
	return ""
}

func frameLine(h *Header, note string, body []byte) string {
	names := map[Opcode]string{Continuation: "continuation", Text: "text", Binary: "binary", CloseFrame: "close", Ping: "ping", Pong: "pong"}
	return fmt.Sprintf("%s%s %q", names[h.Opcode], note, body)
}

// byteByByte cuts a stream into its bytes.
func byteByByte(p []byte) [][]byte { return slices.Collect(slices.Chunk(p, 1)) }

func TestParser(t *testing.T) {
	const idle = `held 0, in frame false with "", in message false`
	for _, c := range []struct {
		name   string
		ps     Parser
		stream string
		want   []string
	}{
		{"a server's text", Parser{}, "8105 48656c6c6f", []string{`text "Hello"`, idle}},
		{"a client's text, unmasked for reading", Parser{Masked: true}, "8185 37fa213d 7f9f4d5158", []string{`text "Hello"`, idle}},
		{"an empty message", Parser{}, "8200", []string{`binary ""`, idle}},
		{"a ping between two fragments", Parser{}, "0103 48656c 8901 21 8002 6c6f",
			[]string{`text and more "Hel"`, `ping "!"`, `continuation "lo"`, idle}},
		{"empty fragments", Parser{}, "0100 0000 8000", []string{`text and more ""`, `continuation and more ""`, `continuation ""`, idle}},
		{"RSV1 where deflate was negotiated", Parser{Deflate: true}, "c103 f24800", []string{`text deflated "\xf2H\x00"`, idle}},
		{"RSV1 begins a fragmented message and is not repeated", Parser{Deflate: true}, "4101 f2 8002 4800",
			[]string{`text and more "\xf2"`, `continuation "H\x00"`, idle}},
		{"a header in part", Parser{}, "827e 00", []string{`held 3, in frame false with "", in message false`}},
		{"a payload in part", Parser{}, "8205 4865", []string{`held 0, in frame true with "He", in message true`}},
		{"between fragments no frame is under way", Parser{}, "0103 48656c", []string{`text and more "Hel"`, `held 0, in frame false with "", in message true`}},
		{"a control frame is taken whole or not at all", Parser{}, "8905 4865", []string{`held 4, in frame false with "", in message false`}},
		{"a control frame in part leaves the message as it was", Parser{}, "0100 8905 4865",
			[]string{`text and more ""`, `held 4, in frame false with "", in message true`}},
		{"after a close there is what there is", Parser{}, "8802 03e8 8100", []string{`close "\x03\xe8"`, `text ""`, idle}},
		{"the longest length, nothing set aside for it", Parser{}, "827f 7fffffffffffffff 48",
			[]string{`held 0, in frame true with "H", in message true`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, pieces := range map[string][][]byte{"in one piece": {unhex(t, c.stream)}, "byte by byte": byteByByte(unhex(t, c.stream))} {
				got, v := walk(c.ps, pieces...)
				if v != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s:\n%s\n%v\nwant\n%s", how, strings.Join(got, "\n"), v, strings.Join(c.want, "\n"))
				}
			}
		})
	}
}

// violations are the rules of RFC 6455, section 5 and how each is broken.
var violations = []struct {
	name   string
	ps     Parser
	stream string
	want   *Violation
}{
	{"a client's text without a mask", Parser{Masked: true}, "8105 48656c6c6f", errUnmasked},
	{"a client's ping without a mask", Parser{Masked: true}, "8900", errUnmasked},
	{"a server's text with a mask", Parser{}, "8185 37fa213d 7f9f4d5158", errMasked},
	{"a server's close with a mask", Parser{}, "8882 37fa213d 3412", errMasked},
	{"RSV1 without deflate", Parser{}, "c100", errReservedBits},
	{"RSV2", Parser{Deflate: true}, "a100", errReservedBits},
	{"RSV3", Parser{Deflate: true}, "9100", errReservedBits},
	{"RSV1 and RSV2", Parser{Deflate: true}, "e100", errReservedBits},
	{"RSV1 on a continuation, with deflate", Parser{Deflate: true}, "0100 c000", errReservedBits},
	{"RSV1 on a ping, with deflate", Parser{Deflate: true}, "c900", errReservedBits},
	{"opcode 3", Parser{}, "8300", errOpcode},
	{"opcode 7", Parser{}, "8700", errOpcode},
	{"opcode 11", Parser{}, "8b00", errOpcode},
	{"opcode 15", Parser{}, "8f00", errOpcode},
	{"a ping in fragments", Parser{}, "0900", errFragControl},
	{"a close in fragments", Parser{}, "0800", errFragControl},
	{"a ping of 126 bytes", Parser{}, "897e 007e", errLongControl},
	{"a close of 64 KiB", Parser{}, "887f 0000000000010000", errLongControl},
	{"a continuation of nothing", Parser{}, "8000", errNoMessage},
	{"a continuation after a whole message", Parser{}, "8100 8000", errNoMessage},
	{"a continuation after its message's end", Parser{}, "0100 8000 8000", errNoMessage},
	{"text inside a message", Parser{}, "0100 8100", errInterleaved},
	{"binary inside a message, behind a ping", Parser{}, "0100 8900 8200", errInterleaved},
	{"a length with its top bit set", Parser{}, "827f 8000000000000000", errLength},
	{"a length of all ones", Parser{}, "827f ffffffffffffffff", errLength},
	{"125 in two bytes", Parser{}, "827e 007d", errMinimal},
	{"125 in two bytes, masked", Parser{Masked: true}, "82fe 007d 37fa213d", errMinimal},
	{"65535 in eight bytes", Parser{}, "827f 000000000000ffff", errMinimal},
	{"0 in eight bytes, masked", Parser{Masked: true}, "81ff 0000000000000000 37fa213d", errMinimal},
}

func TestViolations(t *testing.T) {
	for _, c := range violations {
		t.Run(c.name, func(t *testing.T) {
			stream := unhex(t, c.stream)
			for how, pieces := range map[string][][]byte{"in one piece": {stream}, "byte by byte": byteByByte(stream)} {
				lines, v := walk(c.ps, pieces...)
				if v != c.want {
					t.Errorf("%s: got %v behind\n%s\nwant %v", how, v, strings.Join(lines, "\n"), c.want)
				}
			}
			if c.want.Code != CodeProtocolError || c.want.Section == "" {
				t.Errorf("%+v: want 1002 and the clause", c.want)
			}
		})
	}
}

// TestViolationIsSeenEarly: a violation is told as soon as its byte is there,
// so a peer that stalls behind it gains nothing.
func TestViolationIsSeenEarly(t *testing.T) {
	for stream, want := range map[string]*Violation{
		"83": errOpcode, "c1": errReservedBits, "09": errFragControl, "80": errNoMessage,
		"8185": errMasked, "897e": errLongControl,
	} {
		if _, v := walk(Parser{}, unhex(t, stream)); v != want {
			t.Errorf("after %s alone: got %v, want %v", stream, v, want)
		}
	}
}

// TestTwoViolations: a header that breaks two rules is told the same however
// the stream is cut.
func TestTwoViolations(t *testing.T) {
	for _, c := range []struct {
		name   string
		ps     Parser
		stream string
	}{
		{"an unmasked continuation of nothing", Parser{Masked: true}, "8000"},
		{"an unmasked ping in fragments", Parser{Masked: true}, "0900"},
		{"a masked ping in fragments from a server", Parser{}, "0980 37fa213d"},
		{"a masked ping of 126 bytes from a server", Parser{}, "89fe 007e 37fa213d"},
		{"a reserved opcode with reserved bits", Parser{}, "f300"},
		{"a ping of one byte with its length in two", Parser{}, "897e 0001"},
		{"a close of two bytes with its length in eight", Parser{}, "887f 0000000000000002"},
	} {
		_, whole := walk(c.ps, unhex(t, c.stream))
		_, cut := walk(c.ps, byteByByte(unhex(t, c.stream))...)
		if whole != cut {
			t.Errorf("%s: in one piece %q, byte by byte %q", c.name, whole.Error(), cut.Error())
		}
	}
}

// TestUnmaskPastFourGiB: the mask's phase survives the 32 bits of its counter.
func TestUnmaskPastFourGiB(t *testing.T) {
	ps := Parser{Masked: true, Header: Header{Masked: true, Key: key}, key: key, remaining: 1 << 33, pos: 1<<32 - 3}
	p := counting(8)
	piece, err := ps.Next(p)
	if err != nil || piece.N != 8 {
		t.Fatalf("got %+v, %v", piece, err)
	}
	want := counting(8)
	maskByByte(want, key, 1<<32-3)
	if ps.Unmask(p); !bytes.Equal(p, want) {
		t.Errorf("got % x, want % x", p, want)
	}
}

// TestParserAllocatesNothing: not for data, control frames or violations.
func TestParserAllocatesNothing(t *testing.T) {
	stream := AppendFrame(nil, Header{Fin: true, Opcode: Text, Masked: true, Key: key}, counting(300))
	stream = AppendFrame(stream, Header{Fin: true, Opcode: Ping, Masked: true, Key: key}, counting(8))
	bad := unhex(t, "8300")
	got := testing.AllocsPerRun(100, func() {
		ps := Parser{Masked: true}
		for at := 0; at < len(stream); {
			piece, err := ps.Next(stream[at:min(at+100, len(stream))])
			if err != nil || piece.N == 0 {
				t.Fatalf("at %d: %+v, %v", at, piece, err)
			}
			at += piece.N
		}
		if _, err := ps.Next(bad); err == nil {
			t.Fatal("a reserved opcode passes")
		}
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

func BenchmarkParser(b *testing.B) {
	for _, n := range []int{0, 100, 1 << 10} {
		for _, masked := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dB masked=%v", n, masked), func(b *testing.B) {
				frame := AppendFrame(nil, Header{Fin: true, Opcode: Binary, Masked: masked, Key: key}, counting(n))
				stream := bytes.Repeat(frame, 64)
				ps := Parser{Masked: masked}
				b.ReportAllocs()
				for b.Loop() {
					for at := 0; at < len(stream); {
						piece, _ := ps.Next(stream[at:])
						at += piece.N
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/frame")
			})
		}
	}
}
