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
	run, at := 0, 0 // p[run:at] is judged and goes on
	var messages uint64
	waiting, edge := false, false // edge: a frame has ended
	for at < len(p) && !waiting {
		before := from.in
		piece, err := from.in.Next(p[at:])
		if err != nil {
			s.send(to, p[run:at])
			s.count(from, messages, at)
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
					s.send(to, p[run:at])
					s.count(from, messages, at)
					s.fault(from)
					return len(p)
				case wait:
					from.in = before
					waiting = true
					continue
				}
			}
			if piece.End && from.in.MessageEnd() {
				messages++
			}
			at += piece.N
			edge = edge || piece.End
		case ws.Control:
			frame := p[at : at+piece.N]
			at += piece.N
			edge = edge || !from.in.InFrame()
			if s.passes(from, frame, piece.Head) {
				continue
			}
			s.send(to, p[run:at-piece.N])
			run = at
			if s.control(from, to, frame, piece.Head); from.deaf {
				s.count(from, messages, at)
				return len(p)
			}
		}
	}
	s.send(to, p[run:at])
	s.count(from, messages, at)
	s.afterwards(from, to, at < len(p), edge)
	return at
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
	if from == s.leg {
		d = loop.ToClient
	}
	from.bytes += uint64(n)
	from.messages += messages
	s.route.Counters.Count(s.loop(), d, messages, uint64(n))
	s.inst.Traffic(s.loop().Index, messages, uint64(n))
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
	if to.wantPing && !from.in.InFrame() {
		s.ping(to)
	}
	if to.conn.Full() {
		from.conn.Pause()
		s.awaitRoom(to)
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
	if s.leg.in.InFrame() || s.client.sentClose || s.client.conn.Full() {
		return
	}
	ws.Mask(payload, s.client.in.Header.Key, 0)
	s.inject(&s.client, ws.Header{Fin: true, Opcode: ws.Pong}, payload)
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
