package hostile_test

import (
	"strconv"
	"strings"
)

// inner is a request that a body hides.
const inner = "GET /smuggled HTTP/1.1\r\nHost: sluice.test\r\nX-Hidden: yes\r\n\r\n"

var bodies = []request{
	{name: "a body with a length", about: "nghttpx CVE-2026-58055", bytes: plus("Content-Length: 5\r\n") + "hello", status: 400},
	{name: "a chunked body", about: "RFC 9112 6.1", bytes: plus("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n", status: 400},
	{name: "an empty chunked body", about: "RFC 9112 7.1", bytes: plus("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", status: 400},
	{name: "length and chunked", about: "RFC 9112 6.3: CL.TE", bytes: plus("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", status: 400},
	{name: "chunked twice", about: "RFC 9112 6.1: TE.TE", bytes: plus("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", status: 501},
	{name: "chunked and identity", about: "RFC 9112 6.1: TE.TE", bytes: plus("Transfer-Encoding: chunked, identity\r\n") + "0\r\n\r\n", status: 501},
	{name: "chunked behind a vertical tab", about: "RFC 9110 5.6.3: HAProxy CVE-2019-18277", bytes: plus("Transfer-Encoding: \x0bchunked\r\n") + "0\r\n\r\n", status: 400},
	{name: "chunked with a space before the colon", about: "RFC 9112 5.1: Go CVE-2019-16276", bytes: plus("Transfer-Encoding : chunked\r\n") + "0\r\n\r\n", status: 400},
	{name: "Transfer-Encoding: identity", about: "RFC 9112 6.1", bytes: plus("Transfer-Encoding: identity\r\n"), status: 501},
	{name: "Transfer-Encoding: gzip, chunked", about: "RFC 9112 6.1", bytes: plus("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", status: 501},
	{name: "an empty Transfer-Encoding", about: "RFC 9112 6.1", bytes: plus("Transfer-Encoding:\r\n"), status: 501},
	{name: "two lengths", about: "RFC 9112 6.3", bytes: plus("Content-Length: 0\r\nContent-Length: 5\r\n") + "hello", status: 400},
	{name: "two lengths on a line", about: "RFC 9112 6.3", bytes: plus("Content-Length: 0, 5\r\n") + "hello", status: 400},
	{name: "a negative length", about: "RFC 9112 6.3", bytes: plus("Content-Length: -1\r\n"), status: 400},
	{name: "a length with a plus", about: "RFC 9110 8.6: llhttp CVE-2018-7159", bytes: plus("Content-Length: +5\r\n") + "hello", status: 400},
	{name: "a length in hexadecimal", about: "RFC 9110 8.6", bytes: plus("Content-Length: 0x5\r\n") + "hello", status: 400},
	{name: "a length beyond 64 bits", about: "RFC 9110 8.6: HAProxy CVE-2021-40346", bytes: plus("Content-Length: 18446744073709551621\r\n") + "hello", status: 400},
	{name: "an empty length", about: "HAProxy CVE-2023-40225", bytes: plus("Content-Length:\r\n") + "hello", status: 400},
	{name: "Expect with a body", about: "RFC 9110 10.1.1", bytes: plus("Expect: 100-continue\r\nContent-Length: 5\r\n") + "hello", status: 400},
	{name: "Expect of something else", about: "RFC 9110 10.1.1", bytes: plus("Expect: the-unexpected\r\n"), status: 417},
}

var heads = []request{
	{name: "a head over 16 KiB", about: "RFC 9110 5.4", bytes: plus("X-Long: " + strings.Repeat("x", 17<<10) + "\r\n"), status: 431},
	{name: "a head of thousands of lines", about: "RFC 9110 5.4", bytes: plus(strings.Repeat("X-Many: yes\r\n", 2000)), status: 431},
	{name: "a name over 16 KiB", about: "RFC 9110 5.4", bytes: plus(strings.Repeat("X", 17<<10) + ": x\r\n"), status: 431},
	{name: "a target over 16 KiB", about: "RFC 9112 3", bytes: with(getLine, "GET /"+strings.Repeat("x", 17<<10)+" HTTP/1.1\r\n"), status: 431},
	{name: "a line that begins with a space", about: "RFC 9112 2.2", bytes: getLine + " " + strings.TrimPrefix(good, getLine) + "\r\n", status: 400},
	{name: "a space before the colon", about: "RFC 9112 5.1", bytes: with(upgrade, "Upgrade : websocket\r\n"), status: 400},
	{name: "a name with a space", about: "RFC 9112 5.1", bytes: plus("X Smuggled: a\r\n"), status: 400},
	{name: "a name of nothing", about: "HAProxy CVE-2023-25725", bytes: plus(": a\r\n"), status: 400},
	{name: "a line without a colon", about: "RFC 9112 5", bytes: plus("X-Nothing\r\n"), status: 400},
	{name: "a NUL in a value", about: "RFC 9110 5.5", bytes: plus("X-Nul: a\x00b\r\n"), status: 400},
	{name: "a bare CR in a value", about: "RFC 9112 2.2", bytes: plus("X-Cr: a\rX-Smuggled: b\r\n"), status: 400},
	{name: "a bell in a value", about: "RFC 9110 5.5", bytes: plus("X-Bell: a\x07\r\n"), status: 400},
	{name: "a NUL in a name", about: "RFC 9110 5.1", bytes: plus("X-\x00Nul: a\r\n"), status: 400},
	{name: "a name beyond ASCII", about: "RFC 9110 5.1", bytes: plus("X-\u017ftrange: a\r\n"), status: 400},
	{name: "a CR and no LF at the end of a line", about: "RFC 9112 2.2", bytes: with(upgrade, "Upgrade: websocket\r"), status: 400},
}

var offers = []request{
	{name: "an empty subprotocol", about: "RFC 6455 4.1", bytes: plus("Sec-WebSocket-Protocol: a,,b\r\n"), status: 400},
	{name: "a subprotocol with a space", about: "RFC 6455 4.1", bytes: plus("Sec-WebSocket-Protocol: a b\r\n"), status: 400},
	{name: "a subprotocol twice", about: "RFC 6455 4.1", bytes: plus("Sec-WebSocket-Protocol: a, a\r\n"), status: 400},
	{name: "a subprotocol on two lines", about: "RFC 6455 11.3.4", bytes: plus("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n"), status: 400},
	{name: "an empty subprotocol field", about: "RFC 6455 4.1", bytes: plus("Sec-WebSocket-Protocol:\r\n"), status: 400},
	{name: "extensions of semicolons", about: "RFC 6455 9.1", bytes: plus("Sec-WebSocket-Extensions: ;;\r\n"), status: 400},
	{name: "extensions of thousands of semicolons", about: "ws CVE-2021-32640, faye GHSA-g78m-2chm-r7qv", bytes: plus("Sec-WebSocket-Extensions: a" + strings.Repeat(";", 8<<10) + "\r\n"), status: 400},
	{name: "an extension's nameless parameter", about: "RFC 6455 9.1", bytes: plus("Sec-WebSocket-Extensions: permessage-deflate; =1\r\n"), status: 400},
	{name: "an extension's open quote", about: "faye GHSA-g78m-2chm-r7qv", bytes: plus("Sec-WebSocket-Extensions: a; b=\"" + strings.Repeat("\\a", 4<<10) + "\r\n"), status: 400},
	{name: "an empty extensions field", about: "RFC 6455 9.1", bytes: plus("Sec-WebSocket-Extensions:\r\n"), status: 400},
}

// cleaned are handshakes that are let in, less what they carry.
var cleaned = []request{
	{name: "Connection names the key", about: "hop-by-hop abuse (nathandavison.com)", bytes: with(connect, "Connection: Upgrade, Sec-WebSocket-Key, Sec-WebSocket-Version\r\n"), status: 101},
	{name: "Connection names what is set", about: "hop-by-hop abuse: Apache CVE-2022-31813", status: 101, sees: []string{"X-Forwarded-For: 127.0.0.1\r\n", "Host: sluice.test\r\n"},
		bytes: with(connect, "Connection: close, Upgrade, Host, X-Forwarded-For, X-Forwarded-Proto, Sluice-Session\r\n")},
	{name: "Connection: close, Upgrade", about: "RFC 9112 9.6", bytes: with(connect, "Connection: close, Upgrade\r\n"), status: 101, never: []string{"close"}},
	{name: "settings of HTTP/2", about: "RFC 7540 3.2.1", bytes: with(connect, "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"), status: 101, never: []string{"http2"}},
	{name: "settings of HTTP/2 that Connection does not name", about: "RFC 7540 3.2.1", bytes: plus("HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"), status: 101, never: []string{"http2"}},
	{name: "fields of Sluice's own", about: "design, section 4", status: 101, never: []string{"forged", "9.9.9.9", "evil"},
		bytes: plus("Sluice-Session: forged\r\nsluice-resume: forged\r\nSluice-From: forged-1\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: evil\r\nx-forwarded-proto: forged\r\nForwarded: for=9.9.9.9\r\n")},
	{name: "fields of Sluice's own with underscores", about: "CGI takes X_Forwarded_For for X-Forwarded-For: nginx underscores_in_headers", status: 101, never: []string{"forged", "9.9.9.9"},
		bytes: plus("Sluice_Session: forged\r\nSLUICE_RESUME: forged\r\nX_Forwarded_For: 9.9.9.9\r\nX-Forwarded_Proto: forged\r\nX_Forwarded-Host: forged\r\n")},
	{name: "fields of the handshake with underscores", about: "CGI takes Sec_WebSocket_Key for Sec-WebSocket-Key", status: 101, never: []string{"forged"},
		bytes: plus("Sec_WebSocket_Key: forged\r\nTransfer_Encoding: forged\r\nContent_Length: forged\r\nProxy_Authorization: forged\r\n")},
	{name: "a bare LF before a forged field", about: "RFC 9112 2.2", bytes: plus("X-A: b\nX-Forwarded-For: 9.9.9.9\r\n"), status: 101, never: []string{"9.9.9.9", "b\nX"}, sees: []string{"X-A: b\r\n"}},
	{name: "a head of bare LFs", about: "RFC 9112 2.2", bytes: strings.ReplaceAll(good+"\r\n", "\r\n", "\n"), status: 101, sees: []string{"GET /hostile HTTP/1.1\r\n"}},
	{name: "a folded field", about: "RFC 9112 5.2", bytes: plus("X-Folded: a\r\n X-Forwarded-For: 9.9.9.9\r\n"), status: 101, sees: []string{"X-Folded: a X-Forwarded-For: 9.9.9.9\r\n"}},
	{name: "CRLF in escapes in the target", about: "nginx $uri CRLF injection", bytes: with(getLine, "GET /hostile%0d%0aX-Smuggled:%20yes?a=%0d%0aX-Smuggled:%20yes HTTP/1.1\r\n"), status: 101,
		never: []string{"\r\nX-Smuggled", "\nX-Smuggled"}, sees: []string{"GET /hostile%0d%0aX-Smuggled:%20yes?a=%0d%0a"}},
	{name: "a target at another host", about: "RFC 9112 3.2.2: Apache CVE-2021-40438", bytes: with(getLine, "GET http://other.test:81/hostile HTTP/1.1\r\n"), status: 101, never: []string{"http://other"}, sees: []string{"GET /hostile HTTP/1.1\r\n"}},
	{name: "a target with a name and a password", about: "RFC 9110 4.2.4", bytes: with(getLine, "GET ws://a:b@sluice.test/hostile HTTP/1.1\r\n"), status: 101, never: []string{"a:b@"}, sees: []string{"GET /hostile HTTP/1.1\r\n"}},
	{name: "a target that looks like a host", about: "RFC 3986 4.2", bytes: with(getLine, "GET //other.test/hostile HTTP/1.1\r\n"), status: 101, sees: []string{"GET //other.test/hostile HTTP/1.1\r\n", "Host: sluice.test\r\n"}},
	{name: "a target that climbs", about: "nginx alias traversal", bytes: with(getLine, "GET /hostile/../../etc/passwd HTTP/1.1\r\n"), status: 101, fanout: 400, sees: []string{"GET /hostile/../../etc/passwd "}},
	{name: "a target that climbs in escapes", about: "Apache CVE-2021-41773", bytes: with(getLine, "GET /hostile/%2e%2e/.%2e/etc/passwd HTTP/1.1\r\n"), status: 101, fanout: 400, sees: []string{"GET /hostile/%2e%2e/.%2e/etc/passwd "}},
	{name: "trailers and the proxy's own", about: "RFC 9110 7.6.1", bytes: plus("TE: trailers\r\nTrailer: X-Smuggled\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 300\r\n"), status: 101,
		never: []string{"trailer", "proxy-", "keep-alive"}},
	{name: "a length of nothing", about: "RFC 9110 8.6", bytes: plus("Content-Length: 0\r\n"), status: 101, never: []string{"content-length"}},
}

// ordinary are requests that ask for no upgrade. A balanced instance is asked
// them as they are understood here; what it sees last is their end.
var ordinary = []request{
	{name: "a GET whose body is a request", about: "RFC 9110 9.3.1: GET with a body", bytes: getLine + host + "Content-Length: " + strconv.Itoa(len(inner)) + "\r\n\r\n" + inner, status: 200, fanout: 426,
		sees: []string{"GET /hostile HTTP/1.1\r\n", "Content-Length: " + strconv.Itoa(len(inner)) + "\r\n", inner}},
	{name: "Connection names the length", about: "hop-by-hop abuse: the body becomes a request", status: 200, fanout: 405,
		bytes: "POST /hostile HTTP/1.1\r\n" + host + "Connection: Content-Length\r\nContent-Length: " + strconv.Itoa(len(inner)) + "\r\n\r\n" + inner,
		sees:  []string{"Content-Length: " + strconv.Itoa(len(inner)) + "\r\n", inner}},
	{name: "Connection names the encoding", about: "hop-by-hop abuse: the body becomes a request", status: 200, fanout: 405,
		bytes: "POST /hostile HTTP/1.1\r\n" + host + "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(inner),
		sees:  []string{"Transfer-Encoding: chunked\r\n", chunked(inner)}},
	{name: "a POST with a length and chunks", about: "RFC 9112 6.3: CL.TE", status: 200, fanout: 405, never: []string{"content-length"},
		bytes: "POST /hostile HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(inner),
		sees:  []string{"Transfer-Encoding: chunked\r\n", chunked(inner)}},
	{name: "a POST in two encodings", about: "RFC 9112 6.1: TE.TE", bytes: "POST /hostile HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunked(inner), status: 501},
	{name: "a POST in an encoding that there is not", about: "RFC 9112 6.1: TE.TE", bytes: "POST /hostile HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n\r\n" + chunked(inner), status: 501},
	{name: "a POST of HTTP/1.0 in chunks", about: "RFC 9112 6.1", bytes: "POST /hostile HTTP/1.0\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(inner), status: 200, fanout: 405,
		never: []string{"transfer-encoding"}, sees: []string{"Content-Length: 4\r\n", chunked(inner)[:4]}},
	{name: "Connection: Upgrade and nothing to upgrade to", about: "RFC 9110 7.8", bytes: getLine + host + connect + "\r\n", status: 200, fanout: 426, never: []string{"upgrade"}, sees: []string{"GET /hostile HTTP/1.1\r\n", ""}},
	{name: "an ordinary target that looks like a host", about: "RFC 3986 4.2: routed by one path, asked for another", bytes: "GET //public/secret HTTP/1.1\r\n" + host + "\r\n", status: 200, fanout: 426, sees: []string{"GET //public/secret HTTP/1.1\r\n", ""}},
}

// chunked gives a body in one chunk.
func chunked(body string) string {
	return strconv.FormatInt(int64(len(body)), 16) + "\r\n" + body + "\r\n0\r\n\r\n"
}
