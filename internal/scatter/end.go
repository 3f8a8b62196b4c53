package scatter

import (
	"encoding/binary"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// end is one connection of a session's, the client's or a leg's, and what comes
// from it. Only whole messages are written to it, so it is always between
// frames.
type end struct {
	conn loop.Conn
	in   ws.Parser

	message []byte        // of the message under way, what has come, unmasked; lent by the loop
	pong    []byte        // the answer to its latest ping, where that waits for room
	heard   time.Duration // when the last byte came
	frameAt time.Duration // when the frame under way began; 0 for none
	due     time.Duration // when our next ping is; 0 for never
	asked   time.Duration // when the last unanswered ping was sent; 0 for none
	secret  uint64        // our pings carry secret+n: their pongs are ours
	seq     uint32        // pings of ours that were sent

	messages uint64 // whole ones that came from it
	bytes    uint64 // of data frames that came from it

	op        ws.Opcode // of the message under way
	deflated  bool      // it is
	ponging   bool      // pong is to be sent
	fair      bool      // nothing waited before the last ping: its pong measures the peer
	sentClose bool
	gotClose  bool
	gotEOF    bool // its last byte has come
	deaf      bool // what comes is read and thrown away
}

// reader takes what an end says.
type reader interface {
	// begins judges whether a message may come now, before anything of it is
	// taken.
	begins() verdict
	// said takes a whole message. frame is it as it came, nil where it came in
	// parts or compressed. Both are valid during the call alone.
	said(op ws.Opcode, deflated bool, frame, payload []byte) error
	control(op ws.Opcode, payload []byte) error
	violated(err error)
}

type verdict uint8

const (
	pass verdict = iota
	wait         // not yet: it is shown again
	stop         // the end is told why, and nothing more is taken
)

var errTooBig = &ws.Violation{Section: "RFC 6455 7.4.1", Code: ws.CodeTooBig, What: "message too big"}

// read walks the frames at the start of p and gives whole messages to r. It tells
// how many bytes it took: what is left is shown again with more behind it.
//
// Fast path: a message in one frame is given where it lies; a client's is copied
// once to be read.
func (e *end) read(r reader, room *room, most int64, p []byte) (taken int) {
	l := e.conn.Loop()
	partial, edge := false, false
	for taken < len(p) && !e.deaf && e.conn.Live() {
		before := e.in
		piece, err := e.in.Next(p[taken:])
		if err != nil {
			r.violated(err)
			return len(p)
		}
		b := p[taken : taken+piece.N]
		if partial = piece.Kind == ws.More; partial {
			break
		}
		if piece.Kind == ws.Control {
			edge = edge || !e.in.InFrame()
			taken += piece.N
			payload := room.control[:copy(room.control[:], b[piece.Head:])]
			if h := &e.in.Header; h.Masked {
				ws.Mask(payload, h.Key, 0)
			}
			if err := r.control(e.in.Header.Opcode, payload); err != nil {
				r.violated(err)
				return len(p)
			}
			continue
		}
		if piece.Start {
			switch e.start(r, most) {
			case wait:
				e.in = before
				e.conn.Pause()
				e.pace(false, false)
				return taken
			case stop:
				return len(p)
			}
		}
		taken += piece.N
		e.bytes += uint64(piece.N)
		edge = edge || piece.End
		if err := e.data(r, room, l, &piece, b); err != nil {
			r.violated(err)
			return len(p)
		}
	}
	e.pace(e.in.InFrame() || partial, edge)
	return taken
}

// start judges a data frame by its header.
func (e *end) start(r reader, most int64) verdict {
	h := &e.in.Header
	if h.Opcode != ws.Continuation {
		if v := r.begins(); v != pass {
			return v
		}
		e.op, e.deflated = h.Opcode, h.RSV == ws.RSV1
	}
	if most > 0 && (h.Length > uint64(most) || h.Length+uint64(len(e.message)) > uint64(most)) {
		r.violated(errTooBig)
		return stop
	}
	return pass
}

// data takes a piece of a data frame.
func (e *end) data(r reader, room *room, l *loop.Loop, piece *ws.Piece, b []byte) error {
	payload := b[piece.Head:]
	whole := piece.End && e.in.MessageEnd()
	if whole {
		e.messages++
	}
	if whole && piece.Start && e.in.Header.Opcode != ws.Continuation {
		frame := b
		if e.deflated {
			frame = nil
		}
		if e.in.Header.Masked { // the frame goes on as it came
			room.plain = append(room.plain[:0], payload...)
			payload = room.plain
			e.in.Unmask(payload)
		}
		return r.said(e.op, e.deflated, frame, payload)
	}
	at := len(e.message)
	e.message = l.Extend(e.message, payload)
	e.in.Unmask(e.message[at:])
	if !whole {
		return nil
	}
	message := e.message
	e.message = nil
	err := r.said(e.op, e.deflated, nil, message)
	l.Return(message)
	return err
}

// pace keeps the clock of a frame that is not whole; edge tells that another one
// has ended.
func (e *end) pace(partial, edge bool) {
	switch {
	case !partial:
		e.frameAt = 0
	case e.frameAt == 0 || edge:
		e.frameAt = e.conn.Loop().Now()
	}
}

// inject writes a control frame of our own; masked as a client's towards an
// instance.
func (e *end) inject(op ws.Opcode, payload []byte) {
	l := e.conn.Loop()
	h := ws.Header{Fin: true, Opcode: op}
	if !e.in.Masked {
		h.Masked, h.Key = true, l.MaskKey()
	}
	e.conn.Write(ws.AppendFrame(l.Scratch(), h, payload))
}

// pinged answers a ping: at once, or when there is room, then the latest alone
// (RFC 6455, section 5.5.3). One that pings and does not read would have its
// pongs pile up here.
func (e *end) pinged(payload []byte) {
	if e.sentClose {
		return
	}
	if e.conn.Full() {
		e.pong, e.ponging = append(e.pong[:0], payload...), true
		return
	}
	e.inject(ws.Pong, payload)
}

// drained sends what waited for room.
func (e *end) drained() {
	if e.ponging && !e.conn.Full() {
		e.ponging = false
		e.pinged(e.pong)
	}
}

// ping sends a ping of ours.
func (e *end) ping(now time.Duration) {
	e.seq++
	var payload [8]byte
	binary.BigEndian.PutUint64(payload[:], e.secret+uint64(e.seq))
	if e.asked == 0 || e.heard >= e.asked {
		_, waits := e.conn.Stalled()
		e.fair, e.asked = !waits, now
	}
	e.inject(ws.Ping, payload[:])
}

// ponged takes a pong. For the latest ping of ours, if nothing stood in its way,
// it gives the round-trip time.
func (e *end) ponged(payload []byte) (rtt time.Duration, ok bool) {
	if len(payload) == 8 && e.asked != 0 && e.fair && binary.BigEndian.Uint64(payload)-e.secret == uint64(e.seq) {
		rtt, ok = e.conn.Loop().Now()-e.asked, true
	}
	e.asked = 0
	return rtt, ok
}

// fate is what an end's clocks say of it.
type fate uint8

const (
	fine   fate = iota
	slow        // a frame does not come at the pace that it must
	silent      // it answers no pings
	stuck       // it does not read
)

// judge holds the end's clocks against now, and pings it when that is due. The
// clocks of what we wait for stand while we don't read it, or output waits.
func (e *end) judge(t *config.Timeouts, now time.Duration) fate {
	if !e.conn.Live() || e.conn.Connecting() {
		return fine
	}
	since, waits := e.conn.Stalled()
	if waits && t.Write > 0 && now >= since+t.Write {
		return stuck
	}
	if e.deaf || e.gotClose {
		return fine
	}
	if e.conn.Paused() && e.frameAt != 0 {
		e.frameAt = now
	}
	if waits || e.conn.Paused() {
		if e.asked > e.heard {
			e.asked, e.fair = now, false
		}
	}
	switch {
	case t.Frame > 0 && e.frameAt != 0 && now >= e.frameAt+t.Frame+limit.Pace(e.in.Seen()):
		return slow
	case t.Pong > 0 && e.asked > e.heard && now >= e.asked+t.Pong:
		return silent
	}
	e.duePing(t, now)
	return fine
}

// duePing pings the end if it is time. One that has been heard lately need not be
// asked, save an instance, for the round-trip time.
func (e *end) duePing(t *config.Timeouts, now time.Duration) {
	switch {
	case t.Ping == 0 || now < e.due || e.sentClose:
	case e.in.Masked && now < e.heard+t.Ping:
		e.due = e.heard + t.Ping
	default:
		e.due = now + t.Ping
		if e.asked == 0 || e.heard >= e.asked { // else one is out, and its clock runs
			e.ping(now)
		}
	}
}

// sooner gives the earlier of two times of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// next is when judge has something to do; 0 for never.
func (e *end) next(t *config.Timeouts, now time.Duration) (next time.Duration) {
	if !e.conn.Live() || e.conn.Connecting() {
		return 0
	}
	if since, waits := e.conn.Stalled(); waits && t.Write > 0 {
		next = sooner(next, since+t.Write)
	}
	if e.deaf || e.gotClose {
		return next
	}
	if e.frameAt != 0 && t.Frame > 0 {
		next = sooner(next, e.frameAt+t.Frame+limit.Pace(e.in.Seen()))
	}
	if e.asked > e.heard && t.Pong > 0 {
		next = sooner(next, e.asked+t.Pong)
	}
	if t.Ping > 0 && !e.sentClose {
		next = sooner(next, max(e.due, now+time.Millisecond))
	}
	return next
}

// close tells the end a code.
func (e *end) close(code uint16, reason string) {
	if e.sentClose || !e.conn.Live() {
		return
	}
	l := e.conn.Loop()
	var key *[4]byte
	if !e.in.Masked {
		k := l.MaskKey()
		key = &k
	}
	e.conn.Write(ws.AppendClose(l.Scratch(), code, reason, key))
	e.sentClose = true
}

// release gives back what the loop has lent.
func (e *end) release(l *loop.Loop) {
	if e.message != nil {
		l.Return(e.message)
		e.message = nil
	}
}
