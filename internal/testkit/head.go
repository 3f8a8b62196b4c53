package testkit

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http/httputil"
	"strconv"
	"strings"
)

// ClientKey is the Sec-WebSocket-Key of every client here: RFC 6455, section
// 1.3 has it.
const ClientKey = "dGhlIHNhbXBsZSBub25jZQ=="

// ClientAccept is what answers ClientKey, from the same place.
const ClientAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// Head is the head of a request or an answer, as it came.
type Head struct {
	Line   string
	Fields [][2]string
	Raw    string
}

// Values gives every value of a field, in order.
func (h *Head) Values(name string) (vs []string) {
	for _, f := range h.Fields {
		if strings.EqualFold(f[0], name) {
			vs = append(vs, f[1])
		}
	}
	return vs
}

// Get gives the values of a field joined by " | ", so that one too many shows.
func (h *Head) Get(name string) string { return strings.Join(h.Values(name), " | ") }

// Status is an answer's.
func (h *Head) Status() int {
	parts := strings.SplitN(h.Line, " ", 3)
	if len(parts) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(parts[1])
	return n
}

// Head reads a whole head.
func (p *Peer) Head(sentence string) *Head {
	p.t.Helper()
	h, err := p.NextHead()
	if err != nil {
		p.t.Fatalf("%s: the %s got no whole head: %s", sentence, p.name, p.why())
	}
	return h
}

// NextHead is Head for a goroutine of the test's.
func (p *Peer) NextHead() (*Head, error) {
	end := -1
	for end < 0 {
		if end = bytes.Index(p.buf, []byte("\r\n\r\n")); end < 0 && !p.fill() {
			return nil, errNoFrame
		}
	}
	h := &Head{Raw: string(p.buf[:end+4])}
	p.buf = p.buf[end+4:]
	lines := strings.Split(strings.TrimSuffix(h.Raw, "\r\n\r\n"), "\r\n")
	h.Line = lines[0]
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		h.Fields = append(h.Fields, [2]string{name, value})
	}
	return h, nil
}

// Upgrade gives a good request. Extra lines are added to it.
func Upgrade(target string, extra ...string) string {
	s := "GET " + target + " HTTP/1.1\r\nHost: sluice.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + ClientKey + "\r\n"
	for _, line := range extra {
		s += line + "\r\n"
	}
	return s + "\r\n"
}

// AcceptFor gives the Sec-WebSocket-Accept of a key.
func AcceptFor(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Answer is a good answer to the request r. Extra lines are added to it.
func Answer(r *Head, extra ...string) string { return AnswerTo(r.Get("Sec-WebSocket-Key"), extra...) }

// AnswerTo is a good answer to a request with this key.
func AnswerTo(key string, extra ...string) string {
	s := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + AcceptFor(key) + "\r\n"
	for _, line := range extra {
		s += line + "\r\n"
	}
	return s + "\r\n"
}

// WantUpgraded reads a good 101.
func (p *Peer) WantUpgraded(sentence string) *Head {
	p.t.Helper()
	h := p.Head(sentence)
	if h.Status() != 101 || h.Get("Sec-WebSocket-Accept") != ClientAccept {
		p.t.Fatalf("%s: want a good 101, got %q", sentence, h.Raw)
	}
	return h
}

// WantAnswer reads a whole answer with this status; it gives the body too.
func (p *Peer) WantAnswer(sentence string, status int) (*Head, string) {
	p.t.Helper()
	h := p.Head(sentence)
	if h.Status() != status {
		p.t.Fatalf("%s: want status %d, got %q", sentence, status, h.Raw)
	}
	return h, p.body(sentence, h)
}

// body reads the body of the answer with head h.
func (p *Peer) body(sentence string, h *Head) string {
	p.t.Helper()
	n, err := strconv.Atoi(h.Get("Content-Length"))
	switch {
	case h.Status() == 204 || h.Status() == 304:
		return ""
	case h.Get("Transfer-Encoding") == "chunked":
		for !bytes.Contains(p.buf, []byte("0\r\n\r\n")) && p.fill() {
		}
		b, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(p.buf)))
		if err != nil {
			p.t.Fatalf("%s: chunked body: %v", sentence, err)
		}
		p.buf = p.buf[bytes.Index(p.buf, []byte("0\r\n\r\n"))+5:]
		return string(b)
	case err != nil:
		b := p.Rest()
		p.buf = nil
		return string(b)
	}
	for len(p.buf) < n && p.fill() {
	}
	if len(p.buf) < n {
		p.t.Fatalf("%s: the body has %d bytes of %d: %s", sentence, len(p.buf), n, p.why())
	}
	b := string(p.buf[:n])
	p.buf = p.buf[n:]
	return b
}

// WantRefusal reads an answer with this status, behind which the connection
// ends.
func (p *Peer) WantRefusal(sentence string, status int) (*Head, string) {
	p.t.Helper()
	h, body := p.WantAnswer(sentence, status)
	p.WantEnd(sentence + "; and nothing follows the refusal")
	return h, body
}
