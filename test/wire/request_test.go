package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

const (
	getLine = "GET /chat HTTP/1.1\r\n"
	host    = "Host: sluice.test\r\n"
	upgrade = "Upgrade: websocket\r\n"
	connect = "Connection: Upgrade\r\n"
	version = "Sec-WebSocket-Version: 13\r\n"
	keyLine = "Sec-WebSocket-Key: " + testkit.ClientKey + "\r\n"
	good    = getLine + host + upgrade + connect + version + keyLine
)

// without takes a line from the good request; with puts one in its place.
func without(line string) string       { return strings.Replace(good, line, "", 1) + "\r\n" }
func with(line, instead string) string { return strings.Replace(good, line, instead, 1) + "\r\n" }
func plus(lines string) string         { return good + lines + "\r\n" }

// anyRefusal is any status from 400 to 505.
const anyRefusal = 0

var badRequests = []struct {
	name, request string
	status        int
}{
	{"POST", with(getLine, "POST /chat HTTP/1.1\r\n"), 405},
	{"HEAD", with(getLine, "HEAD /chat HTTP/1.1\r\n"), 405},
	{"method in lower case", with(getLine, "get /chat HTTP/1.1\r\n"), anyRefusal},
	{"CONNECT", with(getLine, "CONNECT sluice.test:80 HTTP/1.1\r\n"), anyRefusal},
	{"HTTP/1.0", with(getLine, "GET /chat HTTP/1.0\r\n"), anyRefusal},
	{"HTTP/0.9", "GET /chat\r\n" + strings.TrimPrefix(good, getLine) + "\r\n", anyRefusal},
	{"HTTP/2.0 in a line", with(getLine, "GET /chat HTTP/2.0\r\n"), anyRefusal},
	{"HTTP/1.2", with(getLine, "GET /chat HTTP/1.2\r\n"), anyRefusal},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", anyRefusal},
	{"a space in the target", with(getLine, "GET /chat /x HTTP/1.1\r\n"), anyRefusal},
	{"a target without a slash", with(getLine, "GET chat HTTP/1.1\r\n"), anyRefusal},
	{"no Host", without(host), 400},
	{"two Hosts", plus("Host: other.test\r\n"), 400},
	{"the same Host twice", plus(host), 400},
	{"two Hosts on a line", with(host, "Host: a.test, b.test\r\n"), 400},
	{"Host with a path", with(host, "Host: a.test/x\r\n"), 400},
	{"Upgrade: h2c", with(upgrade, "Upgrade: h2c\r\n"), 400},
	{"Upgrade: websocket, h2c", with(upgrade, "Upgrade: websocket, h2c\r\n"), 400},
	{"Upgrade twice", plus("Upgrade: h2c\r\n"), 400},
	{"Upgrade: websocket twice", plus(upgrade), 400},
	{"Upgrade: websocket/13", with(upgrade, "Upgrade: websocket/13\r\n"), 400},
	{"empty Upgrade", with(upgrade, "Upgrade:\r\n"), 400},
	{"no Upgrade", without(upgrade), 400},
	{"only a key without Upgrade", getLine + host + keyLine + "\r\n", 400},
	{"only a protocol without Upgrade", getLine + host + "Sec-WebSocket-Protocol: a\r\n\r\n", 400},
	{"Upgrade: h2c as HTTP", getLine + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", 400},
	{"no Connection", without(connect), 400},
	{"Connection without upgrade", with(connect, "Connection: keep-alive\r\n"), 400},
	{"Connection: upgraded", with(connect, "Connection: upgraded\r\n"), 400},
	{"version 8", with(version, "Sec-WebSocket-Version: 8\r\n"), 426},
	{"version 13 and 8", with(version, "Sec-WebSocket-Version: 13, 8\r\n"), 426},
	{"two versions", plus("Sec-WebSocket-Version: 8\r\n"), 426},
	{"version 013", with(version, "Sec-WebSocket-Version: 013\r\n"), 426},
	{"no version", without(version), anyRefusal},
	{"no key", without(keyLine), 400},
	{"an empty key", with(keyLine, "Sec-WebSocket-Key:\r\n"), 400},
	{"a key of 15 bytes", with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"), 400},
	{"a key of 17 bytes", with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWU=\r\n"), 400},
	{"a key that is not base64", with(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n"), 400},
	{"a key in base64url", with(keyLine, "Sec-WebSocket-Key: -_-_-_-_-_-_-_-_-_-_-w==\r\n"), 400},
	{"two keys", plus(keyLine), 400},
	{"two keys on a line", with(keyLine, "Sec-WebSocket-Key: "+testkit.ClientKey+", "+testkit.ClientKey+"\r\n"), 400},
	{"a body with a length", plus("Content-Length: 5\r\n") + "hello", 400},
	{"a chunked body", plus("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n", 400},
	{"an empty chunked body", plus("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
	{"length and chunked", plus("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
	{"Transfer-Encoding: identity", plus("Transfer-Encoding: identity\r\n"), anyRefusal},
	{"two lengths", plus("Content-Length: 0\r\nContent-Length: 5\r\n") + "hello", 400},
	{"a negative length", plus("Content-Length: -1\r\n"), 400},
	{"Expect with a body", plus("Expect: 100-continue\r\nContent-Length: 5\r\n") + "hello", anyRefusal},
	{"a head over 16 KiB", plus("X-Long: " + strings.Repeat("x", 17<<10) + "\r\n"), anyRefusal},
	{"a head of many lines", plus(strings.Repeat("X-Many: yes\r\n", 2000)), anyRefusal},
	{"a target over 16 KiB", with(getLine, "GET /"+strings.Repeat("x", 17<<10)+" HTTP/1.1\r\n"), anyRefusal},
	{"a folded Upgrade", with(upgrade, "Upgrade: websocket\r\n h2c\r\n"), anyRefusal},
	{"a line that begins with a space", getLine + " " + strings.TrimPrefix(good, getLine) + "\r\n", anyRefusal},
	{"a space before the colon", with(upgrade, "Upgrade : websocket\r\n"), anyRefusal},
	{"a line without a colon", plus("X-Nothing\r\n"), anyRefusal},
	{"a NUL in a value", plus("X-Nul: a\x00b\r\n"), anyRefusal},
	{"a bare CR in a value", plus("X-Cr: a\rX-Smuggled: b\r\n"), anyRefusal},
	{"a NUL in a name", plus("X-\x00Nul: a\r\n"), anyRefusal},
	{"a control byte in the target", with(getLine, "GET /ch\x01at HTTP/1.1\r\n"), anyRefusal},
	{"an empty subprotocol", plus("Sec-WebSocket-Protocol: a,,b\r\n"), 400},
	{"a subprotocol with a space", plus("Sec-WebSocket-Protocol: a b\r\n"), 400},
	{"a subprotocol twice", plus("Sec-WebSocket-Protocol: a, a\r\n"), 400},
	{"a subprotocol on two lines", plus("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n"), 400},
	{"an empty subprotocol field", plus("Sec-WebSocket-Protocol:\r\n"), 400},
	{"extensions of semicolons", plus("Sec-WebSocket-Extensions: ;;\r\n"), 400},
	{"an extension's nameless parameter", plus("Sec-WebSocket-Extensions: permessage-deflate; =1\r\n"), 400},
	{"an extension's open quote", plus("Sec-WebSocket-Extensions: permessage-deflate; a=\"1\r\n"), 400},
	{"an empty extensions field", plus("Sec-WebSocket-Extensions:\r\n"), 400},
	{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", anyRefusal},
}

// A malformed upgrade is refused and never passed on, not even as HTTP; a
// request behind it is not looked at.
func TestBadRequests(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range badRequests {
			t.Run(c.name, func(t *testing.T) {
				client := b.Dial(t)
				_ = client.TrySend([]byte(c.request + getLine + host + "X-Smuggled: yes\r\n\r\n")) // it may be refused in the middle
				if strings.HasPrefix(c.request, "HEAD") {
					if h := client.Head("it is refused"); h.Status() != c.status {
						t.Fatalf("want %d, got %q", c.status, h.Raw)
					}
					client.WantEnd("and nothing follows")
					return
				}
				h := client.Head("it is refused")
				if s := h.Status(); s < 400 || s > 505 || c.status != anyRefusal && s != c.status {
					t.Fatalf("it is refused with %d (0 is any): got %q", c.status, h.Raw)
				}
				if c.status == 426 && h.Get("Sec-WebSocket-Version") != "13" {
					t.Errorf("426 names the version: got %q", h.Raw)
				}
				if rest := string(client.Rest()); strings.Contains(rest, "HTTP/1.1 ") {
					t.Errorf("one answer and no more: got %q behind it", rest)
				}
				b.in.WantUnvisited(t, "the instance sees nothing of it")
			})
		}
	})
}

// What the rules allow is let through.
func TestGoodRequests(t *testing.T) {
	cases := []struct{ name, request, line string }{
		{"plain", good + "\r\n", "GET /chat HTTP/1.1"},
		{"upper case", with(upgrade+connect, "UPGRADE: WebSocket\r\nCONNECTION: UPGRADE\r\n"), "GET /chat HTTP/1.1"},
		{"among other connection options", with(connect, "Connection: keep-alive, Upgrade\r\n"), "GET /chat HTTP/1.1"},
		{"options on two lines", with(connect, "Connection: keep-alive\r\nConnection: upgrade\r\n"), "GET /chat HTTP/1.1"},
		{"a length of nothing", plus("Content-Length: 0\r\n"), "GET /chat HTTP/1.1"},
		{"blanks around values", with(version, "Sec-WebSocket-Version:13 \t \r\n"), "GET /chat HTTP/1.1"},
		{"a head of 15 KiB", plus("X-Long: " + strings.Repeat("x", 15<<10) + "\r\n"), "GET /chat HTTP/1.1"},
		{"encoded", with(getLine, "GET /a%2Fb%20c/%C3%A4/?q=a%26b&r=+|\" HTTP/1.1\r\n"), "GET /a%2Fb%20c/%C3%A4/?q=a%26b&r=+|\" HTTP/1.1"},
		{"dots and double slashes", with(getLine, "GET //a/./b//c? HTTP/1.1\r\n"), "GET //a/./b//c? HTTP/1.1"},
		{"absolute form", with(getLine, "GET http://sluice.test/p%2Fq?x=1 HTTP/1.1\r\n"), "GET /p%2Fq?x=1 HTTP/1.1"},
		{"absolute form without a path", with(getLine, "GET http://sluice.test HTTP/1.1\r\n"), "GET / HTTP/1.1"},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				client, leg, head := b.ask(t, c.request)
				if head.Line != c.line {
					t.Errorf("the instance sees the target as it was: want %q, got %q", c.line, head.Line)
				}
				leg.SendString(testkit.Answer(head))
				client.WantUpgraded("it is upgraded")
				client.Send(testkit.Text("there"))
				leg.Want("and open", testkit.Text("there"))
			})
		}
	})
}

// A folded line may be unfolded, but no instance ever sees one.
func TestFoldedLine(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		_, _, head := b.ask(t, plus("X-Folded: a\r\n b\r\n"))
		if got := head.Get("X-Folded"); got != "a b" {
			t.Errorf("the fold is gone: got %q in %q", got, head.Raw)
		}
	})
}

// Bytes behind the request wait for the answer and reach the instance once.
func TestEarlyFrames(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		early := []testkit.Frame{testkit.Text("one"), testkit.Ping("two"), testkit.Text(strings.Repeat("3", 40<<10))}
		client := b.Dial(t)
		client.SendBytes(append([]byte(good+"\r\n"), client.Bytes(early...)...))
		leg := b.in.Accept(t, "the request reaches the instance")
		head := leg.Head("the instance is asked")
		client.Send(testkit.Text("four"))
		leg.SendString(testkit.Answer(head))
		client.WantUpgraded("it is upgraded")
		client.Send(testkit.Text("five"))
		leg.Want("early frames come once, in order", early...)
		leg.Want("then those sent while waiting, and later", testkit.Text("four"), testkit.Text("five"))
		client.Send(testkit.Close(1000, ""))
		leg.Want("and nothing else", testkit.Close(1000, ""))
	})
}

// Early bytes are not passed on when the instance refuses.
func TestEarlyFramesBehindARefusal(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client := b.Dial(t)
		client.SendString(good + "\r\n" + getLine + host + "X-Smuggled: yes\r\n\r\n")
		leg := b.in.Accept(t, "the request reaches the instance")
		leg.Head("the instance is asked")
		leg.SendString("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		client.WantRefusal("the client is refused", 403)
		leg.WantEnd("what lay behind the request stays away from the instance")
		b.in.WantUnvisited(t, "on a new connection too")
	})
}

// Heads and frames come through in whatever pieces they arrive.
func TestByteByByte(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client := b.Dial(t)
		client.SendSlowly([]byte(good + "\r\n"))
		leg := b.in.Accept(t, "the request reaches the instance")
		leg.SendSlowly([]byte("HTTP/1.1 103 Early Hints\r\n\r\n" + testkit.Answer(leg.Head("the instance is asked"))))
		client.WantUpgraded("it is upgraded")
		frames := []testkit.Frame{testkit.Begin("a"), testkit.Ping("p"), testkit.Go(""), testkit.End("b"), testkit.Text(""),
			testkit.Binary(strings.Repeat("x", 200)), testkit.Close(3000, "bye")}
		client.SendSlowly(client.Bytes(frames...))
		leg.Want("frames pass as they came", frames...)
		leg.SendSlowly(leg.Bytes(frames...))
		client.Want("both ways", frames...)
	})
}
