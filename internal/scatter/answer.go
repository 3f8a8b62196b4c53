package scatter

import (
	"bytes"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/content"
	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// said takes a whole message of the instance's.
func (g *leg) said(op ws.Opcode, _ bool, frame, payload []byte) error {
	s := g.session
	g.used, s.active = s.now(), s.now()
	g.inst.Traffic(s.loop().Index, 1, uint64(len(payload)))
	if s.phase != open && s.phase != parting {
		return nil
	}
	s.answered(g, op, frame, payload)
	if s.client.conn.Paused() {
		s.unclog()
	}
	s.conclude()
	return nil
}

// answered passes on what an instance says, if it is the client's. It is read
// whatever its size: one that was too large to answer would be answered for again.
//
// Fast path: no allocation, the frame goes on as it came.
func (s *session) answered(g *leg, op ws.Opcode, frame, payload []byte) {
	outcome, e := gather.Unknown, (*gather.Entry)(nil)
	if op == ws.Text && !s.route.id.Zero() {
		readable := content.Check(payload) == nil
		if !readable {
			s.route.Observe.Scattered(s.route.Name, eventUnread)
		}
		// Where an id that is awaited stands in what is not JSON, it is the answer
		// still. It can't be collected: nobody could read the whole.
		if readable || s.route.book.Policy != gather.Collect {
			if id, _, ok := s.idOf(payload); ok {
				outcome, e = s.book.Answered(g.number, idHash(id), id, payload)
			}
		}
	}
	if outcome == gather.Unknown && g.behind {
		outcome = gather.Late
	}
	switch outcome {
	case gather.Pass:
		s.toClient(op, frame, payload)
	case gather.Late:
		s.route.Observe.Scattered(s.route.Name, eventLate)
	case gather.NoRoom:
		if s.route.Observe.Scattered(s.route.Name, eventNoRoom); e != nil {
			s.collected(e)
		}
	case gather.Whole:
		s.collected(e)
	case gather.Unknown:
		if u := s.route.Scatter.Gather.Unsolicited; u == "pass" || u == "home" && g == s.home {
			s.toClient(op, frame, payload)
		} else {
			s.route.Observe.Scattered(s.route.Name, eventDropped)
		}
	}
}

// collected gives the client what was collected for a message.
func (s *session) collected(e *gather.Entry) {
	r := s.room()
	if r.answer = e.AppendCollected(r.answer[:0]); e.Partial() {
		s.route.Observe.Scattered(s.route.Name, eventPartial)
	}
	s.book.Settle(e)
	s.toClient(ws.Text, nil, r.answer)
	s.readLegs()
}

// deflateLeast is the least that is compressed, in bytes: below it little is won.
const deflateLeast = 256

// toClient sends the client a message: as it came, or compressed where that was
// agreed on.
func (s *session) toClient(op ws.Opcode, frame, payload []byte) {
	if s.client.sentClose {
		return
	}
	r := s.room()
	h := ws.Header{Fin: true, Opcode: op}
	switch {
	case s.deflate && len(payload) >= deflateLeast:
		r.inflated = r.deflate.Append(r.inflated[:0], payload)
		if len(r.inflated) < len(payload) {
			h.RSV, payload = ws.RSV1, r.inflated
		}
		frame = ws.AppendFrame(r.out[:0], h, payload)
		r.out = frame
	case frame == nil:
		frame = ws.AppendFrame(r.out[:0], h, payload)
		r.out = frame
	}
	s.client.conn.Write(frame)
	s.route.Counters.Count(s.loop(), loop.ToClient, 1, uint64(len(frame)))
}

// tell answers a message in an instance's place, with what on_lost says. id is as
// it stands in the message, nil where it has none.
func (s *session) tell(id []byte, reason, instance string) {
	if id == nil {
		id = []byte("null")
	}
	var b bytes.Buffer
	if err := s.route.answer.Execute(&b, config.LostFields{ID: string(id), Reason: reason, Instance: instance}); err != nil {
		s.route.Complain.Warn("on_lost.error gives no text", "route", s.route.Name, "err", err)
		s.giveUp(reason)
		return
	}
	s.toClient(ws.Text, nil, b.Bytes())
	if s.client.conn.Full() {
		s.told += b.Len()
	}
}

// mostTold is how much of our own answers waits for a client to read it before that
// is not read itself, in bytes.
const mostTold = 64 << 10

// unanswered tells the client that a message gets no answer.
func (s *session) unanswered(e *gather.Entry, event, reason string) {
	if s.route.book.Policy == gather.Collect {
		s.collected(e)
		return
	}
	s.route.Observe.Scattered(s.route.Name, event)
	raw := append([]byte(nil), e.Raw...)
	instance := e.Last()
	s.book.Settle(e)
	s.tell(raw, reason, instance)
}

// expired is a message whose answers did not come in time.
func (s *session) expired(e *gather.Entry) {
	switch {
	case e.Orphaned():
		s.unanswered(e, eventNowhere, "no instance could be asked in time")
	default:
		s.unanswered(e, eventTimeout, "no answer in time")
	}
}
