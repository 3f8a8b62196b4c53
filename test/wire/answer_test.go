package wire_test

import (
	"net"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// lies are answers that are no handshake: ACCEPT stands for the right value.
// The request that they answer offers subprotocol a and permessage-deflate.
var lies = []struct{ name, answer string }{
	{"no Accept", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
	{"a wrong Accept", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"},
	{"the Accept of the client's key", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + testkit.ClientAccept + "\r\n\r\n"},
	{"two Accepts", lie("Sec-WebSocket-Accept: ACCEPT")},
	{"no Upgrade", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{"Upgrade: h2c", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{"two Upgrades", lie("Upgrade: h2c")},
	{"no Connection", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{"Connection: close", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"},
	{"a length", lie("Content-Length: 5") + "hello"},
	{"two lengths", lie("Content-Length: 0", "Content-Length: 5") + "hello"},
	{"chunked", lie("Transfer-Encoding: chunked") + "0\r\n\r\n"},
	{"HTTP/1.0", strings.Replace(lie(), "HTTP/1.1", "HTTP/1.0", 1)},
	{"HTTP/2", strings.Replace(lie(), "HTTP/1.1", "HTTP/2", 1)},
	{"a subprotocol that was not offered", lie("Sec-WebSocket-Protocol: b")},
	{"two subprotocols", lie("Sec-WebSocket-Protocol: a, b")},
	{"a subprotocol twice", lie("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a")},
	{"a subprotocol in another case", lie("Sec-WebSocket-Protocol: A")},
	{"an empty subprotocol", lie("Sec-WebSocket-Protocol:")},
	{"an extension that was not offered", lie("Sec-WebSocket-Extensions: x-webkit-deflate-frame")},
	{"two extensions", lie("Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate")},
	{"an unknown parameter", lie("Sec-WebSocket-Extensions: permessage-deflate; level=9")},
	{"a parameter twice", lie("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_no_context_takeover")},
	{"a window too small", lie("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7")},
	{"a window without a size", lie("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits")},
	{"a client's window that was not offered", lie("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10")},
	{"malformed extensions", lie("Sec-WebSocket-Extensions: ;")},
	{"a folded line", lie("X-Folded: a\r\n b")},
	{"a space before the colon", lie("X-Spaced : a")},
	{"a NUL", lie("X-Nul: a\x00b")},
	{"a bare CR", lie("X-Cr: a\rSet-Cookie: b")},
	{"a bare LF", lie("X-Lf: a\nSet-Cookie: b")},
	{"a line without a colon", lie("X-Nothing")},
	{"garbage", "SSH-2.0-OpenSSH_9.6\r\n"},
	{"garbage that looks like HTTP", "HTTP/1.1 1x1 Switching Protocols\r\n\r\n"},
	{"a status of four digits", "HTTP/1.1 1010 Switching Protocols\r\n\r\n"},
	{"a status below 100", "HTTP/1.1 099 Below\r\n\r\n"},
	{"status 600", "HTTP/1.1 600 Above\r\nContent-Length: 0\r\n\r\n"},
	{"an endless head", "HTTP/1.1 101 Switching Protocols\r\n" + strings.Repeat("X-Endless: yes\r\n", 1200)},
	{"an endless line", "HTTP/1.1 101 " + strings.Repeat("x", 20<<10)},
	{"an endless refusal head", "HTTP/1.1 403 Forbidden\r\n" + strings.Repeat("X-Endless: yes\r\n", 1200)},
	{"six interim answers", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 6) + lie()},
	{"a refusal with two lengths", "HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nno"},
	{"a frame before the head", "\x81\x02hi" + lie()},
}

// lie is a good answer with more lines.
func lie(lines ...string) string {
	s := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n"
	for _, l := range lines {
		s += l + "\r\n"
	}
	return s + "\r\n"
}

// An answer that is no handshake makes the client's 502: nothing is tunnelled,
// both connections are closed.
func TestLyingInstances(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range lies {
			t.Run(c.name, func(t *testing.T) {
				client, leg, head := b.ask(t, plus("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"))
				accept := testkit.AcceptFor(head.Get("Sec-WebSocket-Key"))
				client.Send(testkit.Text("secret"))
				_ = leg.TrySend([]byte(strings.ReplaceAll(c.answer, "ACCEPT", accept))) // it may be cut off in the middle
				h, _ := client.WantRefusal("the client is told of a bad gateway", 502)
				if h.Get("Retry-After") == "" {
					t.Errorf("and when to come again: got %q", h.Raw)
				}
				leg.WantEnd("the instance gets nothing more")
			})
		}
		b.in.WantUnvisited(t, "and it is not asked again")
	})
}

// What an instance may answer is passed on.
func TestGoodAnswers(t *testing.T) {
	cases := []struct{ name, before, line, want string }{
		{"plain", "", "X-A: b", "X-A: b"},
		{"interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "X-A: b", "X-A: b"},
		{"five interim answers", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5), "X-A: b", "X-A: b"},
		{"an offered subprotocol", "", "Sec-WebSocket-Protocol: b", "Sec-WebSocket-Protocol: b"},
		{"deflate", "", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"},
		{"cookies", "", "Set-Cookie: a=1\r\nSet-Cookie: b=2", "Set-Cookie: a=1\r\nSet-Cookie: b=2"},
		{"an empty length", "", "Content-Length: 0", ""},
		{"hop-by-hop fields", "", "Keep-Alive: timeout=5\r\nConnection: X-Secret\r\nX-Secret: 1\r\nProxy-Authenticate: Basic", ""},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				client, leg, head := b.ask(t, plus("Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate, x-other; y\r\n"))
				if p, e := head.Get("Sec-WebSocket-Protocol"), head.Get("Sec-WebSocket-Extensions"); p != "a, b" || e != "permessage-deflate" {
					t.Errorf("the offer goes on, less extensions that nobody knows: got %q", head.Raw)
				}
				leg.SendString(c.before + testkit.Answer(head, c.line))
				h := client.WantUpgraded("it is upgraded")
				if c.want != "" && !strings.Contains(h.Raw, c.want+"\r\n") {
					t.Errorf("want %q in %q", c.want, h.Raw)
				}
				for _, name := range []string{"Keep-Alive", "X-Secret", "Proxy-Authenticate", "Content-Length", "Link"} {
					if h.Get(name) != "" {
						t.Errorf("%s is not passed on: got %q", name, h.Raw)
					}
				}
				if h.Get("Connection") != "Upgrade" || h.Get("Upgrade") != "websocket" {
					t.Errorf("one Upgrade, one Connection: got %q", h.Raw)
				}
			})
		}
	})
}

// Frames behind the 101, in the same write, are not lost.
func TestFramesBehindTheAnswer(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		frames := []testkit.Frame{testkit.Text("hello"), testkit.Ping("there"), testkit.Text(strings.Repeat("x", 100<<10)), testkit.Close(4000, "done")}
		client, leg, head := b.ask(t, good+"\r\n")
		leg.SendBytes(append([]byte(testkit.Answer(head)), leg.Bytes(frames...)...))
		leg.CloseWrite()
		client.WantUpgraded("it is upgraded")
		client.Want("what came behind the 101 is there", frames...)
		client.Send(testkit.Close(4000, ""))
		client.WantEOF("and the end")
	})
}

// Refusals are passed on as they came.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4<<10)
	cases := []struct {
		name, answer string
		end          bool // the instance closes behind it
		status       int
		fields, body string
	}{
		{"401", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno", false, 401, "Www-Authenticate: Basic realm=\"x\"", "no"},
		{"404 chunked", "HTTP/1.1 404 Not Found\r\nContent-Type: text/x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n5\r\n here\r\n0\r\n\r\n", false, 404, "Content-Type: text/x", "not here"},
		{"500 close-delimited", "HTTP/1.1 500 Oops\r\nX-A: b\r\n\r\nsorry", true, 500, "X-A: b", "sorry"},
		{"503 of HTTP/1.0", "HTTP/1.0 503 Busy\r\nRetry-After: 7\r\n\r\nlater", true, 503, "Retry-After: 7", "later"},
		{"503 of HTTP/1.0 with a length", "HTTP/1.0 503 Busy\r\nContent-Length: 5\r\n\r\nlater", false, 503, "", "later"},
		{"cookies", "HTTP/1.1 403 No\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", false, 403, "Set-Cookie: a=1\r\nSet-Cookie: b=2", ""},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: http://other.test/\r\nContent-Length: 0\r\n\r\n", false, 302, "Location: http://other.test/", ""},
		{"204", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", false, 204, "X-A: b", ""},
		{"426", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 7\r\nContent-Length: 0\r\n\r\n", false, 426, "Sec-Websocket-Version: 7", ""},
		{"200 that pretends to upgrade", "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\nContent-Length: 2\r\n\r\nok\x81\x02hi", false, 200, "", "ok"},
		{"hop-by-hop fields stay", "HTTP/1.1 403 No\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n", false, 403, "", ""},
		{"64 KiB", "HTTP/1.1 403 No\r\nContent-Length: 65536\r\n\r\n" + long, false, 403, "", long},
		{"64 KiB chunked", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + long + "\r\n0\r\n\r\n", false, 403, "", long},
		{"more than 64 KiB", "HTTP/1.1 403 No\r\nContent-Length: 200000\r\n\r\n" + long + long, false, 403, "", long},
		{"more than 64 KiB, close-delimited", "HTTP/1.1 403 No\r\n\r\n" + long + long + long + long, true, 403, "", long},
		{"more than 64 KiB in one chunk", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n" + long + long + long + "\r\n0\r\n\r\n", false, 403, "", long},
		{"interim first", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", false, 403, "", "no"},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				client, leg, head := b.ask(t, good+"\r\n")
				client.Send(testkit.Text("secret"))
				_ = leg.TrySend([]byte(strings.ReplaceAll(c.answer, "ACCEPT", testkit.AcceptFor(head.Get("Sec-WebSocket-Key"))))) // it may be cut off beyond 64 KiB
				if c.end {
					_ = leg.Conn().(*net.TCPConn).CloseWrite()
				}
				h, body := client.WantRefusal("the refusal is passed on", c.status)
				if c.fields != "" && !strings.Contains(strings.ToLower(h.Raw), strings.ToLower(c.fields)+"\r\n") {
					t.Errorf("with its fields: want %q in %q", c.fields, h.Raw)
				}
				if body != c.body {
					t.Errorf("with its body: want %d bytes, got %d: %.100q", len(c.body), len(body), body)
				}
				for _, name := range []string{"X-Secret", "Keep-Alive", "Transfer-Encoding", "Sec-WebSocket-Accept"} {
					if h.Get(name) != "" {
						t.Errorf("%s is not passed on: got %q", name, h.Raw)
					}
				}
				leg.WantEnd("the client's early bytes stay away from the instance")
			})
		}
	})
}

// A refusal in pieces is still whole.
func TestSlowRefusal(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg, _ := b.ask(t, good+"\r\n")
		leg.SendSlowly([]byte("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n5\r\n here\r\n0\r\n\r\n"))
		if _, body := client.WantRefusal("the refusal is passed on", 404); body != "not here" {
			t.Errorf("whole: got %q", body)
		}
	})
}
