package handshake

import (
	"crypto/sha1"
	"encoding/base64"
	"slices"
	"strings"
)

// NewKey makes a Sec-WebSocket-Key of 16 random bytes.
func NewKey(random [16]byte) string { return base64.StdEncoding.EncodeToString(random[:]) }

// AcceptKey is the Sec-WebSocket-Accept that answers key (RFC 6455, section
// 4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Forward says what the proxy's own request to an instance carries.
type Forward struct {
	Target string // path and query, as they stand in the request line
	Host   string
	Key    string // the proxy's own, from NewKey
	Header Header // fields of the client's that go on, and those that are set; see Pass
}

// Pass gives the client's fields that may go on to an instance: no hop-by-hop
// ones, none of the handshake's own, and none that Sluice sets (Sluice-*), nor
// what an instance may take for one of those.
func Pass(h Header) Header {
	out := make(Header, len(h)+6)
	for name, values := range h {
		if as := ReadAs(name); passes(as, h) && !strings.HasPrefix(as, "Sluice-") {
			out[name] = values
		}
	}
	return out
}

// ReadAs gives the name that a field has for those who read it by CGI's rules
// (RFC 3875, section 4.1.18): _ and - are the same to them, so that a client
// could pass X_Forwarded_For by whoever looks for X-Forwarded-For.
func ReadAs(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	return canonical(strings.ReplaceAll(name, "_", "-"))
}

// AppendRequest appends the request that asks an instance for what o offers.
func (o *Offer) AppendRequest(b []byte, f *Forward) []byte {
	b = append(b, "GET "...)
	b = append(b, f.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", f.Host)
	b = append(b, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"...)
	b = appendField(b, "Sec-WebSocket-Key", f.Key)
	if len(o.Protocols) > 0 {
		b = appendField(b, "Sec-WebSocket-Protocol", strings.Join(o.Protocols, ", "))
	}
	if len(o.Deflate) > 0 {
		b = appendField(b, "Sec-WebSocket-Extensions", strings.Join(o.Deflate, ", "))
	}
	b = appendFields(b, f.Header)
	return append(b, "\r\n"...)
}

// appendFields appends h sorted by name, so that an instance sees the same
// head for the same request.
func appendFields(b []byte, h Header) []byte {
	var room [32]string
	names := room[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			b = appendField(b, spelling(name), v)
		}
	}
	return b
}

// appendField appends one field; one that could break the head is left out.
func appendField(b []byte, name, value string) []byte {
	if !isToken(name) || !isValue(value) {
		return b
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// Saved is a request that may have to be made again, to another instance. It is
// read-only.
type Saved struct {
	text                   string // target, host, subprotocol, and the fields as they go
	target, host, protocol uint16 // their lengths
}

// Save keeps a request of the client's that was answered with a subprotocol, or
// "": the only one that may be offered again.
func Save(f *Forward, protocol string) Saved {
	b := make([]byte, 0, 512)
	b = append(b, f.Target...)
	b = append(b, f.Host...)
	b = append(b, protocol...)
	b = appendFields(b, f.Header)
	return Saved{string(b), uint16(len(f.Target)), uint16(len(f.Host)), uint16(len(protocol))}
}

// Target is the client's path and query.
func (s *Saved) Target() string { return s.text[:s.target] }

// Host is the client's.
func (s *Saved) Host() string { return s.text[s.target:][:s.host] }

func (s *Saved) rest() (protocol, fields string) {
	rest := s.text[s.target+s.host:]
	return rest[:s.protocol], rest[s.protocol:]
}

// Offer is what is asked for: the subprotocol that was agreed on, and no
// extension.
func (s *Saved) Offer() *Offer {
	o := &Offer{}
	if p, _ := s.rest(); p != "" {
		o.Protocols = []string{p}
	}
	return o
}

// Fits tells whether a new answer is what the client was told.
func (s *Saved) Fits(a *Answer) bool {
	p, _ := s.rest()
	return a.Protocol == p && !a.Deflate
}

// Append appends the request once more; Header of f goes in front of what was
// saved.
func (s *Saved) Append(b []byte, f *Forward) []byte {
	b = s.Offer().AppendRequest(b, f)
	_, fields := s.rest()
	b = append(b[:len(b)-2], fields...)
	return append(b, "\r\n"...)
}
