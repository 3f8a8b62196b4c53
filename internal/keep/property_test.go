package keep

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
	"pgregory.net/rapid"
)

var drawMessage = rapid.Custom(func(t *rapid.T) message {
	return message{
		size:      rapid.OneOf(rapid.IntRange(3, 20), rapid.IntRange(3, 100)).Draw(t, "size"),
		fragments: rapid.IntRange(1, 3).Draw(t, "fragments"),
		pings:     rapid.Bool().Draw(t, "pings"),
	}
})

func drawRules(t *rapid.T) Rules {
	return Rules{
		Unproven: rapid.SampledFrom([]string{"close", "resend", "drop"}).Draw(t, "unproven"),
		Hold:     rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "hold"),
		Buffer:   rapid.SampledFrom([]int{16, buffer, 1 << 10}).Draw(t, "buffer"),
		Greeting: rapid.IntRange(0, 2).Draw(t, "greeting"),
		First:    rapid.IntRange(0, 3).Draw(t, "first"),
		Swallow:  rapid.IntRange(0, 2).Draw(t, "swallow"),
	}
}

// drawSteps draws sizes, of which one is not 0: else nothing would ever come.
func drawSteps(t *rapid.T, name string) []int {
	return append(rapid.SliceOfN(rapid.IntRange(0, 50), 0, 6).Draw(t, name), rapid.IntRange(1, 200).Draw(t, name))
}

// TestAnyCuts draws what TestCutBehindEveryByte goes through: any client, any
// pace, several cuts.
func TestAnyCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pl := plan{
			rules:  drawRules(t),
			list:   rapid.SliceOfN(drawMessage, 1, 12).Draw(t, "messages"),
			client: drawSteps(t, "client"),
			leg:    drawSteps(t, "leg"),
			step:   rapid.SampledFrom([]time.Duration{0, time.Millisecond, 60 * time.Millisecond, 700 * time.Millisecond}).Draw(t, "step"),
			cuts:   rapid.SliceOfN(rapid.IntRange(1, 1500), 0, 6).Draw(t, "cuts"),
			freeze: rapid.IntRange(0, 1500).Draw(t, "freeze"),
		}
		pl.run(t)
	})
}

// passed gives what a client's bytes lead to if they come in those pieces, and
// no instance says anything.
func passed(t fataler, rules *Rules, pieces [][]byte) *proxy {
	x := newProxy(t, rules, nil, nil)
	for _, p := range pieces {
		x.comes(&x.client, p)
	}
	return x
}

// unpinged takes our pings out of what an instance was sent.
func unpinged(t fataler, p []byte) (rest []byte) {
	in := ws.Parser{Masked: true}
	for {
		piece, err := in.Next(p)
		switch {
		case err != nil:
			t.Fatalf("%v", err)
		case piece.Kind == ws.More:
			return append(rest, p...)
		case piece.Kind != ws.Control || piece.N-piece.Head != 8:
			rest = append(rest, p[:piece.N]...)
		}
		p = p[piece.N:]
	}
}

// wantSame holds that the pieces in which a client's bytes come change neither
// what goes on nor what is remembered. Only one thing may differ: a message over
// the buffer that comes at once need not stream, and can then be sent again.
func wantSame(t fataler, rules *Rules, p []byte, pieces [][]byte, streams bool) {
	t.Helper()
	a, b := passed(t, rules, [][]byte{p}), passed(t, rules, pieces)
	if x, y := unpinged(t, a.inst.way), unpinged(t, b.inst.way); !bytes.Equal(x, y) {
		t.Fatalf("in one piece\n%q goes on, in %d\n%q", x, len(pieces), y)
	}
	remembered := func(x *proxy) string {
		s := fmt.Sprintf("held %q, streams %v, %d messages, the opening %q of %d, too long %v",
			x.store().Up, x.UpStreams, x.Sent, x.store().Opening, x.Opened, x.TooLong)
		if !streams {
			s += fmt.Sprintf(", a tail %q, open %d", x.store().Tail[x.store().Gone:], x.store().Open)
		}
		return s
	}
	if x, y := remembered(a), remembered(b); x != y {
		t.Fatalf("in one piece:\n%s\nin %d:\n%s", x, len(pieces), y)
	}
	for _, x := range []*proxy{a, b} {
		if x.Release(x.room); len(x.room.lent) > 0 {
			t.Fatalf("%d pieces that were lent are not returned", len(x.room.lent))
		}
	}
}

// cut cuts a stream into pieces of so many bytes each, and the rest.
func cut(p, sizes []byte) (pieces [][]byte) {
	for _, n := range sizes {
		k := min(int(n), len(p))
		pieces, p = append(pieces, p[:k]), p[k:]
	}
	return append(pieces, p)
}

func TestAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t)
		p, _, sizes := script(rapid.SliceOfN(drawMessage, 0, 6).Draw(t, "messages"))
		p = p[:rapid.IntRange(0, len(p)).Draw(t, "bytes")]
		streams := slices.ContainsFunc(sizes, func(n int) bool { return n > rules.Buffer })
		wantSame(t, &rules, p, cut(p, rapid.SliceOf(rapid.Byte()).Draw(t, "sizes")), streams)
		wantSame(t, &rules, p, cut(p, bytes.Repeat([]byte{1}, len(p))), streams)
	})
}

// FuzzPieces is TestAnyPieces for bytes that nobody thought of.
func FuzzPieces(f *testing.F) {
	for _, list := range [][]message{short, mixed} {
		p, _, _ := script(list)
		f.Add(p, []byte{1, 2, 30, 4}, uint8(buffer), uint8(0))
		f.Add(p[:len(p)-3], []byte{100, 1}, uint8(buffer), uint8(3))
	}
	f.Fuzz(func(t *testing.T, p, sizes []byte, most, first uint8) {
		in, at := ws.Parser{Masked: true}, 0
		for piece := (ws.Piece{N: 1, Kind: ws.Data}); piece.Kind != ws.More; at += piece.N {
			var err error
			if at == 0 {
				piece.N = 0
			}
			if piece, err = in.Next(p[at:]); err != nil {
				return // a session ends there
			}
		}
		rules := Rules{Unproven: "resend", Buffer: max(int(most), 1), First: int(first % 4)}
		wantSame(t, &rules, p, cut(p, sizes), len(p) > rules.Buffer)
		wantSame(t, &rules, p, cut(p, bytes.Repeat([]byte{1}, len(p))), len(p) > rules.Buffer)
	})
}

// TestFull: the client is read until the buffer is full of what is not proven,
// and again when it is.
func TestFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := Rules{Unproven: "resend", Hold: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "hold"), Buffer: 100}
		x, open, seq := State{}, 0, uint32(0)
		r := &room{t, map[*byte]bool{}}
		for now := time.Duration(1); now < 40; now++ {
			p := make([]byte, rapid.IntRange(1, 40).Draw(t, "message"))
			held, _ := x.ToInstance(&rules, r, p, len(p), 1, now)
			r.Return(held)
			if open += len(p); x.Full(&rules) != (open >= rules.Buffer) {
				t.Fatalf("with %d of %d bytes unproven full is %v", open, rules.Buffer, x.Full(&rules))
			}
			if open < rules.Buffer && rapid.Bool().Draw(t, "more") {
				continue
			}
			seq++
			x.Ping(seq, now)
			x.Pong(seq, now)
			if open = 0; x.Full(&rules) || !x.Settled() {
				t.Fatalf("all is proven, and the client is not read: %+v", x)
			}
		}
		if x.Release(r); len(r.lent) > 0 {
			t.Fatalf("%d pieces that were lent are not returned", len(r.lent))
		}
	})
}

// TestHeldBehind: a message under way counts, too, but alone it stops nobody:
// there is no pong to wait for.
func TestHeldBehind(t *testing.T) {
	rules, x, r := Rules{Unproven: "resend", Buffer: 100}, State{}, &room{t, map[*byte]bool{}}
	x.ToInstance(&rules, r, make([]byte, 100), 0, 0, 1)
	if x.Full(&rules) {
		t.Errorf("nothing is unproven, and the client is not read")
	}
	x = State{}
	x.ToInstance(&rules, r, make([]byte, 99), 10, 1, 1)
	if x.Full(&rules) {
		t.Errorf("10 bytes unproven and 89 held are less than the buffer")
	}
	x.ToInstance(&rules, r, make([]byte, 1), 0, 0, 1)
	if !x.Full(&rules) {
		t.Errorf("10 bytes unproven and 90 held are all of the buffer")
	}
}

// TestRides: one ping is out at a time; the next rides when it is a while ago or
// many bytes since.
func TestRides(t *testing.T) {
	rules, r, x, seq := Rules{Unproven: "close", Buffer: 100}, &room{t, map[*byte]bool{}}, State{}, uint32(0)
	send := func(what string, bytes int, at time.Duration, want bool) {
		x.ToInstance(&rules, r, make([]byte, bytes), bytes, 1, at)
		if got := x.Rides(&rules, at); got != want {
			t.Errorf("behind %s a ping rides: %v", what, got)
		}
		if want {
			seq++
			x.Ping(seq, at)
		}
	}
	send("the first message", 5, 1, true)
	send("one whose ping is out", 99, 2*pingEvery, false)
	x.Pong(seq, 2*pingEvery)
	send("many bytes", 5, 2, true)
	x.Pong(seq, 2)
	send("half of half the buffer", 25, 3, false)
	send("half the buffer", 25, 4, true)
	x.Pong(seq, 4)
	send("little, soon", 5, 3+pingEvery, false)
	send("little, a while later", 5, 4+pingEvery, true)
}

// TestPongs: one proves what went before its ping, and no more.
func TestPongs(t *testing.T) {
	rules, r := Rules{Unproven: "resend", Buffer: 100}, &room{t, map[*byte]bool{}}
	var x State
	send := func(n int) {
		for k := range n { // a byte at a time, so that long ones stream
			ends := k / (n - 1)
			held, _ := x.ToInstance(&rules, r, []byte{byte(n)}, ends, ends, 1)
			r.Return(held)
		}
	}
	send(5)
	send(200)
	x.Ping(1, 1)
	send(6)
	x.Pong(1, 2)
	x.Tick(&rules, r, 3)
	if x.Proven != 2 || !bytes.Equal(x.store().Tail[x.store().Gone:], bytes.Repeat([]byte{6}, 6)) {
		t.Errorf("of three messages %d are proven, and %v can be sent again; want the third", x.Proven, x.store().Tail[x.store().Gone:])
	}
	x.Ping(4, 3)
	x.Pong(3, 4)
	if x.Settled() {
		t.Errorf("a pong to a ping before it proves it")
	}
	if x.Pong(5, 4); !x.Settled() {
		t.Errorf("a pong to a later ping proves it, too")
	}
}

// TestProvenIsHeld: read is not processed, so for a while it is sent again.
func TestProvenIsHeld(t *testing.T) {
	rules, r, x := Rules{Unproven: "resend", Hold: time.Second, Buffer: 100}, &room{t, map[*byte]bool{}}, State{}
	send := func(text string, now time.Duration) { x.ToInstance(&rules, r, []byte(text), len(text), 1, now) }
	send("one", time.Second)
	x.Ping(1, time.Second)
	send("two", time.Second)
	x.Pong(1, 1100*time.Millisecond)
	for _, c := range []struct {
		at   time.Duration
		want string
		n    int
	}{{2099 * time.Millisecond, "onetwo", 2}, {2100 * time.Millisecond, "two", 1}} {
		y, held := x, *x.Store
		y.Store = &held
		held.Tail, held.Marks = slices.Clone(held.Tail), slices.Clone(held.Marks)
		r.adopt(y.store().Tail)
		y.Tick(&rules, r, c.at)
		if again, n := y.Switch(r, 0, true); string(again) != c.want || n != c.n {
			t.Errorf("at %v %d messages are sent again, %q; want %q", c.at, n, again, c.want)
		}
	}
}

// TestWhatIsShown: only the greeting can come before the client's opening does.
func TestWhatIsShown(t *testing.T) {
	rules, r, x := Rules{Buffer: 100, Greeting: 1, First: 1, Swallow: 2}, &room{t, map[*byte]bool{}}, State{}
	says := func() { x.ToClient(&rules, r, []byte("x"), 1, 1) }
	says()
	says()
	if x.Skips() != 1 {
		t.Errorf("a greeting and news: another instance's first %d messages are not shown, want 1: the next is an answer that nobody got", x.Skips())
	}
	x.ToInstance(&rules, r, []byte("login"), 5, 1, 1)
	if says(); x.Skips() != 2 {
		t.Errorf("a greeting and an answer are %d messages", x.Skips())
	}
	says()
	if says(); x.Skips() != 3 {
		t.Errorf("a greeting and two answers are %d messages", x.Skips())
	}
}
