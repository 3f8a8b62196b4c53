package hostile_test

import (
	"strings"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// answers are all that a hostile instance may say.
func answers() (all []answer) {
	for _, table := range [][]answer{lies, negotiations, malformed, refusals} {
		all = append(all, table...)
	}
	return all
}

const switching = "HTTP/1.1 101 Switching Protocols\r\n"

// lie is a good answer with more lines.
func lie(lines ...string) string {
	s := switching + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n"
	for _, l := range lines {
		s += l + "\r\n"
	}
	return s + "\r\n"
}

// lies are answers that say 101 and are none.
var lies = []answer{
	{name: "no Accept", about: "RFC 6455 4.1: nginx#1472", bytes: switching + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
	{name: "an empty Accept", about: "RFC 6455 4.1", bytes: switching + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept:\r\n\r\n"},
	{name: "a wrong Accept", about: "RFC 6455 4.1: none of HAProxy, nginx, Envoy, Traefik, Caddy compares it", bytes: switching + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"},
	{name: "the Accept of the client's key", about: "RFC 6455 4.1: an answer from a cache", bytes: switching + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + testkit.ClientAccept + "\r\n\r\n"},
	{name: "an Accept in another case", about: "RFC 4648 4", bytes: strings.Replace(lie(), "Accept: ACCEPT", "Accept: XACCEPT", 1)},
	{name: "two Accepts", about: "RFC 6455 11.3.3", bytes: lie("Sec-WebSocket-Accept: ACCEPT")},
	{name: "two Accepts on a line", about: "RFC 6455 11.3.3", bytes: strings.Replace(lie(), "ACCEPT", "ACCEPT, ACCEPT", 1)},
	{name: "no Upgrade", about: "RFC 6455 4.1", bytes: switching + "Connection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{name: "Upgrade: h2c", about: "RFC 6455 4.1", bytes: switching + "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{name: "Upgrade: websocket, h2c", about: "RFC 6455 4.1", bytes: switching + "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{name: "two Upgrades", about: "RFC 6455 4.1", bytes: lie("Upgrade: h2c")},
	{name: "no Connection", about: "RFC 6455 4.1", bytes: switching + "Upgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{name: "Connection: close", about: "RFC 6455 4.1", bytes: switching + "Upgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{name: "101 with a length", about: "RFC 9110 8.6", bytes: lie("Content-Length: 5") + "hello"},
	{name: "101 with two lengths", about: "RFC 9112 6.3", bytes: lie("Content-Length: 0", "Content-Length: 5") + "hello"},
	{name: "101 in chunks", about: "RFC 9112 6.1", bytes: lie("Transfer-Encoding: chunked") + "0\r\n\r\n"},
	{name: "101 of HTTP/1.0", about: "RFC 9110 15.2", bytes: strings.Replace(lie(), "HTTP/1.1", "HTTP/1.0", 1)},
	{name: "101 of HTTP/2", about: "RFC 9113 8.6", bytes: strings.Replace(lie(), "HTTP/1.1", "HTTP/2", 1)},
	{name: "a frame before the head", about: "Pingora CVE-2026-2833", bytes: "\x81\x02hi" + lie()},
	{name: "fields of Sluice's own", about: "design, section 4", bytes: lie("Sluice-Offset: forged-1", "sluice_offset: forged-1", "Sluice-Greeting: 9"), status: 101, never: []string{"forged", "Greeting"}, none: fanout},
	{name: "Connection names the Accept", about: "RFC 9110 7.6.1", bytes: lie("Connection: Sec-WebSocket-Accept, Upgrade, X-Secret", "X-Secret: 1"), status: 101, never: []string{"Secret"}, none: fanout},
}

// negotiations choose what was not offered: subprotocol a and
// permessage-deflate are.
var negotiations = []answer{
	{name: "a subprotocol that was not offered", about: "RFC 6455 4.1", bytes: lie("Sec-WebSocket-Protocol: b")},
	{name: "two subprotocols", about: "RFC 6455 4.2.2", bytes: lie("Sec-WebSocket-Protocol: a, b")},
	{name: "a subprotocol twice", about: "RFC 6455 11.3.4", bytes: lie("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a")},
	{name: "a subprotocol in another case", about: "RFC 6455 4.1", bytes: lie("Sec-WebSocket-Protocol: A")},
	{name: "an empty subprotocol", about: "RFC 6455 4.2.2", bytes: lie("Sec-WebSocket-Protocol:")},
	{name: "an extension that was not offered", about: "RFC 6455 9.1", bytes: lie("Sec-WebSocket-Extensions: x-webkit-deflate-frame")},
	{name: "two extensions", about: "RFC 7692 5", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate")},
	{name: "an unknown parameter", about: "RFC 7692 7.1", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; level=9")},
	{name: "a parameter twice", about: "RFC 7692 7.1", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_no_context_takeover")},
	{name: "a parameter with a value it can't have", about: "RFC 7692 7.1.1.1", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover=1")},
	{name: "a window too small", about: "RFC 7692 7.1.2.1", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7")},
	{name: "a window too large", about: "RFC 7692 7.1.2.1: undici CVE-2026-2229", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=1000")},
	{name: "a window in octal", about: "RFC 7692 7.1.2.1", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=012")},
	{name: "a window without a size", about: "RFC 7692 7.1.2.1", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits")},
	{name: "a client's window that was not offered", about: "RFC 7692 7.1.2.2", bytes: lie("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10"), none: fanout},
	{name: "malformed extensions", about: "RFC 6455 9.1", bytes: lie("Sec-WebSocket-Extensions: ;")},
}

// malformed are heads that are none.
var malformed = []answer{
	{name: "a folded line", about: "RFC 9112 5.2", bytes: lie("X-Folded: a\r\n b")},
	{name: "a space before the colon", about: "RFC 9112 5.1", bytes: lie("X-Spaced : a")},
	{name: "a NUL", about: "RFC 9110 5.5", bytes: lie("X-Nul: a\x00b")},
	{name: "a bare CR", about: "RFC 9112 2.2: response splitting", bytes: lie("X-Cr: a\rSet-Cookie: b"), never: []string{"Set-Cookie"}},
	{name: "a bare LF", about: "RFC 9112 2.2: response splitting", bytes: lie("X-Lf: a\nSet-Cookie: b"), never: []string{"Set-Cookie"}},
	{name: "a line without a colon", about: "RFC 9112 5", bytes: lie("X-Nothing")},
	{name: "a line of nothing but a colon", about: "HAProxy CVE-2023-25725", bytes: lie(": a")},
	{name: "a head of bare LFs", about: "RFC 9112 2.2", bytes: strings.ReplaceAll(lie(), "\r\n", "\n"), end: true},
	{name: "half a head and FIN", about: "RFC 9112 8", bytes: lie()[:60], end: true},
	{name: "nothing but FIN", about: "RFC 9112 8", end: true},
	{name: "garbage", about: "RFC 9112 4", bytes: "SSH-2.0-OpenSSH_9.6\r\n"},
	{name: "settings of HTTP/2", about: "RFC 9113 3.4", bytes: "\x00\x00\x12\x04\x00\x00\x00\x00\x00"},
	{name: "an alert of TLS", about: "RFC 8446 6", bytes: "\x15\x03\x01\x00\x02\x02\x0a"},
	{name: "a status that is no number", about: "RFC 9112 4", bytes: "HTTP/1.1 1x1 Switching Protocols\r\n\r\n"},
	{name: "a status with a sign", about: "RFC 9112 4", bytes: strings.Replace(lie(), "101", "+101", 1)},
	{name: "a status of four digits", about: "RFC 9112 4", bytes: "HTTP/1.1 1010 Switching Protocols\r\n\r\n"},
	{name: "a status below 100", about: "RFC 9110 15", bytes: "HTTP/1.1 099 Below\r\n\r\n"},
	{name: "status 600", about: "RFC 9110 15", bytes: "HTTP/1.1 600 Above\r\nContent-Length: 0\r\n\r\n"},
	{name: "a NUL in the reason", about: "RFC 9112 4", bytes: strings.Replace(lie(), "Switching", "Swi\x00tching", 1)},
	{name: "an endless head", about: "RFC 9110 5.4", bytes: switching + strings.Repeat("X-Endless: yes\r\n", 1200)},
	{name: "an endless line", about: "RFC 9110 5.4", bytes: "HTTP/1.1 101 " + strings.Repeat("x", 20<<10)},
	{name: "an endless refusal head", about: "RFC 9110 5.4", bytes: "HTTP/1.1 403 Forbidden\r\n" + strings.Repeat("X-Endless: yes\r\n", 1200)},
	{name: "six interim answers", about: "RFC 9110 15.2: 1xx storm", bytes: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 6) + lie()},
	{name: "ten thousand interim answers", about: "RFC 9110 15.2: 1xx storm", bytes: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 10000)},
	{name: "an interim answer with a body", about: "RFC 9110 15.2", bytes: "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + lie()},
}

// refusals are answers that an instance may give, with more behind them or
// inside than they declare.
var refusals = []answer{
	{name: "200 that pretends to upgrade", about: "Envoy CVE-2024-23326", status: 200, body: "ok",
		bytes: "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\nContent-Length: 2\r\n\r\nok"},
	{name: "a body longer than declared", about: "RFC 9112 6.3", bytes: "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nnoMORE", status: 403, body: "no", never: []string{"MORE"}},
	{name: "a second answer behind a refusal", about: "RFC 9112 9.3.2: response splitting", status: 403, body: "no", never: []string{"200 OK", "Set-Cookie"},
		bytes: "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"},
	{name: "a handshake behind a refusal", about: "RFC 6455 4.1", bytes: "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" + lie(), status: 403},
	{name: "204 with a body", about: "RFC 9110 15.3.5", bytes: "HTTP/1.1 204 No Content\r\n\r\nMORE", status: 204, never: []string{"MORE"}},
	{name: "304 with a length", about: "RFC 9110 15.4.5", bytes: "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nMORE", status: 304, never: []string{"MORE"}},
	{name: "a refusal with a length and chunks", about: "RFC 9112 6.3", bytes: "HTTP/1.1 403 No\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\nMORE", status: 403, body: "no", never: []string{"MORE", "chunked"}},
	{name: "a refusal with two lengths", about: "RFC 9112 6.3", bytes: "HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nno"},
	{name: "a refusal with a negative length", about: "RFC 9112 6.3", bytes: "HTTP/1.1 403 No\r\nContent-Length: -2\r\n\r\nno"},
	{name: "a refusal with a length beyond 64 bits", about: "RFC 9110 8.6", bytes: "HTTP/1.1 403 No\r\nContent-Length: 18446744073709551618\r\n\r\nno"},
	{name: "a refusal in an encoding that there is not", about: "RFC 9112 6.1", bytes: "HTTP/1.1 403 No\r\nTransfer-Encoding: xchunked\r\n\r\nno"},
	{name: "a refusal whose chunks have no size", about: "RFC 9112 7.1", bytes: "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n0\r\n\r\n", end: true},
	{name: "a refusal cut in its body", about: "RFC 9112 8", bytes: "HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nno", end: true},
	{name: "a refusal with a NUL", about: "RFC 9110 5.5", bytes: "HTTP/1.1 403 No\r\nX-Nul: a\x00b\r\nContent-Length: 2\r\n\r\nno"},
	{name: "a refusal with a bare CR", about: "RFC 9112 2.2: response splitting", bytes: "HTTP/1.1 403 No\r\nX-Cr: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nno", never: []string{"Set-Cookie"}},
	{name: "a refusal that upgrades to h2c", about: "RFC 9110 7.8", bytes: "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 0\r\n\r\n", status: 426, never: []string{"h2c", "Settings"}},
	{name: "a refusal that names Sluice's fields", about: "design, section 4", bytes: "HTTP/1.1 403 No\r\nSluice-Offset: forged-1\r\nContent-Length: 0\r\n\r\n", status: 403, never: []string{"forged"}},
}
