package handshake

import "strings"

// Plain tells whether a whole request head, blank line included, is that of an
// upgrade which can be read in one way alone: GET, a path, HTTP/1.1, lines that
// end in CRLF, one Host, and nothing that says of a body or asks for anything
// else. Judge still has to look at it. What is not plain may be good all the
// same; it is for a parser that knows all of HTTP.
func Plain(head []byte) bool {
	first, fields, _ := strings.Cut(string(head), "\r\n")
	fields, whole := strings.CutSuffix(fields, "\r\n\r\n")
	if !whole || !plainLine(first) {
		return false
	}
	hosts, upgrades := 0, 0
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, ok := cutField(line)
		if !ok {
			return false
		}
		switch {
		case strings.EqualFold(name, "Host"):
			hosts++
			if !plainHost(value) {
				return false
			}
		case strings.EqualFold(name, "Upgrade"):
			upgrades++
		case strings.EqualFold(name, "Content-Length"), strings.EqualFold(name, "Transfer-Encoding"), strings.EqualFold(name, "Trailer"), strings.EqualFold(name, "Expect"):
			return false
		}
	}
	return hosts == 1 && upgrades == 1
}

// plainLine judges the request line: origin-form alone (RFC 9112, section 3.2.1).
func plainLine(line string) bool {
	target, ok := strings.CutPrefix(line, "GET /")
	if !ok {
		return false
	}
	target, ok = strings.CutSuffix(target, " HTTP/1.1")
	for i := 0; i < len(target); i++ {
		if c := target[i]; c <= ' ' || c >= 0x7F {
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
