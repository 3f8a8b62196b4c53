package relay

import (
	"encoding/binary"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// relayFrom walks the frames at the start of p and sends them on as they came,
// in as few writes as there are gaps. It tells how many bytes it took: not a
// header or a control frame that p holds in part.
//
// Fast path: no allocation, one write for all whole frames and what is there of
// the last one.
func (s *session) relayFrom(from, to *side, p []byte) int {
	w := stretch{from: from, to: to, p: p}
	waiting, edge := false, false // edge: a frame has ended
	for w.at < len(p) && !waiting {
		before := from.in
		piece, err := from.in.Next(p[w.at:])
		if err != nil {
			s.halt(&w)
			s.violated(from, err)
			return len(p)
		}
		switch piece.Kind {
		case ws.More:
			waiting = true
		case ws.Data:
			s.active = s.now()
			if piece.Start {
				switch s.judge(from) {
				case stop:
					from.in = before // the frame does not go on: to is at a boundary
					s.halt(&w)
					s.fault(from)
					return len(p)
				case wait:
					from.in = before
					waiting = true
					continue
				}
			}
			s.walked(&w, piece)
			edge = edge || piece.End
		case ws.Control:
			frame := p[w.at : w.at+piece.N]
			edge = edge || !from.in.InFrame()
			if s.passes(from, frame, piece.Head) {
				s.passed(&w, frame, piece.Head)
				continue
			}
			s.flush(&w)
			w.skip(piece.N)
			if s.control(from, to, frame, piece.Head); from.deaf {
				s.count(from, w.messages, w.at)
				return len(p)
			}
		}
	}
	s.flush(&w)
	s.count(from, w.messages, w.at)
	s.afterwards(from, to, w.at < len(p), edge)
	return w.at
}

// stretch is bytes of one side that are walked: those from run to at are judged
// and have yet to go on; the last message that ends in them ends at whole.
type stretch struct {
	from, to         *side
	p                []byte
	run, whole, at   int
	messages, handed uint64 // that have ended, and of them gone on
}

// skip passes over bytes that do not go on. All before them has.
func (w *stretch) skip(n int) {
	w.at += n
	w.run, w.whole = w.at, w.at
}

// walked takes a piece of a data frame.
func (s *session) walked(w *stretch, piece ws.Piece) {
	ends := piece.End && w.from.in.MessageEnd()
	if s.skips(w.from) {
		s.flush(w)
		if w.skip(piece.N); ends {
			s.kept.Skip--
		}
		return
	}
	if w.at += piece.N; !ends {
		return
	}
	w.whole = w.at
	if w.messages++; s.holds(w.from) {
		s.flush(w)
	}
}

// passed takes a control frame that goes on as it came: with its neighbours, or
// past a message that is held.
func (s *session) passed(w *stretch, frame []byte, head int) {
	if s.kept == nil {
		w.at += len(frame)
		return
	}
	s.flush(w)
	w.skip(len(frame))
	s.crossing(w.from, frame, head)
	s.send(w.to, frame)
}

// halt sends on what was judged before something that ends the session.
func (s *session) halt(w *stretch) {
	n := w.at
	s.flush(w)
	s.count(w.from, w.messages, n)
}

// flush sends on what is judged.
//
// Keeping the client differs from streaming here: a kept session's messages go
// on when they are whole.
func (s *session) flush(w *stretch) {
	p, whole, n := w.p[w.run:w.at], max(w.whole-w.run, 0), int(w.messages-w.handed)
	w.run, w.handed = w.at, w.messages
	switch {
	case s.kept == nil:
		s.send(w.to, p)
	case len(p) == 0:
	case w.from == s.leg:
		s.toClient(p, whole, n)
	default:
		s.toInstance(p, whole, n)
	}
}

// send writes to a side that may still be told things.
func (s *session) send(to *side, p []byte) {
	if len(p) > 0 && !to.sentClose {
		to.conn.Write(p)
	}
}

// count adds what passed to the counters of session, route and instance.
func (s *session) count(from *side, messages uint64, n int) {
	d := loop.ToUpstream
	if from != &s.client {
		d = loop.ToClient
	}
	from.bytes += uint64(n)
	from.messages += messages
	s.route.Counters.Count(s.loop(), d, messages, uint64(n))
	if s.inst != nil {
		s.inst.Traffic(s.loop().Index, messages, uint64(n))
	}
}

// afterwards keeps the clocks and the back-pressure: partial tells that a
// header or a control frame is there in part, edge that a frame has ended, so
// that what is there in part is another.
func (s *session) afterwards(from, to *side, partial, edge bool) {
	switch {
	case !from.in.InFrame() && !partial, from == &s.client && s.throttled != 0:
		from.frameAt = 0
	case from.frameAt == 0 || edge:
		from.frameAt = s.now()
		s.wake(from.frameAt, s.route.Timeouts.Frame)
	}
	if to.wantPing && !s.inside(to) {
		s.ping(to)
	}
	if to.conn.Full() {
		from.conn.Pause()
		s.awaitRoom(to)
	}
	if s.kept != nil && from == &s.client && s.kept.Full(s.kept.rules) {
		from.conn.Pause()
	}
}

// awaitRoom sets the clock of output that waits.
func (s *session) awaitRoom(to *side) {
	if since, waits := to.conn.Stalled(); waits {
		s.wake(since, s.route.Timeouts.Write)
	}
}

// verdict on a data frame's header.
type verdict uint8

const (
	pass verdict = iota
	stop         // it breaks a limit
	wait         // not yet: the parser is put back before it
)

// judge holds the data frame that has just begun against the route's limits.
func (s *session) judge(from *side) verdict {
	limits := &s.route.Limits
	h := &from.in.Header
	most := limits.MessageSizeUpstream
	if from == &s.client {
		most = limits.MessageSizeClient
	}
	size := from.size
	if h.Opcode != ws.Continuation {
		size = 0
	}
	if most > 0 && (h.Length > uint64(most) || size+int64(h.Length) > most) {
		s.blame(lastWord{reason: "message too big", side: "proxy", code: ws.CodeTooBig})
		return stop
	}
	if h.Opcode != ws.Continuation && from == &s.client && limits.MessageRate > 0 {
		if v := s.rated(); v != pass {
			return v
		}
	}
	from.size = size + int64(h.Length)
	return pass
}

// rated takes a token for a client's message.
func (s *session) rated() verdict {
	limits := &s.route.Limits
	ready, at := s.tokens.Take(s.now(), limits.MessageRate, limits.MessageBurst)
	switch {
	case ready:
		return pass
	case limits.MessageOver == "close":
		s.blame(lastWord{reason: "too many messages", side: "proxy", code: ws.CodePolicy})
		return stop
	}
	s.throttled = at
	s.client.conn.Pause()
	s.loop().Arm(&s.timer, s, at)
	return wait
}

// passes tells whether a control frame goes on as it came, with its
// neighbours: pings of the ends and pongs that are not ours.
func (s *session) passes(from *side, frame []byte, head int) bool {
	switch from.in.Header.Opcode {
	case ws.Pong:
		return s.pingOf(from, frame[head:]) == 0
	case ws.Ping:
		return from != &s.client || !s.answersPings() && s.mayPing()
	}
	return false
}

// mayPing takes a token for a client's ping.
func (s *session) mayPing() bool {
	most := s.route.Limits.PingsPerSecond
	if most == 0 {
		return true
	}
	ready, _ := s.pings.Take(s.now(), float64(most), most)
	return ready
}

// answersPings tells whether the client's pings can't reach the instance any
// more: it is lost, or was told that the client goes.
func (s *session) answersPings() bool { return s.leg.sentClose || !s.leg.conn.Live() }

// control treats a control frame that does not pass.
func (s *session) control(from, to *side, frame []byte, head int) {
	switch from.in.Header.Opcode {
	case ws.Pong:
		s.ponged(from, frame[head:])
	case ws.Ping:
		s.pinged(frame[head:])
	case ws.CloseFrame:
		s.closed(from, to, frame, head)
	}
}

// pinged is a ping of the client's that does not pass: one too many, or one
// that is answered here (RFC 6455, section 5.5.2). Inside a frame of the
// instance's nothing can be; the client's close is near then. Nor is one of a
// client that does not read: its pongs would pile up.
func (s *session) pinged(payload []byte) {
	if !s.answersPings() || !s.mayPing() {
		s.blame(lastWord{reason: "too many pings", side: "proxy", code: ws.CodePolicy})
		s.fault(&s.client)
		return
	}
	if s.inside(&s.client) || s.client.sentClose || s.client.conn.Full() {
		return
	}
	ws.Mask(payload, s.client.in.Header.Key, 0)
	s.inject(&s.client, ws.Pong, payload)
	s.awaitRoom(&s.client)
}

// pingOf gives the number of the ping of ours that a pong answers, 0 for none:
// its eight bytes are the session's secret and the number of one that was sent,
// however long ago. Pongs come late behind much that the peer had to read.
func (s *session) pingOf(from *side, payload []byte) uint32 {
	if len(payload) != 8 || from.pingSeq == 0 {
		return 0
	}
	var plain [8]byte
	copy(plain[:], payload)
	if h := &from.in.Header; h.Masked {
		ws.Mask(plain[:], h.Key, 0)
	}
	n := binary.BigEndian.Uint64(plain[:]) - s.secret
	if n > uint64(from.pingSeq) {
		return 0
	}
	return uint32(n)
}
