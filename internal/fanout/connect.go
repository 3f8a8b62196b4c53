package fanout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

var (
	errHungUp = upstream.ErrHungUp
	errEnded  = errors.New("the source hung up without a close")
	errPanic  = errors.New("internal error")
	errLate   = fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)
	errNoPong = errors.New("no answer to a ping")
	errNoRead = errors.New("the source does not read")
	errSlow   = errors.New("a frame came too slowly")
	errTooBig = &ws.Violation{Section: "RFC 6455 7.4.1", Code: ws.CodeTooBig, What: "message too big"}
	errText   = &ws.Violation{Section: "RFC 6455 8.1", Code: ws.CodeInvalidPayload, What: "text that is not UTF-8"}
)

func validText(p []byte) bool { return utf8.Valid(p) }

// closedError is a source that closed.
type closedError struct {
	code   uint16
	reason string
}

// Error gives the code and the reason.
func (e *closedError) Error() string {
	return "closed by the source with " + strconv.Itoa(int(e.code)) + " " + strconv.Quote(e.reason)
}

const lookUpTimeout = 5 * time.Second

// begin tries all URLs, from the present one on.
func (s *source) begin() {
	if s.state != idle {
		return
	}
	s.retry, s.tried = 0, 0
	s.tryURL()
}

// tryURL looks up the addresses of the present URL.
func (s *source) tryURL() {
	t := s.stream
	if s.tried == len(t.route.endpoints) {
		s.exhausted()
		return
	}
	s.tried++
	s.state = looking
	t.route.fanout.wg.Add(1)
	go s.lookUp(t.route.endpoints[s.url])
}

// lookUp asks for the addresses of an endpoint, beside the loop.
func (s *source) lookUp(e *upstream.Endpoint) {
	defer s.stream.route.fanout.wg.Done()
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTimeout)
	defer cancel()
	dials, err := e.LookUp(ctx)
	s.stream.loop.Post(&lookedUp{s, dials, err})
}

type lookedUp struct {
	source *source
	dials  []*loop.Dial
	err    error
}

// Run tries what was found.
func (t *lookedUp) Run(*loop.Loop) {
	s := t.source
	if s.state != looking {
		return
	}
	s.dials = t.dials
	if t.err != nil {
		s.failed(t.err)
		return
	}
	s.dial()
}

// dial tries the next address.
func (s *source) dial() {
	t := s.stream
	r, l := t.route, t.loop
	e := r.endpoints[s.url]
	d := s.dials[0]
	s.dials = s.dials[1:]
	s.key = handshake.NewKey(l.Nonce())
	s.offer = &handshake.Offer{Protocols: r.Fanout.Subprotocols}
	if r.Fanout.SourceCompress {
		s.offer.Deflate = []string{handshake.DeflateOffer}
	}
	query := t.target.query
	if s.epoch != "" {
		from := "sluice_from=" + s.epoch + "-" + strconv.FormatUint(s.next, 10)
		if query != "" {
			query += "&"
		}
		query += from
	}
	h := handshake.Header{"Sluice-From": {"oldest"}}
	for name, value := range r.header {
		h[name] = value
	}
	head := s.offer.AppendRequest(nil, &handshake.Forward{Target: e.Target(t.target.path, query), Host: e.Host(), Key: s.key, Header: h})
	s.state, s.waits = dialing, handshake.Waiter{}
	s.in = ws.Parser{}
	s.until = l.Now() + r.Timeouts.Dial
	s.fresh()
	l.Dial(s.conn, s.leg, d, head)
	l.Arm(&s.timer, s, s.until)
}

// failed goes on to the next address, or the next URL.
func (s *source) failed(err error) {
	if s.conn.Live() {
		s.conn.Abort()
	}
	t := s.stream
	r := t.route
	s.err, s.until = err, 0
	reason := upstream.Reason(err)
	r.Observe.DialError(reason)
	r.Complain.Warn("source not reached", "route", r.Name, "stream", t.target.String(), "source", r.endpoints[s.url].Name(), "reason", reason, "err", err)
	if len(s.dials) > 0 {
		s.dial()
		return
	}
	s.url = (s.url + 1) % len(r.endpoints)
	s.tryURL()
}

// exhausted waits before the URLs are tried once more.
func (s *source) exhausted() {
	s.state, s.failedAt = idle, s.stream.loop.Now()
	s.giveUp(s.err)
	s.again()
}

// giveUp tells those who wait for the source that it was not reached.
func (s *source) giveUp(err error) {
	t := s.stream
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened {
		return
	}
	t.attempt.err = err
	close(t.attempt.done)
	t.attempt = &attempt{done: make(chan struct{})}
}

// again has the source tried once more, after a while.
func (s *source) again() {
	l := s.stream.loop
	s.until = 0
	s.retry = l.Now() + s.backoff.Next(l.Random())
	l.Arm(&s.timer, s, s.retry)
}

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
	r, l := t.route, t.loop
	now := l.Now()
	s.state, s.until, s.err, s.dials = open, 0, nil, nil
	s.opened, s.heard, s.asked, s.frameAt = now, now, 0, 0
	s.in = ws.Parser{Deflate: answer.Deflate}
	s.inflate = ws.Inflater{Takeover: answer.Takeover()}
	s.due, s.keep = now+r.Timeouts.Ping, now+r.Fanout.Keepalive.Every
	t.protocol.Store(&answer.Protocol)
	name := r.endpoints[s.url].Name()
	t.name.Store(&name)
	resumed := s.goOn(answer.Sluice)
	if !resumed {
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
		t.route.Observe.Lost(t.route.Name, lostGap, n-wanted)
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
	t.route.Log.Warn("stream goes on in a new epoch: what the source sent meanwhile is missing", "route", t.route.Name,
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
	if !t.opened {
		t.opened = true
		t.attempt.from = t.plain.live()
		close(t.attempt.done)
		t.attempt = nil // its place in the log is for those who wait alone
	}
}

// wake has Expire called no later than after behind from; never when after is
// off.
func (s *source) wake(from, after time.Duration) {
	if after > 0 {
		s.stream.loop.Arm(&s.timer, s, from+after)
	}
}

// Expire holds the source's clocks against now, and tells when it wants to be
// called next.
func (s *source) Expire(now time.Duration) time.Duration {
	if s.checkLinger(now); s.state == over {
		return 0
	}
	switch {
	case s.state == dialing && s.until != 0 && now >= s.until:
		if !s.conn.Connecting() && now < s.until-s.stream.route.Timeouts.Dial+s.stream.route.Timeouts.Handshake {
			s.until += s.stream.route.Timeouts.Handshake - s.stream.route.Timeouts.Dial
			break
		}
		s.failed(errLate)
	case s.state == idle && s.retry != 0 && now >= s.retry:
		s.begin()
	case s.state == open:
		s.checkLife(now)
	}
	if r := s.stream.route; r.Fanout.History.Age > 0 {
		s.stream.plain.trim(r.fanout.clock())
	}
	s.checkStale(now)
	return s.nextDeadline(now)
}

// checkLife looks at the connection's pings, frames and writes.
func (s *source) checkLife(now time.Duration) {
	r := s.stream.route
	t := &r.Timeouts
	since, waits := s.conn.Stalled()
	if waits || s.conn.Paused() || s.heard >= s.asked {
		s.asked = 0
	}
	switch {
	case waits && t.Write > 0 && now >= since+t.Write:
		s.lose("not_reading", errNoRead)
		return
	case s.asked != 0 && t.Pong > 0 && now >= s.asked+t.Pong:
		s.lose("no_pong", errNoPong)
		return
	case s.frameAt != 0 && s.conn.Paused():
		s.frameAt = now
	case s.frameAt != 0 && t.Frame > 0 && now >= s.frameDeadline():
		s.lose("slow_frame", errSlow)
		return
	}
	if t.Ping > 0 && now >= s.due {
		s.due = now + t.Ping
		if s.asked == 0 && !waits {
			s.asked = now
			s.inject(ws.Header{Fin: true, Opcode: ws.Ping}, nil)
		}
	}
	if k := &r.Fanout.Keepalive; k.Every > 0 && now >= s.keep {
		s.keep = now + k.Every
		if !waits {
			s.inject(ws.Header{Fin: true, Opcode: ws.Text}, []byte(k.Send))
		}
	}
}

func (s *source) frameDeadline() time.Duration {
	return s.frameAt + s.stream.route.Timeouts.Frame + time.Duration(s.in.Seen())*time.Second/slowest
}

// checkStale calls the stream stale when nothing has come for too long.
func (s *source) checkStale(now time.Duration) {
	t := s.stream
	after := t.route.Fanout.StaleAfter
	if after == 0 {
		return
	}
	ago := t.age()
	switch {
	case ago < after:
		if s.staleAt != 0 {
			s.staleAt = 0
			t.stale.Store(false)
		}
	case s.staleAt == 0:
		s.staleAt = now
		t.stale.Store(true)
		t.route.Complain.Warn("stream is stale", "route", t.route.Name, "stream", t.target.String(), "silent", ago.Round(time.Millisecond))
		t.tellStale(ago)
	}
}

// nextDeadline is the earliest of the source's clocks.
func (s *source) nextDeadline(now time.Duration) time.Duration {
	r := s.stream.route
	next := time.Duration(0)
	earlier := func(from, after time.Duration) {
		if from != 0 && after > 0 && (next == 0 || from+after < next) {
			next = from + after
		}
	}
	earlier(s.until, 1)
	earlier(s.retry, 1)
	earlier(s.lingers, 1)
	if after := r.Fanout.StaleAfter; after > 0 {
		earlier(now+max(after-s.stream.age(), after/4), 1)
	}
	if age := r.Fanout.History.Age; age > 0 {
		earlier(now, max(age/4, time.Second))
	}
	if s.state == open {
		t := &r.Timeouts
		if t.Ping > 0 {
			earlier(s.due, 1)
		}
		if r.Fanout.Keepalive.Every > 0 {
			earlier(s.keep, 1)
		}
		if s.asked != 0 {
			earlier(s.asked, t.Pong)
		}
		if s.frameAt != 0 && t.Frame > 0 {
			earlier(s.frameDeadline(), 1)
		}
		if since, waits := s.conn.Stalled(); waits {
			earlier(max(since, 1), t.Write)
		}
	}
	if next == 0 {
		return 0
	}
	return max(next, now+time.Millisecond)
}
