package fanout

import (
	"fmt"
	"strconv"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// answered reads the answer to our handshake. done tells that the connection is
// open and what follows are frames.
func (s *source) answered(p []byte) (taken int, done bool) {
	skip, n, status, err := s.waits.Next(p)
	head := p[skip : skip+n]
	switch {
	case err != nil:
	case n == 0:
		return skip, false
	case status != 101:
		err = fmt.Errorf("the source refused with %d", status)
	default:
		var answer *handshake.Answer
		if answer, err = s.offer.Accept(head, s.key); err == nil {
			s.connected(answer)
			return skip + n, true
		}
	}
	s.failed(err)
	return len(p), false
}

// connected begins the life of a connection.
func (s *source) connected(answer *handshake.Answer) {
	t := s.stream
	r, l := t.route(), t.loop
	now := l.Now()
	s.state, s.until, s.err, s.dials = open, 0, nil, nil
	s.opened, s.heard, s.asked, s.frameAt = now, now, 0, 0
	s.in = ws.Parser{Deflate: answer.Deflate}
	s.inflate = ws.Inflater{Takeover: answer.Takeover()}
	s.due, s.keep = now+r.Timeouts.Ping, now+r.Fanout.Keepalive.Every
	t.protocol.Store(&answer.Protocol)
	name := s.endpoints[s.url].Name()
	t.name.Store(&name)
	if s.line != nil {
		s.joinIn()
	} else if !s.goOn(answer.Sluice) {
		s.greeted = 0
		t.mu.Lock()
		t.greeting = greeting{first: t.plain.live().number()}
		t.mu.Unlock()
	}
	t.up.Store(true)
	r.Log.Info("source connected", "route", r.Name, "stream", t.target.String(), "source", name, "offset", t.epochs.offset(t.plain.live().number()))
	for _, text := range r.Fanout.Subscribe {
		s.inject(ws.Header{Fin: true, Opcode: ws.Text}, []byte(text))
	}
	s.Drained(s.conn)
	if s.late == 0 {
		s.ready()
	}
	l.Arm(&s.timer, s, s.nextDeadline(now))
}

// goOn finds out where in the stream the connection begins: a source that is a
// Sluice says so. It tells whether nothing is missing between the last
// connection and this one.
func (s *source) goOn(h handshake.Header) (resumed bool) {
	t := s.stream
	at := t.plain.live().number()
	epoch, n, sluice := "", uint64(0), false
	if v := h["Sluice-Offset"]; len(v) == 1 {
		epoch, n, sluice = parseOffset(v[0])
	}
	was, wanted := s.epoch, s.next
	s.late, s.known, s.turns = 0, 0, nil
	if sluice && was == epoch && n < wanted { // it is behind, or repeats what we have
		s.known = wanted - n
	}
	if v := h["Sluice-Behind"]; sluice && len(v) == 1 && !t.isOpen() {
		s.late, _ = strconv.ParseUint(v[0], 10, 63)
	}
	if v := h["Sluice-Epochs"]; sluice && len(v) == 1 {
		s.turns = parseEpochs(v[0], at, s.known)
	}
	s.epoch, s.next = epoch, n
	if !sluice {
		s.epoch = ""
	}
	switch {
	case sluice && was == epoch && n <= wanted:
		return true
	case sluice && was == epoch && n > wanted:
		t.route().Observe.Lost(t.route().Name, lostGap, n-wanted)
	}
	if !t.isOpen() && at == 0 {
		if sluice {
			t.rename(epoch, n, at)
		}
		return false
	}
	if !sluice {
		epoch, n = newEpoch(), 0
	}
	t.rename(epoch, n, at)
	t.route().Log.Warn("stream goes on in a new epoch: what the source sent meanwhile is missing", "route", t.route().Name,
		"stream", t.target.String(), "offset", t.epochs.offset(at))
	return false
}

// turn begins the epoch that a source that is a Sluice has told of, where the
// messages before it have all come.
func (s *source) turn() {
	at := s.stream.plain.live().number()
	for len(s.turns) > 0 && s.turns[0].at <= at {
		e := s.turns[0]
		s.turns = s.turns[1:]
		s.epoch, s.next = e.name, e.first
		s.stream.rename(e.name, e.first, at)
	}
}

// ready lets those in who wait for the source.
func (s *source) ready() {
	t := s.stream
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.attempt != nil {
		t.attempt.from = t.plain.live()
		close(t.attempt.done)
		t.attempt = nil // its place in the log is for those who wait alone
	}
}
