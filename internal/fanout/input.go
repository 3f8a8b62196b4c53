package fanout

import (
	"errors"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Data reads what the client says.
func (s *subscriber) Data(c *loop.Conn, p []byte) (taken int) {
	s.heard = s.loop().Now()
	edge := false // a frame has ended
	if !s.webSocket() || s.has(flagDeaf) {
		return len(p)
	}
	for taken < len(p) && c.Live() && !s.has(flagDeaf) && !c.Paused() {
		before := s.frame
		piece, err := s.frame.Next(p[taken:])
		if err != nil {
			s.violated(err)
			return len(p)
		}
		switch piece.Kind {
		case ws.More:
			s.pace(true, edge)
			return taken
		case ws.Control:
			s.hear(p[taken+piece.Head : taken+piece.N])
		case ws.Data:
			if !s.hearData(&piece, p[taken+piece.Head:taken+piece.N]) {
				s.frame = before // it is read again when the client may speak
				return taken
			}
		}
		taken += piece.N
		edge = edge || piece.End
	}
	if !s.has(flagEnded) {
		s.pace(s.frame.InFrame(), edge)
		s.tidy()
	}
	if s.has(flagDeaf) || s.has(flagEnded) {
		return len(p)
	}
	return taken
}

// pace keeps the clock of a frame that is not whole; edge tells that another
// one has ended.
func (s *subscriber) pace(partial, edge bool) {
	switch {
	case !partial:
		if s.more != nil {
			s.more.frameAt = 0
		}
	case s.more == nil || s.more.frameAt == 0 || edge:
		s.aside().frameAt = s.loop().Now()
		s.wake(s.more.frameAt, s.route().Timeouts.Frame)
	}
}

// hear treats a control frame.
func (s *subscriber) hear(payload []byte) {
	if s.frame.Header.Masked {
		ws.Mask(payload, s.frame.Header.Key, 0)
	}
	switch s.frame.Header.Opcode {
	case ws.Ping:
		s.pinged(payload)
	case ws.CloseFrame:
		s.closed(payload)
	}
}

// pinged answers a ping: at once, or at the end of the message under way, then
// to the latest alone (RFC 6455, section 5.5.3).
func (s *subscriber) pinged(payload []byte) {
	if most := s.route().Limits.PingsPerSecond; most > 0 {
		if ok, _ := s.aside().pings.Take(s.loop().Now(), float64(most), most); !ok {
			s.part(lastWord{code: ws.CodePolicy, side: "proxy", reason: "too many pings"})
			return
		}
	}
	switch {
	case s.has(flagSentClose):
	case s.has(flagInside) || s.conn.Full():
		a := s.aside()
		a.pong, a.ponging = append(a.pong[:0], payload...), true
	default:
		s.inject(ws.Header{Fin: true, Opcode: ws.Pong}, payload)
	}
}

// closed is the client's close.
func (s *subscriber) closed(payload []byte) {
	code, reason, err := ws.ParseClose(payload)
	if err != nil {
		s.violated(err)
		return
	}
	s.flags |= flagGotClose | flagDeaf
	if s.seat != parted {
		s.part(lastWord{code: code, reason: string(reason), side: "client"})
		return
	}
	s.settle()
}

func (s *subscriber) violated(err error) {
	w := lastWord{code: ws.CodeProtocolError, reason: err.Error(), side: "client"}
	var v *ws.Violation
	if errors.As(err, &v) {
		w.code, w.reason = v.Code, v.What
	}
	s.flags |= flagDeaf
	s.part(w)
}

// hearData treats a piece of a data frame. It is false where the client must
// wait, and the piece is to be shown again.
func (s *subscriber) hearData(piece *ws.Piece, payload []byte) bool {
	r := s.route()
	if s.seat == parted {
		return true
	}
	if r.Fanout.ClientMessages.Policy == "reject" && !s.answerable() {
		s.flags |= flagDeaf
		s.part(lastWord{code: ws.CodePolicy, side: "proxy", reason: "clients only listen here"})
		return true
	}
	if piece.Start {
		if !s.admitted() {
			return s.has(flagDeaf)
		}
		switch s.begins() {
		case waits:
			return false
		case refused:
			return true
		}
	}
	if s.keeps() {
		s.frame.Unmask(payload)
		a := s.aside()
		a.client = append(a.client, payload...)
	}
	if piece.End && s.frame.MessageEnd() {
		s.spoke()
	}
	return true
}

// admitted tells whether the source can be given another message: while it has
// enough to take the client waits, and while it is away with enough waiting for
// it the client is closed.
func (s *subscriber) admitted() bool {
	stream := s.aud.stream
	queued := uint64(max(stream.queued.Load(), 0))
	if queued == 0 || queued+s.frame.Header.Length <= queueMost || s.frame.Header.Opcode == ws.Continuation ||
		s.route().Fanout.ClientMessages.Policy != "forward" {
		return true
	}
	if !stream.up.Load() {
		s.flags |= flagDeaf
		s.part(lastWord{code: ws.CodeTryLater, side: "upstream", reason: "the source does not take messages"})
		return false
	}
	s.aside().throttle = s.loop().Now() + queueLook
	s.conn.Pause()
	s.loop().Arm(&s.timer, s, s.more.throttle)
	return false
}

// verdict on a client's frame.
type verdict uint8

const (
	passes verdict = iota
	waits
	refused
)

// begins judges the frame that has just begun.
func (s *subscriber) begins() verdict {
	limits := &s.route().Limits
	h := &s.frame.Header
	size := h.Length
	if h.Opcode == ws.Continuation {
		size += s.aside().size
	} else if v := s.rated(); v != passes {
		return v
	}
	if most := uint64(limits.MessageSizeClient); most > 0 && (size > most || size < h.Length) {
		s.flags |= flagDeaf
		s.part(lastWord{code: ws.CodeTooBig, side: "proxy", reason: "message too big"})
		return refused
	}
	if h.Opcode != ws.Continuation && s.wanted() {
		a := s.aside()
		a.op, a.deflated, a.client = h.Opcode, h.RSV == ws.RSV1, a.client[:0]
	}
	if !h.Fin || h.Opcode == ws.Continuation || s.wanted() {
		s.aside().size = size
	}
	return passes
}

// rated takes a token for a message.
func (s *subscriber) rated() verdict {
	limits := &s.route().Limits
	if limits.MessageRate == 0 {
		return passes
	}
	a := s.aside()
	ok, at := a.tokens.Take(s.loop().Now(), limits.MessageRate, limits.MessageBurst)
	switch {
	case ok:
		return passes
	case limits.MessageOver == "close":
		s.flags |= flagDeaf
		s.part(lastWord{code: ws.CodePolicy, side: "proxy", reason: "too many messages"})
		return refused
	}
	a.throttle = at
	s.conn.Pause()
	s.loop().Arm(&s.timer, s, at)
	return waits
}

// wanted tells whether the client's messages are read at all.
func (s *subscriber) wanted() bool {
	return s.route().Fanout.ClientMessages.Policy == "forward" || len(s.route().answers) > 0
}

// keeps tells whether the message under way is kept: to be forwarded, or short
// enough to be one that has an answer.
func (s *subscriber) keeps() bool {
	r := s.route()
	if s.has(flagUnheard) {
		return false
	}
	if r.Fanout.ClientMessages.Policy == "forward" {
		return true
	}
	return len(r.answers) > 0 && s.more != nil && s.more.size <= uint64(r.longest)+deflateSlack
}

// deflateSlack is what compression may add to a short text, in bytes.
const deflateSlack = 16

// answerable tells whether the frame under way may be a message that has an
// answer.
func (s *subscriber) answerable() bool {
	size := s.frame.Header.Length
	if s.more != nil && s.frame.Header.Opcode == ws.Continuation {
		size = max(size, size+s.more.size)
	}
	return len(s.route().answers) > 0 && size <= uint64(s.route().longest)+deflateSlack
}

// spoke treats a whole message.
func (s *subscriber) spoke() {
	r, a := s.route(), s.more
	if s.has(flagUnheard) {
		s.flags &^= flagUnheard
		s.aside().client, s.more.size = nil, 0
		r.Observe.Lost(r.Name, lostUnsent, 1)
		return
	}
	if a == nil || !s.wanted() {
		if a != nil {
			a.size = 0
		}
		return
	}
	payload := a.client
	size := a.size
	a.client, a.size = nil, 0
	if uint64(len(payload)) < size { // not kept
		return
	}
	if a.deflated {
		most := int(r.Limits.MessageSizeClient)
		if most == 0 {
			most = 1 << 30
		}
		var err error
		if payload, err = new(ws.Inflater).Append(nil, payload, most); err != nil {
			s.violated(err)
			return
		}
	}
	if a.op == ws.Text && !validText(payload) { // the source would close the connection of all
		s.violated(errText)
		return
	}
	if answer, ok := r.answers[string(payload)]; ok && a.op == ws.Text {
		s.reply(answer)
		return
	}
	switch r.Fanout.ClientMessages.Policy {
	case "forward":
		s.forward(a.op, payload)
	case "reject":
		s.flags |= flagDeaf
		s.part(lastWord{code: ws.CodePolicy, side: "proxy", reason: "clients only listen here"})
	}
}

// reply answers a text ping: at once, or where messages end; then the latest
// alone.
func (s *subscriber) reply(text string) {
	switch {
	case s.has(flagSentClose):
	case s.has(flagInside) || s.conn.Full():
		s.aside().answer = text
	default:
		s.conn.Write(ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text}, []byte(text)))
	}
}

const (
	queueMost = 1 << 20               // bytes of client messages that a stream holds for its source
	queueLook = 10 * time.Millisecond // until a client that waits for that looks again
)

// forward sends a message on to the source.
func (s *subscriber) forward(op ws.Opcode, payload []byte) {
	r, stream := s.route(), s.aud.stream
	if r.wrap != nil {
		payload = render(r.wrap, config.ForwardFields{
			Message: string(payload), Client: s.addr.String(), Session: strconv.FormatUint(s.id, 16),
		})
	}
	frame := ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: op, Masked: true, Key: s.loop().MaskKey()}, payload)
	stream.queued.Add(int64(len(frame)))
	r.Counters.Count(s.loop(), loop.ToUpstream, 1, uint64(len(frame)))
	stream.loop.Post(&forwarding{stream, frame})
}

// forwarding is a client's message on its way to the source's loop.
type forwarding struct {
	stream *Stream
	frame  []byte
}

// Run hands the message to a source.
func (t *forwarding) Run(*loop.Loop) { t.stream.forward(t.frame) }
