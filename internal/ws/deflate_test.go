package ws

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"pgregory.net/rapid"
)

// flusher is what both libraries' compressors are.
type flusher interface {
	io.Writer
	Flush() error
	Close() error
}

// deflated compresses messages as a peer that keeps its window does: one
// payload each, the last four bytes left out.
func deflated(t fataler, start func(io.Writer) flusher, messages ...[]byte) (payloads [][]byte) {
	t.Helper()
	var out bytes.Buffer
	w := start(&out)
	for _, m := range messages {
		out.Reset()
		w.Write(m)
		w.Flush()
		p, ok := bytes.CutSuffix(bytes.Clone(out.Bytes()), []byte(deflateTail))
		if !ok {
			t.Fatalf("the test's own compressor ends with % x", out.Bytes())
		}
		payloads = append(payloads, p)
	}
	return payloads
}

func klauspost(level int) func(io.Writer) flusher {
	return func(out io.Writer) flusher {
		w, err := flate.NewWriter(out, level)
		if err != nil {
			panic(err)
		}
		return w
	}
}

func standard(level int) func(io.Writer) flusher {
	return func(out io.Writer) flusher {
		w, err := stdflate.NewWriter(out, level)
		if err != nil {
			panic(err)
		}
		return w
	}
}

// finished compresses a message as one stream that ends with a final block.
func finished(message []byte) []byte {
	var out bytes.Buffer
	w := standard(9)(&out)
	w.Write(message)
	w.Close()
	return out.Bytes()
}

// wantInflated shows f a payload and wants the message behind what was there.
func wantInflated(t fataler, f *Inflater, payload, want []byte) {
	t.Helper()
	before := bytes.Clone(payload)
	got, err := f.Append([]byte("before"), payload, len(want))
	if err != nil || string(got) != "before"+string(want) {
		t.Fatalf("% .100x is inflated to %.100q, %v, want %.100q", payload, got, err, want)
	}
	if !bytes.Equal(payload, before) {
		t.Fatalf("the payload was changed")
	}
}

// wantViolation shows f a payload that breaks a rule.
func wantViolation(t fataler, f *Inflater, payload []byte, most int, code uint16) {
	t.Helper()
	got, err := f.Append([]byte("before"), payload, most)
	var v *Violation
	if !errors.As(err, &v) || v.Code != code || string(got) != "before" {
		t.Fatalf("% .100x is inflated to %.100q, %v, want nothing and code %d", payload, got, err, code)
	}
}

// TestInflate has the examples of RFC 7692, section 7.2.3, and what is like
// them.
func TestInflate(t *testing.T) {
	for _, c := range []struct {
		name     string
		takeover bool
		payloads []string // messages, one after the other
		want     []string
	}{
		{"7.2.3.1, a message in one block", false, []string{"f248cdc9c90700"}, []string{"Hello"}},
		{"7.2.3.2, the second message refers to the first", true, []string{"f248cdc9c90700", "f200110000"}, []string{"Hello", "Hello"}},
		{"7.2.3.2, the second message stands alone", true, []string{"f248cdc9c90700", "f248cdc9c90700"}, []string{"Hello", "Hello"}},
		{"7.2.3.2, without takeover", false, []string{"f248cdc9c90700", "f248cdc9c90700"}, []string{"Hello", "Hello"}},
		{"7.2.3.3, a block without compression", false, []string{"00 0500 faff 48656c6c6f 00"}, []string{"Hello"}},
		{"7.2.3.4, a final block", false, []string{"f348cdc9c90700 00"}, []string{"Hello"}},
		{"7.2.3.4, with takeover, and a message behind it that refers to it", true, []string{"f348cdc9c90700 00", "f200110000"}, []string{"Hello", "Hello"}},
		{"7.2.3.5, two blocks", false, []string{"f24805000000ffff cac9c90700"}, []string{"Hello"}},
		{"7.2.3.6, an empty message", false, []string{"00"}, []string{""}},
		{"an empty message leaves the window as it was", true, []string{"f248cdc9c90700", "00", "f200110000"}, []string{"Hello", "", "Hello"}},
		{"a final block, then a block that is not", false, []string{"f348cdc9c90700 f248cdc9c90700"}, []string{"HelloHello"}},
		{"two final blocks", false, []string{"f348cdc9c90700 f348cdc9c90700 00"}, []string{"HelloHello"}},
		{"two final blocks, and a message that refers to the first", true, []string{"f348cdc9c90700 f348cdc9c90700 00", "f200b10000"},
			[]string{"HelloHello", "Hello"}},
		{"a final block and nothing behind it", false, []string{"f348cdc9c90700"}, []string{"Hello"}},
		{"that, with takeover", true, []string{"f348cdc9c90700", "f200110000"}, []string{"Hello", "Hello"}},
		{"an empty final block, as some flush nothing", false, []string{"0300"}, []string{""}},
		{"no byte at all", true, []string{"f248cdc9c90700", "", "f200110000"}, []string{"Hello", "", "Hello"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &Inflater{Takeover: c.takeover}
			for k, p := range c.payloads {
				wantInflated(t, f, unhex(t, p), []byte(c.want[k]))
			}
		})
	}
}

func TestInflateViolations(t *testing.T) {
	for _, c := range []struct{ name, payload string }{
		{"a message cut off in a block", "f248cdc9"},
		{"a message cut off before its last block", "f248cdc9c907"},
		{"a block without compression cut off", "000500faff48656c"},
		{"a block without compression whose lengths differ", "000500fafe48656c6c6f00"},
		{"a reserved kind of block", "0600"},
		{"a reference to an earlier message, without takeover", "f200110000"},
		{"a reference over a final block", "f348cdc9c90700 f200110000"},
		{"a final block that would end in what is left out", "03"},
		{"a final block that would be what is left out", "010400fbff"},
		{"the four bytes that are left out", "00000000ffff 0000ffff"},
		{"text that is not compressed", hexed("Hello, world")},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantViolation(t, new(Inflater), unhex(t, c.payload), 100, CodeInvalidPayload)
		})
	}
}

func hexed(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString(string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
	}
	return b.String()
}

func TestInflateBound(t *testing.T) {
	hello := unhex(t, "f248cdc9c90700")
	for most, code := range map[int]uint16{5: 0, 6: 0, math.MaxInt: 0, 4: CodeTooBig, 0: CodeTooBig, -1: CodeTooBig, math.MinInt: CodeTooBig} {
		got, err := new(Inflater).Append(nil, hello, most)
		switch {
		case code == 0 && (err != nil || string(got) != "Hello"):
			t.Errorf("5 bytes of at most %d: got %q, %v", most, got, err)
		case code != 0:
			wantViolation(t, new(Inflater), hello, most, code)
		}
	}
	for _, most := range []int{0, -1} {
		if got, err := new(Inflater).Append(nil, []byte{0}, most); err != nil || len(got) > 0 {
			t.Errorf("nothing of at most %d: got %q, %v", most, got, err)
		}
	}
	wantViolation(t, new(Inflater), unhex(t, "f348cdc9c90700 f348cdc9c90700 00"), 9, CodeTooBig)
}

func TestDeflate(t *testing.T) {
	var d Deflater
	if got := d.Append([]byte("before"), nil); string(got) != "before\x00" {
		t.Errorf("an empty message is %q, want the one byte of section 7.2.3.6", got)
	}
	for range 2 {
		hello := []byte("Hello, Hello, Hello, Hello, Hello")
		if got := d.Append([]byte("before"), hello); !bytes.HasPrefix(got, []byte("before")) || len(got) > 6+20 {
			t.Errorf("33 bytes of Hello are compressed to %q", got)
		}
		if string(hello) != "Hello, Hello, Hello, Hello, Hello" {
			t.Errorf("the caller's payload became %q", hello)
		}
	}
}

// message draws what compresses well and what doesn't, short and over the
// window's size.
func message() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		words := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 20), 1, 5).Draw(t, "words")
		var b []byte
		for _, k := range rapid.SliceOfN(rapid.IntRange(0, 99), 0, 30).Draw(t, "order") {
			b = append(b, words[k%len(words)]...)
		}
		return bytes.Repeat(b, rapid.SampledFrom([]int{0, 1, 1, 1, 2, 300}).Draw(t, "times"))
	})
}

// TestDeflateRoundTrip: what a Deflater makes is read again by an Inflater,
// whatever came before, and by the standard library.
func TestDeflateRoundTrip(t *testing.T) {
	var d Deflater
	rapid.Check(t, func(t *rapid.T) {
		f := Inflater{Takeover: rapid.Bool().Draw(t, "takeover")}
		for _, m := range rapid.SliceOfN(message(), 1, 5).Draw(t, "messages") {
			p := d.Append(nil, m)
			wantInflated(t, &f, p, m)
			r := stdflate.NewReader(io.MultiReader(bytes.NewReader(p), strings.NewReader(inflateTail)))
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, m) {
				t.Fatalf("the standard library reads %.100q, %v, want %.100q", got, err, m)
			}
		}
	})
}

// TestTakeover: messages of a peer that keeps its window, or ends a message
// with a final block now and then.
func TestTakeover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.SampledFrom([]func(int) func(io.Writer) flusher{klauspost, standard}).Draw(t, "library")(rapid.IntRange(0, 9).Draw(t, "level"))
		messages := rapid.SliceOfN(message(), 1, 8).Draw(t, "messages")
		f := Inflater{Takeover: true}
		for k, p := range deflated(t, start, messages...) {
			wantInflated(t, &f, p, messages[k])
		}
		for _, m := range messages {
			wantInflated(t, &f, finished(m), m)
		}
	})
}

// TestTakeoverReachesBack: a message may refer as far back as DEFLATE can, over
// any number of messages in between.
func TestTakeoverReachesBack(t *testing.T) {
	random := make([]byte, windowSize-300)
	for k, x := 0, uint32(1); k < len(random); k++ {
		x = x*1664525 + 1013904223
		random[k] = byte(x >> 24)
	}
	for _, size := range []int{23, 1000, 5000, len(random), 2 * len(random)} {
		messages := slices.Collect(slices.Chunk(bytes.Repeat(random, 2), size))
		payloads := deflated(t, standard(9), messages...)
		if p := payloads[len(payloads)/2]; len(payloads) > 1 && len(p) > size*3/4 {
			t.Fatalf("the test's own messages don't refer back: %d bytes are %d", size, len(p))
		}
		f := Inflater{Takeover: true}
		for k, p := range payloads {
			wantInflated(t, &f, p, messages[k])
		}
	}
}

// bomb is a message of 1 GiB in 1 MiB, the most that DEFLATE packs.
func bomb(t fataler) []byte {
	mega := deflated(t, standard(9), make([]byte, 1<<20))[0]
	return bytes.Repeat(append(mega, deflateTail...), 1<<10)
}

func TestBomb(t *testing.T) {
	p := bomb(t)
	for _, f := range []*Inflater{{}, {Takeover: true}} {
		wantViolation(t, f, p, 1<<20, CodeTooBig)
		wantViolation(t, f, p, 0, CodeTooBig)
		if left := f.src.Len(); left < len(p)*99/100 {
			t.Errorf("%d bytes of %d were read for nothing", len(p)-left, len(p))
		}
	}
	finals := bytes.Repeat([]byte{0x03, 0x00}, 1<<19)
	wantInflated(t, &Inflater{Takeover: true}, finals, nil)
}

// FuzzInflate: no payload makes it panic or give more than asked for; what it
// inflates the standard library does too; what a Deflater makes is read again.
func FuzzInflate(f *testing.F) {
	for _, p := range []string{"f248cdc9c90700", "f348cdc9c9070000", "f24805000000ffffcac9c90700", "000500faff48656c6c6f00", "00", "03", "0300",
		"04c0050183000000b04af7439ce1ee9e9e0100000080284ed22c2fcaaa6edaae1fc6695ed66d3fceebf17cbd3fdfdf3f080100000000370000"} {
		f.Add(unhex(f, p), unhex(f, "f200110000"), uint16(100), true)
		f.Add(unhex(f, p), unhex(f, "f248cdc9c90700"), uint16(4), false)
	}
	var d Deflater // large, and keeps nothing from one message to the next
	f.Fuzz(func(t *testing.T, first, second []byte, most uint16, takeover bool) {
		inf := Inflater{Takeover: takeover}
		for k, p := range [][]byte{first, second} {
			got, err := inf.Append([]byte("before"), p, int(most))
			if !bytes.HasPrefix(got, []byte("before")) || len(got) > 6+int(most) {
				t.Fatalf("got %q of at most %d", got, most)
			}
			if v, ok := err.(*Violation); err != nil && (!ok || v.Code != CodeTooBig && v.Code != CodeInvalidPayload || len(got) != 6) {
				t.Fatalf("got %q, %v", got, err)
			}
			if err != nil {
				break
			}
			if k == 0 {
				sameForStandard(t, p, got[6:])
			}
		}
		wantInflated(t, &inf, d.Append(nil, first), first)
		wantInflated(t, &inf, d.Append(nil, second), second)
		if len(first) > 0 {
			wantViolation(t, &inf, d.Append(nil, first), len(first)-1, CodeTooBig)
		}
	})
}

// sameForStandard inflates a payload with the standard library, stream by
// stream.
func sameForStandard(t *testing.T, payload, want []byte) {
	t.Helper()
	in := bytes.NewReader(append(bytes.Clone(payload), inflateTail...))
	var all []byte
	for in.Len() > 0 && len(payload) > 0 {
		got, err := io.ReadAll(stdflate.NewReader(in))
		if all = append(all, got...); err != nil {
			t.Fatalf("the standard library reads % x as %q, %v, want %q", payload, all, err, want)
		}
		if in.Len() == len(inflateTail) {
			break
		}
	}
	if !bytes.Equal(all, want) {
		t.Fatalf("the standard library reads % x as %q, want %q", payload, all, want)
	}
}
