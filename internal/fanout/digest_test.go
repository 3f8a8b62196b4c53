package fanout

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// reader is a client that sees to what it gets: messages {"n":N,"k":"K"…} in
// order, and notices that tell of each one that is missing.
type reader struct {
	conn net.Conn
	in   ws.Parser
	buf  []byte

	first, next uint64            // numbers of its first message, and behind its latest
	got, told   uint64            // messages, and those that notices told of
	latest      map[string]uint64 // of each key
	code        uint16            // it was closed with; 0: it was not
	odd         error             // a notice of another place than what came is; only a close may follow
}

// take reads once, as much as is there, and waits for so long if nothing is.
func (r *reader) take(most int, wait time.Duration) error {
	p := make([]byte, most)
	_ = r.conn.SetReadDeadline(time.Now().Add(wait))
	n, err := r.conn.Read(p)
	r.buf = append(r.buf, p[:n]...)
	for {
		before := r.in
		piece, perr := r.in.Next(r.buf)
		if perr != nil {
			return perr
		}
		if piece.Kind == ws.More || !piece.End {
			r.in = before
			break
		}
		payload := r.buf[piece.Head:piece.N]
		r.buf = r.buf[piece.N:]
		if perr = r.message(payload); perr != nil {
			return perr
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return err
}

func (r *reader) message(p []byte) error {
	if r.in.Header.Opcode == ws.CloseFrame {
		r.code, _, _ = ws.ParseClose(p)
		return nil
	}
	var n, lost, offset uint64
	var key, epoch string
	if strings.HasPrefix(string(p), "lost") {
		text, _, _ := strings.Cut(string(p), " because")
		if _, err := fmt.Sscanf(text, "lost %d", &lost); err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
		at := strings.LastIndexByte(string(p), ' ')
		epoch, offset, _ = parseOffset(string(p[at+1:]))
		if r.told += lost; epoch == "" || r.first+r.got+r.told != offset {
			r.odd = fmt.Errorf("%q comes behind message %d and %d more; notices have told of %d", p, r.first, r.got, r.told)
		}
		return nil
	}
	if r.odd != nil {
		return r.odd
	}
	if _, err := fmt.Sscanf(string(p), `{"n":%d,"k":%q`, &n, &key); err != nil {
		return fmt.Errorf("%.40q: %w", p, err)
	}
	if n < r.next {
		return fmt.Errorf("message %d comes when %d is next", n, r.next)
	}
	r.next = n + 1
	r.got++
	r.latest[key] = n
	return nil
}

// quote is message n, about key, of so many bytes or a few more.
func quote(n uint64, key string, size int) []byte {
	p := fmt.Appendf(nil, `{"n":%d,"k":%q,"x":"`, n, key)
	return append(append(p, strings.Repeat("x", max(0, size-len(p)))...), `"}`...)
}

const latestNotice = "lost {{.Lost}} because of {{.Reason}}, next is {{.Offset}}"

// A client that is behind gets what is latest of each key, in order, and knows
// how much it has missed, however it reads.
func TestTheLatestOfEachKeyArrives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lag := rapid.SampledFrom([]int64{4 << 10, 16 << 10}).Draw(rt, "lag")
		keys := rapid.IntRange(1, 8).Draw(rt, "keys")
		seed := rapid.Uint64().Draw(rt, "seed")
		checkLatest(t, rt, lag, keys, rand.New(rand.NewPCG(seed, 0)))
	})
}

func checkLatest(t *testing.T, rt *rapid.T, lag int64, keys int, rnd *rand.Rand) {
	h := newHall(t, config.Slow{Policy: "latest", Key: "k", After: config.Lag{Bytes: lag}, Notice: latestNotice}, config.History{Messages: 10, Bytes: 10_000})
	var readers []*reader
	n := uint64(0)
	want := map[string]uint64{}
	for range rapid.IntRange(5, 60).Draw(rt, "steps") {
		switch {
		case len(readers) == 0 || rnd.IntN(30) == 0:
			conn, _ := h.seat(plain, (*log).live)
			readers = append(readers, &reader{conn: conn, first: n, next: n, latest: map[string]uint64{}})
		case rnd.IntN(3) == 0:
			r := readers[rnd.IntN(len(readers))]
			if err := r.take(1+rnd.IntN(30_000), time.Millisecond); err != nil {
				rt.Fatal(err)
			}
		default:
			var all [][]byte
			for range 1 + rnd.IntN(30) {
				key := fmt.Sprint("K", rnd.IntN(keys))
				want[key] = n
				all = append(all, quote(n, key, rnd.IntN(int(lag)/4)))
				n++
			}
			h.say(all...)
		}
	}
	for k := range keys { // so that there is a latest for all who came late
		key := fmt.Sprint("K", k)
		want[key] = n
		h.say(quote(n, key, 10))
		n++
	}
	for k, r := range readers {
		for r.first+r.got+r.told < n && r.code == 0 {
			if err := r.take(64<<10, 10*time.Second); err != nil {
				rt.Fatalf("client %d of %d, at message %d of %d: %v", k, len(readers), r.next, n, err)
			}
		}
		if r.code == ws.CodeTryLater {
			continue // what it should have got was more than it may be behind
		}
		if r.odd != nil || r.first+r.got+r.told != n {
			rt.Errorf("client %d got %d messages and was told that it missed %d; there were %d", k, r.got, r.told, n-r.first)
		}
		for key, m := range want {
			if r.latest[key] != m {
				rt.Errorf("client %d has message %d of %s, the latest is %d", k, r.latest[key], key, m)
			}
		}
	}
	for _, r := range readers {
		r.conn.Close()
	}
	h.close()
}

// A digest does not keep the log that it stands for.
func TestADigestLetsTheLogGo(t *testing.T) {
	h := newHall(t, config.Slow{Policy: "latest", Key: "k", After: config.Lag{Bytes: 16 << 10}, Notice: latestNotice}, config.History{})
	client, s := h.seat(plain, (*log).live)
	n := uint64(0)
	for range 3000 {
		h.say(quote(n, fmt.Sprint("K", n%5), 1000))
		n++
		if n < 1000 {
			continue
		}
		h.await("a client that does not read lets go of the log", func() bool {
			return s.at.seg == nil || s.aud.log.live().bytes()-s.at.bytes() <= 4*16<<10
		})
	}
	r := &reader{conn: client, latest: map[string]uint64{}}
	for r.got+r.told < n {
		if err := r.take(64<<10, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.latest) != 5 || r.told+r.got != n || h.lostTo(lostLatest) != r.told {
		t.Errorf("the client got %d of %d messages and was told of %d; lost are %d", r.got, n, r.told, h.lostTo(lostLatest))
	}
}

// The last message of a digest may be finished for the sake of a control frame,
// or of another digest: then there is nothing left to send of it.
func TestADigestMayHaveBeenSent(t *testing.T) {
	h := newHall(t, config.Slow{Policy: "latest", Key: "k", After: config.Lag{Bytes: 16 << 10}, Notice: latestNotice}, config.History{})
	client, s := h.seat(plain, (*log).live)
	h.on(func() {
		d := &digest{bytes: quote(0, "K", 10), index: []digested{{}}, then: s.at}
		s.aside().digest, s.more.read = d, len(d.bytes)
		s.flush()
		if s.digesting() {
			t.Error("the digest is still there")
		}
	})
	h.say(quote(0, "K", 10))
	r := &reader{conn: client, latest: map[string]uint64{}}
	for r.got < 1 {
		if err := r.take(1000, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}
