package fanout

import (
	"strconv"
	"time"
)

func (s *subscriber) reportOpen() {
	r := s.route()
	if r.LogOpen {
		r.Log.Info("session open", "session", strconv.FormatUint(s.id, 16), "route", r.Name, "stream", s.aud.stream.target.String(),
			"client", s.client(), "transport", s.aud.form.String())
	}
}

// report tells how a subscription has ended, once.
func (s *subscriber) report() {
	r := s.route()
	var w lastWord
	if s.more != nil {
		w = s.more.last
	}
	r.Observe.Closed(r.Name, w.side, w.code)
	if !r.LogClose {
		return
	}
	code := "none"
	if w.code != 0 {
		code = strconv.Itoa(int(w.code))
	}
	r.Log.Info("session close", "session", strconv.FormatUint(s.id, 16), "route", r.Name, "stream", s.aud.stream.target.String(),
		"client", s.client(), "transport", s.aud.form.String(), "duration", (s.loop().Now() - s.began).Round(time.Millisecond),
		"messages", s.delivered(), "lost", s.lost(), "closed_by", w.side, "code", code, "reason", w.reason)
}

// client names the client as logs have it.
func (s *subscriber) client() string {
	if !s.addr.IsValid() {
		return "local"
	}
	return s.addr.String()
}

// String is the stream's name in logs: what it asks of the source.
func (t target) String() string {
	if t.query != "" {
		return t.path + "?" + t.query
	}
	return t.path
}
