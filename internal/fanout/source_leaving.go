package fanout

import (
	"errors"
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// closed is the source's close: its own end, or one that the application means
// its clients to see.
func (s *source) closed(payload []byte) {
	code, reason, err := ws.ParseClose(payload)
	if err != nil {
		s.violated(err)
		return
	}
	text := string(reason)
	s.letGo(code)
	if slices.Contains(s.stream.route().Fanout.RelayCodes, code) {
		s.relay(code, text)
		return
	}
	s.lose("closed", &closedError{code, text})
}

// relay ends the stream as its source has, once no other one is open. Until then
// a source that has ended it is left alone.
func (s *source) relay(code uint16, reason string) {
	t := s.stream
	r := t.route()
	if slices.ContainsFunc(t.sources, func(o *source) bool { return o != s && o.state == open }) {
		s.lose("closed", &closedError{code, reason})
		s.end()
		return
	}
	r.Log.Info("stream ended by its source", "route", r.Name, "stream", t.target.String(), "code", code, "reason", reason)
	t.end()
	t.finish(code, reason)
}

// letGo tells the source a close, and leaves the connection to end by itself.
func (s *source) letGo(code uint16) {
	l, g := s.stream.loop, s.leg
	key := l.MaskKey()
	g.conn.Write(ws.AppendClose(nil, code, "", &key))
	g.conn.CloseWrite()
	g.conn.Resume()
	g.source = nil
	l.Arm(&g.timer, g, l.Now()+max(s.stream.route().Timeouts.Close, time.Millisecond))
	s.fresh()
}

// violated ends a connection whose source broke a rule.
func (s *source) violated(err error) {
	code := ws.CodeProtocolError
	var v *ws.Violation
	if errors.As(err, &v) {
		code = v.Code
	}
	if code == ws.CodeTooBig {
		s.stream.route().Observe.Lost(s.stream.route().Name, lostTooBig, 1)
	}
	s.letGo(code)
	s.lose("violation", err)
}

// EOF is a connection that ends without a close.
func (s *source) EOF(*loop.Conn) {
	switch s.state {
	case dialing:
		s.failed(errHungUp)
	default:
		s.lose("hung_up", errEnded)
	}
}

// Failed is a connection that broke, or was never made.
func (s *source) Failed(_ *loop.Conn, err error) {
	if s.state == dialing {
		s.failed(err)
		return
	}
	s.lose("broken", err)
}

// lose gives up the connection and looks for another, by the next URL.
func (s *source) lose(name string, err error) {
	if s.state != open {
		return
	}
	t := s.stream
	r := t.route()
	s.conn.Close()
	s.state, s.message, s.frameAt, s.asked, s.ponging = idle, nil, 0, 0, false
	of := s.endpoints[s.url].Name()
	s.url = (s.url + 1) % len(s.endpoints)
	s.dropOut()
	t.flush()
	r.Complain.Warn("source lost", "route", r.Name, "stream", t.target.String(), "source", of, "reason", name, "err", err)
	r.Observe.SourceLost(r.Name, name)
	if s.stream.loop.Now()-s.opened > steady {
		s.backoff.Reset()
	}
	s.again()
}

// steady is how long a connection must last for its loss to be the first.
const steady = 10 * time.Second

// leave ends the connection in good order: nobody needs it.
func (s *source) leave(code uint16) {
	if s.state == open {
		s.letGo(code)
	}
	s.end()
}

// end is the last of the source: no other connection follows.
func (s *source) end() {
	was := s.state
	s.state, s.retry, s.until = over, 0, 0
	s.conn.Close()
	s.stream.loop.Disarm(&s.timer)
	if was == open {
		s.dropOut()
	}
}

// Panicked ends a source whose state can't be trusted. It is for the loop.
func (s *source) Panicked() {
	s.conn.Abort()
	s.lose("panic", errPanic)
}
