package handshake

import (
	"bytes"
	"strings"
)

// Plain tells whether a whole request head, blank line included, is that of an
// upgrade which can be read in one way alone: GET, a path, HTTP/1.1, lines that
// end in CRLF, one Host, and nothing that says of a body or asks for anything
// else. Judge still has to look at it. What is not plain may be good all the
// same; it is for a parser that knows all of HTTP.
func Plain(head []byte) bool {
	line, rest, _ := bytes.Cut(head, crlf)
	if !plainLine(line) || !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		return false
	}
	hosts, upgrades := 0, 0
	for {
		line, rest, _ = bytes.Cut(rest, crlf)
		if len(line) == 0 {
			return hosts == 1 && upgrades == 1 && len(rest) == 0
		}
		name, value, ok := bytes.Cut(line, colon)
		if !ok || !isToken(string(name)) || !isValue(string(value)) {
			return false
		}
		switch {
		case equalFold(name, "Host"):
			hosts++
			if !plainHost(string(bytes.Trim(value, " \t"))) {
				return false
			}
		case equalFold(name, "Upgrade"):
			upgrades++
		case equalFold(name, "Content-Length"), equalFold(name, "Transfer-Encoding"), equalFold(name, "Trailer"), equalFold(name, "Expect"):
			return false
		}
	}
}

var crlf, colon = []byte("\r\n"), []byte(":")

func equalFold(b []byte, s string) bool { return len(b) == len(s) && strings.EqualFold(string(b), s) }

// plainLine judges the request line: origin-form alone (RFC 9112, section 3.2.1).
func plainLine(line []byte) bool {
	target, ok := bytes.CutPrefix(line, []byte("GET /"))
	if !ok {
		return false
	}
	target, ok = bytes.CutSuffix(target, []byte(" HTTP/1.1"))
	for _, c := range target {
		if c <= ' ' || c >= 0x7F {
			return false
		}
	}
	return ok
}

// plainHost allows names and addresses, with a port or without.
func plainHost(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return s != ""
}
