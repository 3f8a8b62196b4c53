package handshake

import "strings"

func trim(s string) string { return strings.Trim(s, " \t") }

func has(h Header, name string) bool { return len(h[name]) > 0 }

// hasLength tells whether a head announces a body by its length.
func hasLength(h Header) bool {
	for _, v := range h["Content-Length"] {
		if v != "0" {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// hasToken tells whether a comma-separated header names token, in any case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(trim(t), token) {
				return true
			}
		}
	}
	return false
}

// isToken tells whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func tokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isValue tells whether s may stand as a field's value: no control characters
// but tab (RFC 9110, section 5.5).
func isValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}

// canonical gives name in the form that net/http keeps it in: the first
// letter and those behind a hyphen in upper case, the others in lower.
func canonical(name string) string {
	b := []byte(name)
	up := true
	for i, c := range b {
		switch {
		case up && 'a' <= c && c <= 'z':
			b[i] = c - 'a' + 'A'
		case !up && 'A' <= c && c <= 'Z':
			b[i] = c - 'A' + 'a'
		}
		up = c == '-'
	}
	return string(b)
}

// hopByHop are the fields that concern one connection alone and are never
// passed on (RFC 9110, section 7.6.1).
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Http2-Settings": true,
}

// passes tells whether a field goes on to the other side: neither hop-by-hop,
// nor named by Connection, nor one of the handshake's own. seen is the field
// set that it came in.
func passes(name string, seen Header) bool {
	if hopByHop[name] || name == "Content-Length" || name == "Host" || strings.HasPrefix(name, "Sec-Websocket-") {
		return false
	}
	return !hasToken(seen["Connection"], name)
}

// spelling is how the RFC writes a name whose canonical form differs.
func spelling(name string) string {
	if rest, ok := strings.CutPrefix(name, "Sec-Websocket-"); ok {
		return "Sec-WebSocket-" + rest
	}
	return name
}
