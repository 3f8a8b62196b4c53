package keep

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// fataler is what a test, a fuzz target and a property have in common.
type fataler interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// room counts what it has lent, and spoils what it gets back.
type room struct {
	t    fataler
	lent map[*byte]bool
}

func (r *room) Extend(p, more []byte) []byte {
	if len(more) == 0 {
		return p
	}
	if len(p)+len(more) <= cap(p) {
		return append(p, more...)
	}
	q := append(append(make([]byte, 0, len(p)+len(more)+8), p...), more...)
	r.Return(p)
	r.adopt(q)
	return q
}

func (r *room) Return(p []byte) {
	if cap(p) == 0 {
		return
	}
	if !r.lent[unsafe.SliceData(p)] {
		r.t.Fatalf("bytes are returned that were not lent, or not all of them: %q", p)
	}
	delete(r.lent, unsafe.SliceData(p))
	spoil(p[:cap(p)])
}

func (r *room) adopt(p []byte) {
	if cap(p) > 0 {
		r.lent[unsafe.SliceData(p)] = true
	}
}

func spoil(p []byte) {
	for k := range p {
		p[k] = 0xDD
	}
}

// source is one side, and what came of it that was not taken.
type source struct {
	in   ws.Parser
	kept []byte
}

// proxy does with a State what a session of internal/relay does.
type proxy struct {
	State
	t           fataler
	rules       *Rules
	room        *room
	client, leg source
	inst        *instance
	insts       []*instance
	seen        []byte // by the client
	now         time.Duration
	seq         uint32
	over        error // why the client is closed

	// What a witness knows who does not ask the State.
	texts    []string // the client's messages
	handed   int      // of them, whole so far
	written  []int    // of them, to this leg, in order
	covers   map[uint32]int
	provenAt map[int]time.Duration
	resent   map[int]int
	dropped  map[int]bool
	sizes    []int // of texts, on the wire
}

var errHalf = errors.New("the client has half a message")

func newProxy(t fataler, rules *Rules, texts []string, sizes []int) *proxy {
	x := &proxy{
		t: t, rules: rules, room: &room{t, map[*byte]bool{}}, now: 1, texts: texts, sizes: sizes,
		covers: map[uint32]int{}, provenAt: map[int]time.Duration{}, resent: map[int]int{}, dropped: map[int]bool{},
	}
	x.client.in.Masked = true
	x.connect()
	return x
}

func (x *proxy) connect() {
	x.inst = &instance{t: x.t, name: len(x.insts), rules: x.rules, in: ws.Parser{Masked: true}}
	for k := range x.rules.Greeting {
		x.inst.say(fmt.Sprint("hello", k))
	}
	x.insts, x.leg, x.written = append(x.insts, x.inst), source{}, nil
	clear(x.covers)
}

// comes is relayFrom: bytes of one side.
func (x *proxy) comes(from *source, p []byte) {
	p = append(from.kept, p...)
	run, whole, at, n := 0, 0, 0, 0
	flush := func() {
		if at > run {
			x.flush(from, bytes.Clone(p[run:at]), max(whole-run, 0), n)
		}
		run, n = at, 0
	}
	for {
		piece, err := from.in.Next(p[at:])
		if err != nil {
			x.t.Fatalf("%v", err)
		}
		ends := piece.End && from.in.MessageEnd()
		at += piece.N
		switch {
		case piece.Kind == ws.More:
			flush()
			from.kept = bytes.Clone(p[at:])
			return
		case piece.Kind == ws.Control:
			at -= piece.N
			flush()
			at += piece.N
			run = at
			x.control(from, p[at-piece.N:at], piece.Head)
		case from == &x.leg && x.Skip > 0:
			at -= piece.N
			flush()
			at += piece.N
			if run = at; ends {
				x.Skip--
			}
		case ends:
			n++
			if whole = at; from == &x.client && x.Recording(x.rules) {
				flush()
			}
		}
	}
}

// flush is toClient and toInstance.
func (x *proxy) flush(from *source, p []byte, whole, n int) {
	if from == &x.leg {
		held, on := x.ToClient(x.rules, x.room, p, whole, n)
		x.seen = append(append(x.seen, held...), on...)
		x.room.Return(held)
	} else {
		held, on := x.ToInstance(x.rules, x.room, p, whole, n, x.now)
		x.inst.way = append(append(x.inst.way, held...), on[:min(whole, len(on))]...)
		x.room.Return(held)
		for range n {
			x.written = append(x.written, x.handed)
			x.handed++
		}
		if n > 0 && x.Rides(x.rules, x.now) {
			x.ping()
		}
		x.inst.way = append(x.inst.way, on[min(whole, len(on)):]...)
	}
	spoil(p)
	x.check()
}

// check holds a State's sums against their parts.
func (x *proxy) check() {
	all, open := 0, 0
	for _, m := range x.store().Marks {
		if all += m.Bytes; m.Proven == 0 {
			open += m.Bytes
		}
	}
	if all != len(x.store().Tail)-x.store().Gone || open != x.store().Open || all == 0 && x.store().Tail != nil {
		x.t.Fatalf("the tail does not add up, or is kept for nothing: %+v", x.State)
	}
	if len(x.store().Up) > x.rules.Buffer || len(x.store().Down) > x.rules.Buffer || len(x.store().Opening) > x.rules.Buffer {
		x.t.Fatalf("over the buffer are %d bytes held up, %d down, or %d of the opening", len(x.store().Up), len(x.store().Down), len(x.store().Opening))
	}
}

// control takes a control frame past what is held, or a pong of ours.
func (x *proxy) control(from *source, frame []byte, head int) {
	switch payload := frame[head:]; {
	case from == &x.client:
		x.inst.way = append(x.inst.way, frame...)
	case from.in.Header.Opcode == ws.Pong && len(payload) == 8:
		seq := uint32(binary.BigEndian.Uint64(payload))
		for _, id := range x.written[:x.covers[seq]] {
			if x.provenAt[id] == 0 {
				x.provenAt[id] = x.now
			}
		}
		x.Pong(seq, x.now)
	default:
		x.seen = append(x.seen, frame...)
	}
}

func (x *proxy) ping() {
	x.seq++
	x.Ping(x.seq, x.now)
	x.covers[x.seq] = len(x.written)
	payload := binary.BigEndian.AppendUint64(nil, uint64(x.seq))
	x.inst.way = ws.AppendFrame(x.inst.way, ws.Header{Fin: true, Opcode: ws.Ping, Masked: true, Key: [4]byte{9, 8, 7, 6}}, payload)
}

// tick lets time pass.
func (x *proxy) tick(d time.Duration) {
	x.now += d
	inside := x.client.in.InFrame() && x.UpStreams
	if x.Tick(x.rules, x.room, x.now) && !inside {
		x.ping()
	}
	x.check()
	next := x.Next(x.rules, true)
	if !inside && next != 0 && next <= x.now {
		x.t.Fatalf("at %v, a moment after Tick, it is to be called at %v", x.now, next)
	}
	if next != 0 && x.Sent == x.Proven && len(x.store().Marks) == 0 {
		x.t.Fatalf("an idle session wants to be woken")
	}
}

// lose cuts the leg: what is on its way is lost. It is resume and takeOver.
func (x *proxy) lose() {
	x.Tick(x.rules, x.room, x.now)
	if x.leg.in.InMessage() && x.DownStreams {
		x.over = errHalf
		return
	}
	var open, mayCome []int
	for _, id := range x.written {
		at := x.provenAt[id]
		if id >= x.rules.First && at == 0 {
			open = append(open, id)
		}
		if id >= x.rules.First && (at == 0 || x.now-at < x.rules.Hold) {
			mayCome = append(mayCome, id)
		}
	}
	n, err := x.Lost(x.rules)
	tooLong := x.UpStreams || slices.ContainsFunc(open, func(id int) bool { return x.sizes[id] > x.rules.Buffer })
	switch {
	case errors.Is(err, ErrUnproven) != (x.rules.Unproven == "close" && len(open) > 0 && !errors.Is(err, ErrTooLong) && !errors.Is(err, ErrOpening)),
		errors.Is(err, ErrTooLong) && !tooLong, err == nil && x.UpStreams:
		x.t.Fatalf("with %q and messages %v unproven: %v", x.rules.Unproven, open, err)
	case err == nil && x.rules.Unproven == "drop" && n != uint64(len(open)):
		x.t.Fatalf("%d messages are called dropped, %v are", n, open)
	case err != nil:
		x.over = err
		return
	}
	x.connect()
	x.inst.way = append(x.inst.way, x.store().Opening...)
	for id := range min(x.handed, x.rules.First) {
		x.written = append(x.written, id)
	}
	again, count := x.Switch(x.room, x.Skips(), true)
	x.check()
	x.resend(again, count, open, mayCome)
}

// resend holds what is sent again against what must and what may be.
func (x *proxy) resend(again []byte, n int, open, mayCome []int) {
	var ids []int
	for _, text := range messages(x.t, true, again) {
		ids = append(ids, slices.Index(x.texts, text))
	}
	if x.rules.Unproven == "drop" {
		for _, id := range open {
			x.dropped[id] = true
		}
		open = nil
	}
	if len(ids) != n {
		x.t.Fatalf("%d messages are said to be sent again, %v are", n, ids)
	}
	for _, id := range open {
		if !slices.Contains(ids, id) {
			x.t.Fatalf("of %v, which are not proven, %v are sent again", open, ids)
		}
	}
	for _, id := range ids {
		if !slices.Contains(mayCome, id) {
			x.t.Fatalf("%v are sent again; only %v may be", ids, mayCome)
		}
		x.resent[id]++
		delete(x.provenAt, id)
	}
	x.written = append(x.written, ids...)
	x.inst.way = append(x.inst.way, again...)
	if n > 0 {
		x.ping()
	}
}

// freeze writes the session down and goes on with what is read from that.
func (x *proxy) freeze() {
	type frozen struct {
		State       State
		Client, Leg ws.Parser
	}
	var b bytes.Buffer
	var f frozen
	if err := gob.NewEncoder(&b).Encode(&frozen{x.State, x.client.in, x.leg.in}); err != nil {
		x.t.Fatalf("%v", err)
	}
	x.Release(x.room)
	if err := gob.NewDecoder(&b).Decode(&f); err != nil {
		x.t.Fatalf("%v", err)
	}
	x.State, x.client.in, x.leg.in = f.State, f.Client, f.Leg
	for _, p := range [][]byte{x.store().Up, x.store().Down, x.store().Tail, x.store().Opening} {
		x.room.adopt(p)
	}
}
