package relay

import (
	"cmp"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// end takes the session out of the books. Both connections are gone.
func (s *session) end() {
	if s.phase == ended {
		return
	}
	s.dropRelief()
	s.phase = ended
	l := s.loop()
	l.Disarm(&s.timer)
	s.relay.fleet[l.Index].remove(s)
	if s.begun == nil {
		s.report()
	} else {
		s.begun.req.Pick.Settled()
	}
	if s.kept != nil {
		s.kept.Release(l)
	}
	s.route.Ended(s.addr)
	if s.inst != nil { // the last: whoever sees that it is gone may take its place
		s.inst.Release()
	}
}

// cut ends the session without a word to either end.
func (s *session) cut() {
	if s.last.side == "" {
		s.last = lastWord{reason: "stopped", side: "proxy"}
	}
	s.leg.conn.Abort()
	s.client.conn.Abort()
	s.end()
}

// Panicked ends a session whose clocks can't be trusted. It is for the loop.
func (s *session) Panicked() { s.cut() }

// report tells how a session that was open has ended, once.
func (s *session) report() {
	l := s.loop()
	s.route.Counters.Closed(l)
	s.route.Observe.Closed(s.route.Name, s.last.side, s.last.code)
	if s.inst != nil {
		s.inst.Ended(cmp.Or(s.leg.ended, ws.CodeNormal))
	}
	if !s.route.LogClose {
		return
	}
	code := "none"
	if s.last.code != 0 {
		code = strconv.Itoa(int(s.last.code))
	}
	instance := "none"
	if s.inst != nil {
		instance = s.inst.Name()
	}
	s.route.Log.Info("session close", "session", strconv.FormatUint(s.id, 16), "route", s.route.Name,
		"instance", instance, "client", s.addr.String(), "duration", (l.Now() - s.started).Round(time.Millisecond),
		"client_messages", s.client.messages, "client_bytes", s.client.bytes,
		"upstream_messages", s.leg.messages, "upstream_bytes", s.leg.bytes,
		"closed_by", s.last.side, "code", code, "reason", s.last.reason)
}
