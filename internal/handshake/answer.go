package handshake

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// MaxHead is the most that a head may take, request or answer, in bytes.
const MaxHead = 16 << 10

// Answer is an instance's 101, judged and found good, or a 101 of our own.
type Answer struct {
	Protocol   string // the subprotocol chosen, if any
	Extensions string // as it came, or from AcceptDeflate; if any
	Deflate    bool   // permessage-deflate is in use
	Header     Header // its other fields, hop-by-hop ones and Sluice's own removed
	Sluice     Header // Sluice-* fields: the instance is one
}

// The ways in which an instance's answer is no answer.
var (
	ErrHead     = errors.New("malformed answer head")
	ErrHeadSize = errors.New("answer head over 16 KiB")
	ErrNot101   = errors.New("the answer is not 101")
)

// HeadEnd finds the end of a head in p: the bytes of it with its empty line, 0
// when that is not there yet, or ErrHeadSize.
func HeadEnd(p []byte) (int, error) {
	if i := bytes.Index(p[:min(len(p), MaxHead)], []byte("\r\n\r\n")); i >= 0 {
		return i + 4, nil
	}
	if len(p) >= MaxHead {
		return 0, ErrHeadSize
	}
	return 0, nil
}

// maxInterim is how many interim answers are skipped for one.
const maxInterim = 5

// ErrInterim is an instance that does not come to its answer.
var ErrInterim = errors.New("too many interim answers")

// Waiter finds an instance's answer behind interim ones (RFC 9110, section
// 15.2). The zero Waiter has seen none.
type Waiter struct{ interim int }

// Next looks at what has come and was not skipped before. skip is bytes of
// interim answers, which are not to be shown again; head those of the answer's
// head behind them, 0 while that is not whole.
func (w *Waiter) Next(p []byte) (skip, head, status int, err error) {
	for {
		rest := p[skip:]
		if head, err = HeadEnd(rest); err == nil {
			status, err = Status(rest)
		}
		if err != nil || head == 0 || status == 101 || status >= 200 {
			return skip, head, status, err
		}
		skip += head
		if w.interim++; w.interim > maxInterim {
			return skip, 0, 0, ErrInterim
		}
	}
}

// Status reads the status of an answer's head, which must be HTTP/1.1 or 1.0.
// It is 0 while the status line is not whole; what can't become one is an
// error at once.
func Status(head []byte) (int, error) {
	line, _, whole := bytes.Cut(head, []byte("\r\n"))
	const start = "HTTP/1."
	if n := min(len(line), len(start)); string(line[:n]) != start[:n] {
		return 0, ErrHead
	}
	if !whole {
		return 0, nil
	}
	if len(line) < 12 || line[7] != '1' && line[7] != '0' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' || !isValue(string(line)) {
		return 0, ErrHead
	}
	n, err := strconv.ParseUint(string(line[9:12]), 10, 16)
	if err != nil || n < 100 {
		return 0, ErrHead
	}
	return int(n), nil
}

// Accept holds the head of an instance's answer against what was asked with
// key (RFC 6455, section 4.1). The error says what was wrong; nothing may be
// tunnelled then.
func (o *Offer) Accept(head []byte, key string) (*Answer, error) {
	status, err := Status(head)
	if err != nil {
		return nil, err
	}
	if status != 101 {
		return nil, ErrNot101
	}
	if head[7] != '1' {
		return nil, errors.New("101 in HTTP/1.0")
	}
	h, err := parseFields(head)
	if err != nil {
		return nil, err
	}
	switch {
	case len(h["Upgrade"]) != 1 || !strings.EqualFold(h["Upgrade"][0], "websocket"):
		return nil, errors.New("101 whose Upgrade is not websocket")
	case !hasToken(h["Connection"], "upgrade"):
		return nil, errors.New("101 whose Connection does not name upgrade")
	case len(h["Sec-Websocket-Accept"]) != 1 || h["Sec-Websocket-Accept"][0] != AcceptKey(key):
		return nil, errors.New("101 whose Sec-WebSocket-Accept does not answer the key")
	case has(h, "Transfer-Encoding") || hasLength(h):
		return nil, errors.New("101 with a body")
	}
	return o.negotiated(h)
}

// negotiated judges the subprotocol and the extensions of a 101.
func (o *Offer) negotiated(h Header) (*Answer, error) {
	a := &Answer{Header: Pass(h)}
	for name, values := range h {
		if strings.HasPrefix(name, "Sluice-") {
			if a.Sluice == nil {
				a.Sluice = Header{}
			}
			a.Sluice[name] = values
		}
	}
	if p := h["Sec-Websocket-Protocol"]; len(p) > 0 {
		if len(p) > 1 || !contains(o.Protocols, p[0]) {
			return nil, errors.New("101 with a subprotocol that was not offered")
		}
		a.Protocol = p[0]
	}
	if lines := h["Sec-Websocket-Extensions"]; len(lines) > 0 {
		exts, ok := parseExtensions(strings.Join(lines, ","))
		if !ok || len(exts) != 1 || exts[0].name != deflate || len(o.Deflate) == 0 || !exts[0].validAnswer(o.Deflate) {
			return nil, errors.New("101 with an extension that was not offered")
		}
		a.Extensions, a.Deflate = exts[0].raw, true
	}
	return a, nil
}

// parseFields reads the fields of a head strictly: CRLF alone ends a line, no
// folding, no space before the colon.
func parseFields(head []byte) (Header, error) {
	lines := strings.Split(strings.TrimSuffix(string(head), "\r\n\r\n"), "\r\n")
	h := make(Header, len(lines))
	for _, line := range lines[1:] {
		name, value, ok := cutField(line)
		if !ok {
			return nil, ErrHead
		}
		name = canonical(name)
		h[name] = append(h[name], value)
	}
	return h, nil
}

// cutField takes a field's line apart, if it keeps the rules.
func cutField(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	value = trim(value)
	return name, value, ok && isToken(name) && isValue(value)
}

// Append appends the 101 that the client gets: the proxy's accept for the
// client's own key, what was negotiated, the answer's other fields, and extra
// ones, a cookie for instance.
func (a *Answer) Append(b []byte, o *Offer, extra ...[2]string) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	b = appendField(b, "Sec-WebSocket-Accept", AcceptKey(o.Key))
	if a.Protocol != "" {
		b = appendField(b, "Sec-WebSocket-Protocol", a.Protocol)
	}
	if a.Extensions != "" {
		b = appendField(b, "Sec-WebSocket-Extensions", a.Extensions)
	}
	b = appendFields(b, a.Header)
	for _, f := range extra {
		b = appendField(b, f[0], f[1])
	}
	return append(b, "\r\n"...)
}
