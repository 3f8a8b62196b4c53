package faults_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// The sides of a session.
const (
	client = iota
	instance
)

var sides = [2]string{"client", "instance"}

// frame is one that a side sends: of a message, or a ping.
type frame struct {
	op      ws.Opcode
	fin     bool
	rsv     byte
	payload []byte // shared: part of the scroll
	after   int    // frames that must have come from the other side before
}

// ways in which a side ends a session.
const (
	byClose = iota
	byFIN
	byRST
	byFINInFrame
	byRSTInFrame
)

// ending is who ends a session, and how.
type ending struct {
	by    int
	how   int
	close string // the payload of the close
	waits bool   // for all that the other side has to say
}

// abrupt tells of an end without a close.
func (e ending) abrupt() bool { return e.how != byClose }

// torn tells of an end that may overtake what is on its way to the other side:
// a reset does, and so does the reset of an instance that a client's end inside a
// frame is answered with. A client gets all that was relayed.
func (e ending) torn() bool {
	return e.how == byRST || e.how == byRSTInFrame || e.how == byFINInFrame && e.by == client
}

// inFrame tells of an end inside a frame.
func (e ending) inFrame() bool { return e.how == byFINInFrame || e.how == byRSTInFrame }

// String tells of it in a failure.
func (e ending) String() string {
	text := sides[e.by] + " " + [...]string{"closes", "hangs up", "resets", "hangs up inside a frame", "resets inside a frame"}[e.how]
	if e.how == byClose {
		text += fmt.Sprintf(" with %q", e.close)
	}
	if e.waits {
		text += " when it has heard all"
	}
	return text
}

// loss tells of a close that means that the instance is lost.
func (e ending) loss() bool {
	code, _, _ := ws.ParseClose([]byte(e.close))
	return e.by == instance && e.how == byClose && (code == ws.CodeGoingAway || code == ws.CodeRestart)
}

// talk is all that is chosen of a session before it begins.
type talk struct {
	id      int
	deflate bool
	early   bool // the client's first frame comes with its request
	prompt  bool // and the instance's with its answer
	refusal int  // the instance's status; 0 for a 101
	says    [2][]frame
	end     ending
	narrow  bool             // the client's link
	path    script           // of the client's link
	legs    [maxTries]script // of the instances', try by try
}

// maxTries is how many instances are asked for one client.
const maxTries = 3

// scroll is what payloads are cut out of, at random places: a byte out of place
// shows.
type scroll struct{ binary, text []byte }

const scrollSize = 1 << 20

func newScroll(seed uint64) *scroll {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &scroll{make([]byte, scrollSize), make([]byte, scrollSize)}
	for i := range s.binary {
		x := r.Uint32()
		s.binary[i], s.text[i] = byte(x), ' '+byte(x>>8)%('~'-' ')
	}
	return s
}

func (s *scroll) cut(r *rand.Rand, op ws.Opcode, size int) []byte {
	from := s.binary
	if op == ws.Text {
		from = s.text
	}
	at := r.IntN(len(from) - size)
	return from[at : at+size]
}

// writing is a talk that is being drawn.
type writing struct {
	*talk
	r      *rand.Rand
	scroll *scroll
	pings  int
	room   int // bytes that large messages may still take
}

// newTalk draws session id of a run.
func newTalk(seed uint64, id int, s *scroll) *talk {
	r := rand.New(rand.NewPCG(seed, uint64(id)+2))
	w := &writing{talk: &talk{id: id}, r: r, scroll: s, room: 500 << 10}
	w.deflate = r.IntN(3) == 0
	w.early = !w.deflate && r.IntN(4) == 0
	w.prompt = r.IntN(3) == 0
	if r.IntN(30) == 0 {
		w.refusal = 400 + r.IntN(5)
	}
	style := r.IntN(4)
	for range 1 + r.IntN(30) {
		switch style {
		case 0: // a request, and its answer
			w.message(client, true)
			w.message(instance, true)
		case 1: // bursts of either
			for side, n := r.IntN(2), r.IntN(20); n >= 0; n-- {
				w.message(side, false)
			}
		case 2: // pushes, and a word from the client now and then
			w.message(instance, false)
			if r.IntN(8) == 0 {
				w.message(client, r.IntN(2) == 0)
			}
		default:
			w.message(r.IntN(2), r.IntN(3) == 0)
		}
	}
	w.finish()
	return w.talk
}

// message adds a message, maybe in fragments, maybe with pings between them.
func (w *writing) message(side int, waits bool) {
	r := w.r
	size, op := r.IntN(200), ws.Text
	switch r.IntN(25) {
	case 0:
		size = min(r.IntN(300<<10), w.room)
		w.room -= size
	case 1, 2:
		size = r.IntN(20 << 10)
	case 3:
		size = 0
	}
	if r.IntN(2) == 0 {
		op = ws.Binary
	}
	f := frame{op: op, fin: true}
	if waits {
		f.after = len(w.says[1-side])
	}
	if w.deflate && r.IntN(2) == 0 {
		f.rsv = ws.RSV1
	}
	for r.IntN(3) == 0 || size > 100<<10 {
		k := r.IntN(size + 1)
		f.fin, f.payload = false, w.scroll.cut(r, op, k)
		w.says[side] = append(w.says[side], f)
		size -= k
		f.op, f.rsv = ws.Continuation, 0
		if r.IntN(3) == 0 {
			w.ping(side)
		}
	}
	f.fin, f.payload = true, w.scroll.cut(r, op, size)
	w.says[side] = append(w.says[side], f)
	if r.IntN(8) == 0 {
		w.ping(side)
	}
}

// ping adds one that is not taken for the proxy's own, which have eight bytes.
func (w *writing) ping(side int) {
	w.pings++
	w.says[side] = append(w.says[side], frame{op: ws.Ping, fin: true, payload: fmt.Appendf(nil, "ping %d of the %s", w.pings, sides[side])})
}

// codes that either side closes with; 0 stands for a close without one.
var codes = [2][]uint16{
	client:   {0, 1000, 1000, 1000, 1001, 1003, 1008, 1011, 3000, 4000, 4999},
	instance: {0, 1000, 1000, 1000, 1001, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4001, 4999},
}

// finish draws the end, and what the links do.
func (w *writing) finish() {
	r := w.r
	w.end = ending{by: r.IntN(2), waits: r.IntN(3) > 0}
	if r.IntN(3) == 0 {
		w.end.how = byFIN + r.IntN(4)
	}
	all := codes[w.end.by]
	if code := all[r.IntN(len(all))]; code != 0 {
		w.end.close = string([]byte{byte(code >> 8), byte(code)}) + strings.Repeat("why not ", r.IntN(8))
	}
	bytes := [2]int{300, 300}
	for side, frames := range w.says {
		for _, f := range frames {
			bytes[side] += len(f.payload) + 8
		}
	}
	w.narrow = r.IntN(3) == 0
	w.path = draw(r, bytes, 4)
	for n := range w.legs {
		w.legs[n] = draw(r, bytes, 4)
	}
}
