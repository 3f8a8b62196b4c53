package wire_test

import (
	"net"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

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
