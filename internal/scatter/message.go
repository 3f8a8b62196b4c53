package scatter

import (
	"errors"
	"unsafe"

	"github.com/sluice-proxy/sluice/internal/balance"
	"github.com/sluice-proxy/sluice/internal/content"
	"github.com/sluice-proxy/sluice/internal/gather"
	"github.com/sluice-proxy/sluice/internal/rule"
	"github.com/sluice-proxy/sluice/internal/ws"
)

var (
	errLegs      = errors.New("as many instances are asked as may be at a time")
	errUnreached = errors.New("no instance could be reached a moment ago")
	errBehind    = errors.New("what came before it waits to be sent again")
	errInflate   = &ws.Violation{Section: "RFC 7692 7.2.2", Code: ws.CodeTooBig, What: "message that inflates to too much"}
)

// What a compressed message may become: so many times its size, where that is
// more than a little.
const (
	mostRatio    = 200
	mostInflated = 64 << 10 // bytes that any message may have
)

// said takes a whole message of the client's.
func (s *session) said(op ws.Opcode, deflated bool, frame, payload []byte) error {
	if s.phase >= lost {
		if !s.client.gotClose {
			s.route.Observe.Scattered(s.route.Name, eventUnserved)
		}
		return nil
	}
	s.active = s.now()
	if deflated {
		plain, err := s.inflate(payload)
		if err != nil {
			return err
		}
		frame, payload = nil, plain
	}
	if s.phase == open {
		s.forward(op, frame, payload)
	}
	return nil
}

// inflate gives what a compressed message holds; its size and its ratio are
// bounded while that is found out.
func (s *session) inflate(payload []byte) ([]byte, error) {
	r := s.room()
	most := max(mostInflated, mostRatio*len(payload))
	if n := s.route.Limits.MessageSizeClient; n > 0 {
		most = min(most, int(n))
	}
	var err error
	if r.inflated, err = r.inflate.Append(r.inflated[:0], payload, most); err != nil {
		var v *ws.Violation
		if errors.As(err, &v) && v.Code == ws.CodeTooBig {
			err = errInflate
		}
		return nil, err
	}
	return r.inflated, nil
}

// mail is a message on its way.
type mail struct {
	frame   []byte // as it goes to an instance
	payload []byte
	to      *destination
	key     uint64
	keyed   bool // key is what the message is about
	again   bool // it is sent once more: those about the same wait for that
	binary  bool
	valid   bool // payload was read and is JSON
	own     bool // payload is no one else's
}

// forward sends a message where it belongs.
//
// Fast path: no allocation where the leg stands and takes it.
func (s *session) forward(op ws.Opcode, frame, payload []byte) {
	m := mail{frame: frame, payload: payload, binary: op == ws.Binary}
	if !m.binary && s.route.inspects && !s.readable(&m) {
		return
	}
	s.address(&m)
	s.deliver(&m)
}

// deliver sends a message of which it is known where it belongs.
func (s *session) deliver(m *mail) {
	if s.retry != 0 && s.parked == nil { // older ones come first
		if len(s.legs) == 0 && s.vain >= maxTries && !m.to.all && s.resends() && s.identified(m) {
			s.unsent(m, errBehind)
			return
		}
		s.sendAgain()
	}
	var g *leg
	if !m.to.all {
		var err error
		if g, err = s.legFor(m, nil); err == errLegs {
			s.park(m)
			return
		} else if err != nil {
			s.unsent(m, err)
			return
		}
	}
	s.frame(m)
	e := s.enroll(m)
	if m.to.all {
		s.sendToAll(m, e, 0)
		return
	}
	s.sendTo(g, m, e, 0)
	if e != nil && s.route.book.Hedge && s.route.book.HedgeAfter == 0 {
		s.hedge(e)
	}
}

// unsent is a message that can't be sent now. Others about the same wait behind it.
func (s *session) unsent(m *mail, err error) {
	s.frame(m)
	e := s.enroll(m)
	if e != nil && m.keyed && s.route.keyed {
		s.book.About(e, m.key)
	}
	s.nowhere(e, err)
}

// frame makes the frame of a message that did not come as one.
func (s *session) frame(m *mail) {
	if m.frame != nil {
		return
	}
	r, op := s.room(), ws.Text
	if m.binary {
		op = ws.Binary
	}
	r.frame = ws.AppendFrame(r.frame[:0], ws.Header{Fin: true, Opcode: op, Masked: true, Key: s.loop().MaskKey()}, m.payload)
	m.frame = r.frame
}

// park has a message wait until a leg may be made for it. It is read and copied
// once: it may be large, and is tried often.
func (s *session) park(m *mail) {
	p := new(mail)
	if *p = *m; !p.own {
		p.frame, p.payload, p.own = nil, append([]byte(nil), m.payload...), true
	}
	s.parked, s.retry = p, s.now()+busyEvery
}

// readable reads a text strictly. What it can't read goes by on_invalid; false
// says that that is the end of it.
func (s *session) readable(m *mail) bool {
	sc := s.route.Scatter
	reason := "too large to be read"
	if int64(len(m.payload)) <= sc.Inspect {
		err := content.Check(m.payload)
		if err == nil {
			m.valid = true
			return true
		}
		reason = err.Error()
	}
	s.route.Observe.Scattered(s.route.Name, eventInvalid)
	switch sc.OnInvalid {
	case "close":
		s.leave(lastWord{reason: "invalid message: " + reason, side: "proxy", code: ws.CodeInvalidPayload})
		return false
	case "error":
		s.tell(nil, "invalid message: "+reason, "")
		return false
	}
	return true
}

// address finds out where a message belongs.
func (s *session) address(m *mail) {
	send := &s.route.Scatter.Send
	m.to = s.route.fallback
	switch send.Kind {
	case "hash":
		if key, ok := s.keyOf(m); ok {
			m.to, m.key, m.keyed = s.route.usual, balance.Hash(unsafe.String(unsafe.SliceData(key), len(key))), true
		}
	case "by":
		if key, ok := s.keyOf(m); ok {
			if pool, ok := send.To[string(key)]; ok {
				m.to = s.route.named[pool]
			}
		}
	case "rules":
		if pool, ok := s.ruled(m); ok {
			m.to = s.route.named[pool]
		}
	default:
		m.to = s.route.usual
	}
}

// keyOf gives what the message is about.
func (s *session) keyOf(m *mail) ([]byte, bool) {
	r := s.room()
	if m.binary {
		from, to := s.route.Scatter.Send.Bytes[0], s.route.Scatter.Send.Bytes[1]
		if to <= from || to > len(m.payload) {
			return nil, false
		}
		return m.payload[from:to], true
	}
	if !m.valid || s.route.key.Zero() {
		return nil, false
	}
	v, ok := s.route.key.Find(m.payload)
	if !ok {
		return nil, false
	}
	r.key, ok = v.Key(r.key[:0])
	return r.key, ok
}

// ruled gives the pool of the first rule that holds.
func (s *session) ruled(m *mail) (pool string, ok bool) {
	in := &s.room().input
	*in = rule.Input{Payload: m.payload, Binary: m.binary, Checked: m.valid, Opaque: s.route.inspects && !m.valid, Request: s.asked}
	defer func() { *in = rule.Input{} }()
	for k := range s.route.Scatter.Send.Rules {
		rl := &s.route.Scatter.Send.Rules[k]
		holds, err := rl.When.Match(in)
		if err != nil {
			s.route.Observe.Scattered(s.route.Name, eventRuleError)
			s.route.Complain.Warn("rule not held against a message", "route", s.route.Name, "rule", rl.When.Text(), "err", err)
		}
		if holds {
			return rl.To, true
		}
	}
	return "", false
}

// idOf gives the id of a message, as it is compared and as it stands there.
func (s *session) idOf(payload []byte) (id []byte, raw string, ok bool) {
	r := s.room()
	v, ok := s.route.id.Find(payload)
	if !ok {
		return nil, "", false
	}
	r.id, ok = v.ID(r.id[:0])
	return r.id, v.Raw, ok
}

func idHash(id []byte) uint64 { return balance.Hash(unsafe.String(unsafe.SliceData(id), len(id))) }

// identified tells whether a message has an id.
func (s *session) identified(m *mail) (ok bool) {
	if m.valid && !s.route.id.Zero() {
		_, _, ok = s.idOf(m.payload)
	}
	return ok
}

// enroll takes down a message that has an id; nil for any other.
func (s *session) enroll(m *mail) *gather.Entry {
	if !m.valid || s.route.id.Zero() {
		return nil
	}
	id, raw, ok := s.idOf(m.payload)
	if !ok {
		return nil
	}
	e := s.book.Enter(idHash(id), id, raw, s.now())
	e.To = m.to
	if s.route.holds {
		s.book.Hold(e, m.frame)
	}
	return e
}
