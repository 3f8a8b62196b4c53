package fanout

import (
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// closeWord is what SSE and NDJSON clients are told at the end.
type closeWord struct {
	Code   uint16 `json:"code"`
	Reason string `json:"reason,omitempty"`
}

// part ends the subscription: what is under way of a message is finished, the
// client is told w, and nothing follows.
func (s *subscriber) part(w lastWord) {
	if s.seat == parted || s.has(flagEnded) {
		return
	}
	l := s.loop()
	s.aside().last = w
	if !s.letGo() { // nothing may follow half a message
		s.more.last.code = 0
		s.cut()
		return
	}
	s.aud.move(s, parted)
	s.notify(true)
	s.first = s.delivered()
	s.at = cursor{}
	a := s.more
	a.then, a.floor, a.digest = cursor{}, cursor{}, nil
	s.farewell(w)
	a.until = l.Now() + s.route().Timeouts.Close
	l.Arm(&s.timer, s, a.until)
	if s.has(flagDeaf) {
		s.conn.CloseWrite() // its answer is not read: it need not wait for ours to that
	}
	s.settle()
}

// farewell is the last that the client hears.
func (s *subscriber) farewell(w lastWord) {
	if s.has(flagSentClose) {
		return
	}
	s.flags |= flagSentClose
	if s.webSocket() {
		s.conn.Write(ws.AppendClose(s.loop().Scratch(), w.code, w.reason, nil))
		return
	}
	s.conn.Write(s.aud.form.word(nil, "close", closeWord{w.code, w.reason}))
	s.conn.CloseWrite()
}

// settle ends a subscriber that was told, once it has answered.
func (s *subscriber) settle() {
	if s.has(flagGotClose) && s.conn.Live() {
		s.conn.CloseWrite() // RFC 6455, section 7.1.1: the server closes first
	}
}

// delivered counts the messages that the client got.
func (s *subscriber) delivered() uint64 {
	if s.at.seg == nil { // parted: it was counted then
		return s.first
	}
	_, before := s.needs()
	n := s.at.number()
	return n - min(n, s.first+s.lost()+uint64(before))
}

// lost counts the messages that the client did not get.
func (s *subscriber) lost() uint64 {
	if s.more == nil {
		return 0
	}
	return s.more.lost
}

// cut ends the connection at once.
func (s *subscriber) cut() {
	s.conn.Abort()
	s.end()
}

// gone is a client that ends without a word, or breaks.
func (s *subscriber) gone(reason string) {
	if !s.has(flagSentClose) {
		s.aside().last = lastWord{reason: reason, side: "client"}
	}
	s.conn.Close()
	s.end()
}

// EOF is the client's last byte. What it is being told of the end goes out first.
func (s *subscriber) EOF(*loop.Conn) {
	if s.has(flagSentClose) && s.full() {
		s.flags |= flagHungUp
		return
	}
	s.gone("the client hung up")
}

// Failed is a connection that broke.
func (s *subscriber) Failed(*loop.Conn, error) { s.gone("the client's connection broke") }

// Panicked ends a subscriber whose state can't be trusted. It is for the loop.
func (s *subscriber) Panicked() {
	s.aside().last = lastWord{reason: "internal error", side: "proxy"}
	s.cut()
}

// end takes the subscriber out of the books.
func (s *subscriber) end() {
	if s.has(flagEnded) {
		return
	}
	s.flags |= flagEnded
	l := s.loop()
	l.Disarm(&s.timer)
	s.report()
	s.aud.leave(s)
	s.at = cursor{}
	s.forget()
	s.route().Counters.Closed(l) // the last: whoever sees that it is gone may take its place
}

// forget counts out one that is no longer there, or never was.
func (s *subscriber) forget() {
	s.aud.stream.unread(s.aud.form)
	s.aud.stream.release()
	s.route().Ended(s.addr)
}

// Leaving says how all subscribers are to end.
type Leaving struct {
	Code   uint16
	Reason string
	Spread time.Duration // over which they are told; each at a time of its own
}

type leaving struct {
	Leaving
	by time.Duration // on the loop's clock: when the last is told
}

// Leave ends all subscriptions, and those that begin from now on.
func (f *Fanout) Leave(w Leaving) {
	f.goOnce.Do(func() { close(f.going) })
	for i := range f.crews {
		f.crews[i].loop.Post(&leaveTask{&f.crews[i], w})
	}
}

type leaveTask struct {
	crew *crew
	Leaving
}

// Run schedules the loop's subscribers.
func (t *leaveTask) Run(l *loop.Loop) {
	w := &leaving{t.Leaving, l.Now() + t.Spread}
	t.crew.stopping = w
	t.crew.each(func(s *subscriber) { s.schedule(w) })
}

// each calls f with every subscriber of the loop; f may take it out.
func (w *crew) each(f func(*subscriber)) {
	for k := len(w.members) - 1; k >= 0; k-- {
		if k < len(w.members) {
			w.members[k].each(f)
		}
	}
}

// schedule has a subscriber leave at a time of its own.
func (s *subscriber) schedule(w *leaving) {
	if s.seat == parted {
		return
	}
	now := s.loop().Now()
	s.aside().last = lastWord{code: w.Code, reason: w.Reason, side: "proxy"}
	s.flags |= flagScheduled
	s.more.until = now + 1
	if spread := w.by - now; spread > 0 {
		s.more.until += time.Duration(s.loop().Random() % uint64(spread))
	}
	s.loop().Arm(&s.timer, s, s.more.until)
}

// Cut ends all subscriptions at once, and waits until they have been counted
// out.
func (f *Fanout) Cut() {
	done := make(chan struct{}, len(f.crews))
	for i := range f.crews {
		f.crews[i].loop.Post(&cutTask{&f.crews[i], done})
	}
	for range f.crews {
		<-done
	}
}

type cutTask struct {
	crew *crew
	done chan<- struct{}
}

// Run cuts the loop's subscribers.
func (t *cutTask) Run(*loop.Loop) {
	defer func() { t.done <- struct{}{} }()
	t.crew.each(func(s *subscriber) {
		if s.aside().last.side == "" {
			s.more.last = lastWord{reason: "stopped", side: "proxy"}
		}
		s.cut()
	})
}
