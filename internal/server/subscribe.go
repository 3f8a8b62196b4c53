package server

import (
	"errors"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/handshake"
)

// retryLeast is the least that an event stream's client waits before it comes
// again, in milliseconds; each is told a time of its own up to three times as
// long.
const retryLeast = 1000

// subscribe gives an admitted WebSocket client to its stream.
func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, rt *Route, p peer, offer *handshake.Offer, began time.Time) {
	want := rt.want(r)
	answer := &handshake.Answer{}
	if rt.cfg.Fanout.Compress {
		answer.Extensions, want.Compress = offer.AcceptDeflate()
	}
	t, refusal := s.join(r, rt, want)
	if refusal != nil {
		s.Unsubscribed(p.client)
		s.refused(w, rt, p, refusal, began)
		return
	}
	if protocol := t.Protocol(); protocol != "" {
		for _, offered := range offer.Protocols {
			if offered == protocol {
				answer.Protocol = protocol
			}
		}
	}
	extra := [][2]string{{"Sluice-Offset", t.Offset}}
	if t.Greeting > 0 {
		extra = append(extra, [2]string{"Sluice-Greeting", strconv.Itoa(t.Greeting)})
	}
	if want.Sluice {
		extra = append(extra, [2]string{"Sluice-Behind", strconv.FormatUint(t.Behind, 10)})
		if t.Epochs != "" {
			extra = append(extra, [2]string{"Sluice-Epochs", t.Epochs})
		}
	}
	s.start(w, rt, p, t, answer.Append(nil, offer, extra...), "101", began)
}

// start hands a client to its stream, with the answer to its request.
func (s *Server) start(w http.ResponseWriter, rt *Route, p peer, t *fanout.Ticket, head []byte, result string, began time.Time) {
	taken, err := s.hijack(w)
	if err != nil {
		s.notTaken(w, rt, p, err, began)
		t.Drop()
		s.Unsubscribed(p.client)
		return
	}
	s.cfg.Observe.Handshake(rt.cfg.Name, result, time.Since(began))
	t.Start(taken, head, rand.Uint64(), p.client)
}

// join finds a client's place, if it asks for one in a way that is understood.
func (s *Server) join(r *http.Request, rt *Route, want *fanout.Want) (*fanout.Ticket, *handshake.Refusal) {
	for name, values := range r.URL.Query() {
		switch {
		case name == "sluice_from", !strings.HasPrefix(name, "sluice_"):
		case name != "sluice_announce":
			return nil, &handshake.Refusal{Status: 400, What: "there is no parameter " + strconv.Quote(name) + "; there are sluice_from and sluice_announce"}
		case values[0] != "1" && values[0] != "0":
			return nil, &handshake.Refusal{Status: 400, What: "sluice_announce is 1 or 0"}
		}
	}
	return rt.fanout.Join(r.Context(), want)
}

// notTaken answers a client whose connection net/http does not give up.
func (s *Server) notTaken(w http.ResponseWriter, rt *Route, p peer, err error, began time.Time) {
	s.cfg.Log.Warn("connection not taken over", "client", p.name(), "err", err)
	if errors.Is(err, http.ErrNotSupported) {
		s.refused(w, rt, p, &handshake.Refusal{Status: 500, What: "no connection can be taken over here"}, began)
	}
}

// hijackable tells whether w, or what it wraps, lets its connection go.
func hijackable(w http.ResponseWriter) bool {
	for {
		switch x := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = x.Unwrap()
		default:
			return false
		}
	}
}

// dotted refuses a path that leads elsewhere once a source has resolved it.
func dotted(path string) *handshake.Refusal {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return &handshake.Refusal{Status: 400, What: "the path has a segment of dots"}
		}
	}
	return nil
}

// want reads what a request asks of a stream.
func (rt *Route) want(r *http.Request) *fanout.Want {
	q := r.URL.Query()
	w := &fanout.Want{From: q.Get("sluice_from"), Announce: q.Get("sluice_announce") == "1"}
	if from := r.Header.Get("Sluice-From"); from != "" {
		if w.Sluice = true; w.From == "" {
			w.From = from
		}
	}
	by := &rt.cfg.Fanout.StreamBy
	if by.Path {
		w.Path, _, _ = strings.Cut(rt.target(r), "?")
	}
	var pairs []string
	for _, name := range by.Query {
		for _, value := range q[name] {
			pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(value))
		}
	}
	w.Query = strings.Join(pairs, "&")
	return w
}

// listen serves a request that is no handshake: an event stream, or lines.
func (s *Server) listen(w http.ResponseWriter, r *http.Request, rt *Route) {
	began := time.Now()
	p := s.peerOf(r)
	refusal, result := rt.forbidden(r), ""
	rt.allowOrigin(w, r)
	transport, ok := accepted(r.Header.Values("Accept"))
	switch {
	case refusal != nil:
	case r.Method == http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Methods", "GET")
		w.Header().Set("Access-Control-Allow-Headers", "Accept, Cache-Control, Last-Event-ID")
		w.Header().Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refusal = &handshake.Refusal{Status: 405, What: "this is a stream: GET it", Header: [][2]string{{"Allow", "GET, HEAD, OPTIONS"}}}
	case !ok:
		refusal = &handshake.Refusal{Status: 426, What: "this is a stream: connect a WebSocket, or GET it with Accept: text/event-stream or application/x-ndjson",
			Header: [][2]string{{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}}}
	case r.Method == http.MethodHead:
		w.Header().Set("Content-Type", contentTypes[transport])
		return
	default:
		refusal, result = s.admit(r, rt, p)
		if refusal == nil {
			s.stream(w, r, rt, p, transport, began)
			return
		}
	}
	s.refusedAs(result, w, rt, p, refusal, began)
}

var contentTypes = map[fanout.Transport]string{
	fanout.Events: "text/event-stream; charset=utf-8",
	fanout.Lines:  "application/x-ndjson; charset=utf-8",
}

// accepted gives the transport that a request's Accept names, the first of
// those that there are.
func accepted(accept []string) (fanout.Transport, bool) {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil || strings.HasPrefix(params["q"], "0") && strings.Trim(params["q"], "0.") == "" {
			continue
		}
		switch media {
		case "text/event-stream":
			return fanout.Events, true
		case "application/x-ndjson", "application/ndjson", "application/jsonl":
			return fanout.Lines, true
		}
	}
	return fanout.WebSocket, false
}

// stream gives an admitted HTTP client to its stream.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, rt *Route, p peer, transport fanout.Transport, began time.Time) {
	want := rt.want(r)
	want.Transport = transport
	if want.Seen = r.Header.Get("Last-Event-ID"); want.Seen != "" {
		want.From = "" // a browser that comes again asks with the URL it began with
	}
	if transport == fanout.Events {
		want.Retry = retryLeast + rand.IntN(2*retryLeast)
	}
	t, refusal := s.join(r, rt, want)
	if refusal != nil {
		s.Unsubscribed(p.client)
		s.refused(w, rt, p, refusal, began)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentTypes[transport])
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy of ours or theirs passes on what comes, when it comes
	h.Set("Sluice-Offset", t.Offset)
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var head strings.Builder
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&head) // a Builder takes all
	head.WriteString("\r\n")
	if r.ProtoMajor == 1 && hijackable(w) {
		s.start(w, rt, p, t, []byte(head.String()), "200", began)
		return
	}
	answer, taken, err := s.respond(w, r)
	if err != nil {
		t.Drop()
		s.Unsubscribed(p.client)
		return
	}
	s.cfg.Observe.Handshake(rt.cfg.Name, "200", time.Since(began))
	t.Start(taken, nil, rand.Uint64(), p.client)
	answer.wait()
}

// allowOrigin tells a browser that its page may read the answer, where its
// origin is allowed.
func (rt *Route) allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	from := r.Header.Get("Origin")
	if from == "" || rt.forbidden(r) != nil {
		return
	}
	h.Set("Access-Control-Expose-Headers", "Sluice-Offset")
	if rt.origins.any {
		h.Set("Access-Control-Allow-Origin", "*")
		return
	}
	h.Set("Access-Control-Allow-Origin", from)
	h.Set("Access-Control-Allow-Credentials", "true")
}
