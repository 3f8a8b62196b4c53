package hostile_test

import (
	"strings"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// requests are all that a hostile client may ask.
func requests() (all []request) {
	for _, table := range [][]request{startLines, hosts, upgrades, keys, bodies, heads, offers, cleaned, ordinary} {
		all = append(all, table...)
	}
	return all
}

var startLines = []request{
	{name: "POST", about: "RFC 6455 4.1", bytes: with(getLine, "POST /hostile HTTP/1.1\r\n"), status: 405},
	{name: "HEAD", about: "RFC 6455 4.1", bytes: with(getLine, "HEAD /hostile HTTP/1.1\r\n"), status: 405},
	{name: "TRACE", about: "RFC 9110 9.3.8: it would tell the client what was added", bytes: with(getLine, "TRACE /hostile HTTP/1.1\r\n"), status: 405},
	{name: "method in lower case", about: "RFC 9110 9.1", bytes: with(getLine, "get /hostile HTTP/1.1\r\n"), status: 405},
	{name: "method with a control byte", about: "RFC 9110 5.6.2", bytes: with(getLine, "G\x01T /hostile HTTP/1.1\r\n"), status: 400},
	{name: "CONNECT with an upgrade", about: "RFC 9110 9.3.6", bytes: with(getLine, "CONNECT sluice.test:80 HTTP/1.1\r\n"), status: 405},
	{name: "CONNECT to another host", about: "RFC 9110 9.3.6: an open proxy", bytes: "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", status: 405},
	{name: "CONNECT to a path", about: "RFC 9112 3.2.3", bytes: "CONNECT /hostile HTTP/1.1\r\n" + host + "\r\n", status: 405},
	{name: "extended CONNECT", about: "RFC 8441 4 is of HTTP/2 alone", bytes: "CONNECT /hostile HTTP/1.1\r\n" + host + ":protocol: websocket\r\n\r\n", status: 400},
	{name: "HTTP/1.0", about: "RFC 6455 4.1", bytes: with(getLine, "GET /hostile HTTP/1.0\r\n"), status: 400},
	{name: "HTTP/0.9", about: "RFC 9112 3", bytes: "GET /hostile\r\n" + strings.TrimPrefix(good, getLine) + "\r\n", status: 400},
	{name: "HTTP/1.2", about: "RFC 9112 2.3", bytes: with(getLine, "GET /hostile HTTP/1.2\r\n"), status: 400},
	{name: "HTTP/2.0 in a line", about: "RFC 9113 3", bytes: with(getLine, "GET /hostile HTTP/2.0\r\n"), status: 505},
	{name: "HTTP/11.1", about: "RFC 9112 2.3", bytes: with(getLine, "GET /hostile HTTP/11.1\r\n"), status: 400},
	{name: "http in lower case", about: "RFC 9112 2.3", bytes: with(getLine, "GET /hostile http/1.1\r\n"), status: 400},
	{name: "HTTP/2 preface", about: "RFC 9113 3.4", bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", status: 404},
	{name: "TLS on a plain port", about: "RFC 8446 4.1.2", bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", status: 400},
	{name: "a frame before the request", about: "RFC 6455 4.1", bytes: string(testkit.Text("early").Masked()) + good + "\r\n", status: 400},
	{name: "a space in the target", about: "RFC 9112 3.2", bytes: with(getLine, "GET /hostile /x HTTP/1.1\r\n"), status: 400},
	{name: "a second version in the line", about: "RFC 9112 3: HAProxy CVE-2023-25725 and its kin", bytes: with(getLine, "GET /hostile HTTP/1.1 HTTP/1.0\r\n"), status: 400},
	{name: "a target without a slash", about: "RFC 9112 3.2.1", bytes: with(getLine, "GET hostile HTTP/1.1\r\n"), status: 400},
	{name: "a target of an asterisk", about: "RFC 9112 3.2.4", bytes: with(getLine, "GET * HTTP/1.1\r\n"), status: 404},
	{name: "a control byte in the target", about: "RFC 9112 3.2", bytes: with(getLine, "GET /ch\x01at HTTP/1.1\r\n"), status: 400},
	{name: "a bare CR in the target", about: "RFC 9112 2.2", bytes: with(getLine, "GET /a\rX-Smuggled: b HTTP/1.1\r\n"), status: 400},
	{name: "a NUL in the target", about: "RFC 3986 2", bytes: with(getLine, "GET /a\x00b HTTP/1.1\r\n"), status: 400},
	{name: "half an escape in the target", about: "RFC 3986 2.1", bytes: with(getLine, "GET /a%2 HTTP/1.1\r\n"), status: 400},
}

var hosts = []request{
	{name: "no Host", about: "RFC 9112 3.2", bytes: without(host), status: 400},
	{name: "two Hosts", about: "RFC 9112 3.2", bytes: plus("Host: other.test\r\n"), status: 400},
	{name: "the same Host twice", about: "RFC 9112 3.2", bytes: plus(host), status: 400},
	{name: "two Hosts on a line", about: "RFC 9112 3.2", bytes: with(host, "Host: a.test, b.test\r\n"), status: 400},
	{name: "Host with a path", about: "RFC 9112 3.2", bytes: with(host, "Host: a.test/x\r\n"), status: 400},
	{name: "Host with a blank", about: "RFC 9112 3.2", bytes: with(host, "Host: a.test b.test\r\n"), status: 400},
	{name: "Host with a name in front", about: "RFC 9110 4.2.4", bytes: with(host, "Host: sluice.test@other.test\r\n"), status: 400},
	{name: "Host with a space before the colon", about: "RFC 9112 5.1", bytes: with(host, "Host : sluice.test\r\n"), status: 400},
	{name: "Host folded", about: "RFC 9112 5.2", bytes: with(host, "Host:\r\n other.test\r\n"+host), status: 400},
}

var upgrades = []request{
	{name: "Upgrade: h2c", about: "RFC 9113 3.1: h2c smuggling", bytes: with(upgrade, "Upgrade: h2c\r\n"), status: 400},
	{name: "Upgrade: h2c as HTTP", about: "h2c smuggling past a proxy's rules", status: 400,
		bytes: getLine + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"},
	{name: "Upgrade: h2c without its settings", about: "servers that need none", bytes: getLine + host + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", status: 400},
	{name: "Upgrade: h2c named by no Connection", about: "RFC 9110 7.8", bytes: getLine + host + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", status: 400},
	{name: "Upgrade: websocket, h2c", about: "RFC 9110 7.8", bytes: with(upgrade, "Upgrade: websocket, h2c\r\n"), status: 400},
	{name: "Upgrade: h2c, websocket", about: "RFC 9110 7.8", bytes: with(upgrade, "Upgrade: h2c, websocket\r\n"), status: 400},
	{name: "Upgrade twice", about: "RFC 6455 4.2.1", bytes: plus("Upgrade: h2c\r\n"), status: 400},
	{name: "Upgrade: websocket twice", about: "RFC 6455 4.2.1", bytes: plus(upgrade), status: 400},
	{name: "Upgrade: websocket/13", about: "RFC 6455 4.2.1", bytes: with(upgrade, "Upgrade: websocket/13\r\n"), status: 400},
	{name: "Upgrade behind a vertical tab", about: "RFC 9110 5.6.3: what smuggled Transfer-Encoding", bytes: with(upgrade, "Upgrade: \x0bwebsocket\r\n"), status: 400},
	{name: "Upgrade: TLS/1.0", about: "RFC 2817 3.2", bytes: getLine + host + "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", status: 400},
	{name: "empty Upgrade", about: "RFC 9110 7.8", bytes: with(upgrade, "Upgrade:\r\n"), status: 400},
	{name: "no Upgrade", about: "RFC 6455 4.2.1", bytes: without(upgrade), status: 400},
	{name: "a key and no Upgrade", about: "a handshake is never passed on as HTTP", bytes: getLine + host + keyLine + "\r\n", status: 400},
	{name: "a protocol and no Upgrade", about: "a handshake is never passed on as HTTP", bytes: getLine + host + "Sec-WebSocket-Protocol: a\r\n\r\n", status: 400},
	{name: "an answer's Accept in a request", about: "a handshake is never passed on as HTTP", bytes: getLine + host + "Sec-WebSocket-Accept: " + testkit.ClientAccept + "\r\n\r\n", status: 400},
	{name: "Upgrade folded to h2c", about: "RFC 9112 5.2", bytes: with(upgrade, "Upgrade: websocket\r\n h2c\r\n"), status: 400},
	{name: "no Connection", about: "RFC 6455 4.2.1", bytes: without(connect), status: 400},
	{name: "Connection without upgrade", about: "RFC 6455 4.2.1", bytes: with(connect, "Connection: keep-alive\r\n"), status: 400},
	{name: "Connection: close alone", about: "RFC 6455 4.2.1", bytes: with(connect, "Connection: close\r\n"), status: 400},
	{name: "Connection: upgraded", about: "RFC 6455 4.2.1", bytes: with(connect, "Connection: upgraded\r\n"), status: 400},
	{name: "Connection with blanks for commas", about: "RFC 9110 7.6.1", bytes: with(connect, "Connection: keep-alive Upgrade\r\n"), status: 400},
	{name: "version 7", about: "RFC 6455 4.4", bytes: with(version, "Sec-WebSocket-Version: 7\r\n"), status: 426},
	{name: "version 8", about: "RFC 6455 4.4", bytes: with(version, "Sec-WebSocket-Version: 8\r\n"), status: 426},
	{name: "version 14", about: "RFC 6455 4.4", bytes: with(version, "Sec-WebSocket-Version: 14\r\n"), status: 426},
	{name: "version 13 and 8", about: "RFC 6455 4.4", bytes: with(version, "Sec-WebSocket-Version: 13, 8\r\n"), status: 426},
	{name: "two versions", about: "RFC 6455 4.4: nginx tunnelled version 777 to SSRF (0ang3el)", bytes: plus("Sec-WebSocket-Version: 777\r\n"), status: 426},
	{name: "the same version twice", about: "RFC 6455 11.3.5", bytes: plus(version), status: 426},
	{name: "version 013", about: "RFC 6455 4.1", bytes: with(version, "Sec-WebSocket-Version: 013\r\n"), status: 426},
	{name: "version +13", about: "RFC 6455 4.1", bytes: with(version, "Sec-WebSocket-Version: +13\r\n"), status: 426},
	{name: "no version", about: "RFC 6455 4.2.1: Hixie's drafts", bytes: without(version), status: 426},
	{name: "Hixie-76", about: "draft-hixie-thewebsocketprotocol-76", bytes: getLine + host + "Upgrade: WebSocket\r\n" + connect + "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U", status: 426},
}

var keys = []request{
	{name: "no key", about: "RFC 6455 4.2.1", bytes: without(keyLine), status: 400},
	{name: "an empty key", about: "RFC 6455 4.2.1", bytes: with(keyLine, "Sec-WebSocket-Key:\r\n"), status: 400},
	{name: "a key of 15 bytes", about: "RFC 6455 4.1", bytes: with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"), status: 400},
	{name: "a key of 17 bytes", about: "RFC 6455 4.1", bytes: with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWU=\r\n"), status: 400},
	{name: "a key of 18 bytes", about: "RFC 6455 4.1: as long as a right one", bytes: with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWVl\r\n"), status: 400},
	{name: "a key of 16 KiB", about: "RFC 6455 4.1", bytes: with(keyLine, "Sec-WebSocket-Key: "+strings.Repeat("AAAA", 3<<10)+"\r\n"), status: 400},
	{name: "a key that is not base64", about: "RFC 6455 4.1", bytes: with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n"), status: 400},
	{name: "a key in base64url", about: "RFC 4648 5", bytes: with(keyLine, "Sec-WebSocket-Key: -_-_-_-_-_-_-_-_-_-_-w==\r\n"), status: 400},
	{name: "a key without padding", about: "RFC 4648 3.2", bytes: with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"), status: 400},
	{name: "a key padded in the middle", about: "RFC 4648 3.3", bytes: with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXA==ZSBub25jZQ=\r\n"), status: 400},
	{name: "two keys", about: "RFC 6455 11.3.1", bytes: plus(keyLine), status: 400},
	{name: "two keys on a line", about: "RFC 6455 11.3.1", bytes: with(keyLine, "Sec-WebSocket-Key: "+testkit.ClientKey+", "+testkit.ClientKey+"\r\n"), status: 400},
	{name: "a key with underscores in its name", about: "RFC 9110 5.1: CGI takes one for the other", bytes: with(keyLine, "Sec_WebSocket_Key: "+testkit.ClientKey+"\r\n"), status: 400},
	{name: "a key cut by a NUL", about: "RFC 9110 5.5", bytes: with(keyLine, "Sec-WebSocket-Key: "+testkit.ClientKey+"\x00\r\n"), status: 400},
}
