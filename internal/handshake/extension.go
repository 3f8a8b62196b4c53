package handshake

import (
	"strconv"
	"strings"
)

// deflate is the one extension that is passed on (RFC 7692).
const deflate = "permessage-deflate"

// extension is one element of Sec-WebSocket-Extensions.
type extension struct {
	name   string
	raw    string // the element as it came
	params [][2]string
}

// parseExtensions reads one line of Sec-WebSocket-Extensions (RFC 6455,
// section 9.1).
func parseExtensions(line string) ([]extension, bool) {
	var exts []extension
	for raw := range strings.SplitSeq(line, ",") {
		e := extension{raw: trim(raw)}
		for i, part := range strings.Split(e.raw, ";") {
			part = trim(part)
			if i == 0 {
				if !isToken(part) {
					return nil, false
				}
				e.name = strings.ToLower(part)
				continue
			}
			name, value, valued := strings.Cut(part, "=")
			name, value = trim(name), trim(value)
			if n := len(value); n > 2 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			if !isToken(name) || valued && !isToken(value) {
				return nil, false
			}
			e.params = append(e.params, [2]string{strings.ToLower(name), value})
		}
		exts = append(exts, e)
	}
	return exts, true
}

// validAnswer tells whether e may answer the offers: sound, and the client's
// window bounded only where the client said that it can.
func (e *extension) validAnswer(offers []string) bool {
	_, bounded := e.param("client_max_window_bits")
	return e.sound(false) && (!bounded || offersClientWindow(offers))
}

// sound tells whether e has parameters of permessage-deflate alone, each once,
// with values that RFC 7692, section 7.1 allows. An offer may leave the value
// of the client's window out.
func (e *extension) sound(offer bool) bool {
	seen := map[string]bool{}
	for _, p := range e.params {
		name, value := p[0], p[1]
		if seen[name] {
			return false
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if value != "" {
				return false
			}
		case "server_max_window_bits":
			if !windowBits(value) {
				return false
			}
		case "client_max_window_bits":
			if !windowBits(value) && (!offer || value != "") {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// param gives the value of the parameter of that name, and whether it is there.
func (e *extension) param(name string) (value string, ok bool) {
	for _, p := range e.params {
		if p[0] == name {
			return p[1], true
		}
	}
	return "", false
}

func windowBits(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 8 && n <= 15 && s[0] != '0' && s[0] != '+'
}

func offersClientWindow(offers []string) bool {
	for _, o := range offers {
		if strings.Contains(strings.ToLower(o), "client_max_window_bits") {
			return true
		}
	}
	return false
}
