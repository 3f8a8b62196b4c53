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

// with puts a line in the place of one of the good request.
func with(line, instead string) string { return strings.Replace(good, line, instead, 1) + "\r\n" }
func plus(lines string) string         { return good + lines + "\r\n" }

// What the rules allow is let through.
func TestGoodRequests(t *testing.T) {
	cases := []struct{ name, request, line string }{
		{"plain", good + "\r\n", "GET /chat HTTP/1.1"},
		{"upper case", with(upgrade+connect, "UPGRADE: WebSocket\r\nCONNECTION: UPGRADE\r\n"), "GET /chat HTTP/1.1"},
		{"among other connection options", with(connect, "Connection: keep-alive, Upgrade\r\n"), "GET /chat HTTP/1.1"},
		{"options on two lines", with(connect, "Connection: keep-alive\r\nConnection: upgrade\r\n"), "GET /chat HTTP/1.1"},
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
