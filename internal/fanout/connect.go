package fanout

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
	"github.com/sluice-proxy/sluice/internal/ws"
)

var (
	errHungUp   = upstream.ErrHungUp
	errEnded    = errors.New("the source hung up without a close")
	errUnlisted = errors.New("the configuration names it no more")
	errPanic    = errors.New("internal error")
	errLate     = upstream.ErrAnswerTimeout
	errNoPong   = errors.New("no answer to a ping")
	errNoRead   = errors.New("the source does not read")
	errSlow     = errors.New("a frame came too slowly")
	errTooBig   = &ws.Violation{Section: "RFC 6455 7.4.1", Code: ws.CodeTooBig, What: "message too big"}
	errText     = &ws.Violation{Section: "RFC 6455 8.1", Code: ws.CodeInvalidPayload, What: "text that is not UTF-8"}
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
	s.renew()
	s.tryURL()
}

// tryURL looks up the addresses of the present URL.
func (s *source) tryURL() {
	t := s.stream
	if s.tried == len(s.endpoints) {
		s.exhausted()
		return
	}
	s.tried++
	s.state = looking
	t.route().fanout.wg.Add(1)
	go s.lookUp(s.endpoints[s.url])
}

// lookUp asks for the addresses of an endpoint, beside the loop.
func (s *source) lookUp(e *upstream.Endpoint) {
	defer s.stream.route().fanout.wg.Done()
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTimeout)
	defer cancel()
	dials, err := e.LookUp(ctx)
	s.stream.loop.Post(&lookedUp{s, e, dials, err})
}

type lookedUp struct {
	source *source
	of     *upstream.Endpoint
	dials  []*loop.Dial
	err    error
}

// Run tries what was found.
func (t *lookedUp) Run(*loop.Loop) {
	s := t.source
	if s.state != looking || s.endpoints[s.url] != t.of {
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
	r, l := t.route(), t.loop
	e := s.endpoints[s.url]
	d := s.dials[0]
	s.dials = s.dials[1:]
	s.key = handshake.NewKey(l.Nonce())
	s.offer = &handshake.Offer{Protocols: r.Fanout.Subprotocols}
	if r.Fanout.SourceCompress {
		s.offer.Deflate = []string{handshake.DeflateOffer}
	}
	query := t.target.query
	if s.epoch != "" { // of one source alone
		from := "sluice_from=" + s.epoch + "-" + strconv.FormatUint(s.next, 10)
		if query != "" {
			query += "&"
		}
		query += from
	}
	h := handshake.Header{}
	if s.line == nil {
		h["Sluice-From"] = []string{"oldest"}
	}
	for name, value := range r.header {
		h[name] = value
	}
	head := s.offer.AppendRequest(nil, &handshake.Forward{Target: e.Target(t.target.path, query), Host: e.Host(), Key: s.key, Header: h})
	s.state, s.waits = dialing, handshake.Waiter{}
	s.in = ws.Parser{}
	s.answer = l.Now() + r.Timeouts.Handshake
	s.until = min(l.Now()+r.Timeouts.Dial, s.answer)
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
	r := t.route()
	s.err, s.until = err, 0
	reason := upstream.Reason(err)
	r.Observe.DialError(reason)
	r.Complain.Warn("source not reached", "route", r.Name, "stream", t.target.String(), "source", s.endpoints[s.url].Name(), "reason", reason, "err", err)
	if len(s.dials) > 0 {
		s.dial()
		return
	}
	s.url = (s.url + 1) % len(s.endpoints)
	s.tryURL()
}

// exhausted waits before the URLs are tried once more.
func (s *source) exhausted() {
	s.state, s.failedAt = idle, s.stream.loop.Now()
	s.attempt = s.stream.pending()
	if s.stream.allFailed() {
		s.stream.giveUp(s.err)
	}
	s.again()
}

// allFailed tells whether no source is left that those who wait could be let in
// by.
func (s *Stream) allFailed() bool {
	a := s.pending()
	return !slices.ContainsFunc(s.sources, func(src *source) bool { return src.state != over && src.attempt != a })
}

// giveUp tells those who wait for a source that none was reached.
func (s *Stream) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt == nil {
		return
	}
	s.attempt.err = err
	close(s.attempt.done)
	s.attempt = &attempt{done: make(chan struct{})}
}

// again has the source tried once more, after a while.
func (s *source) again() {
	l := s.stream.loop
	s.until = 0
	s.retry = l.Now() + s.backoff.Next(l.Random())
	l.Arm(&s.timer, s, s.retry)
}
