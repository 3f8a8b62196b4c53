package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// The instance is asked in the proxy's own name for what the client wanted.
func TestOwnHandshake(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		seen := map[string]bool{testkit.ClientKey: true}
		for range 3 {
			_, _, head := b.ask(t, good+"\r\n")
			key := head.Get("Sec-WebSocket-Key")
			if len(key) != 24 || seen[key] {
				t.Errorf("a key of its own each time: got %q", key)
			}
			seen[key] = true
			for name, want := range map[string]string{"Host": "sluice.test", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"} {
				if got := head.Get(name); got != want {
					t.Errorf("%s once: want %q, got %q", name, want, got)
				}
			}
			if !strings.Contains(head.Raw, "\r\nSec-WebSocket-Key: ") {
				t.Errorf("in the RFC's spelling: got %q", head.Raw)
			}
		}
	})
}

// What concerns the client's connection stays there; what is the proxy's own
// cannot be forged.
func TestForwardedHeaders(t *testing.T) {
	const sent = "Sluice-Session: forged\r\nSluice-Resume: 1\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n" +
		"X-Forwarded-Port: 1\r\nForwarded: for=9.9.9.9\r\nKeep-Alive: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\nTrailer: X\r\n" +
		"X-Secret: 1\r\nCookie: a=1; b=2\r\nAuthorization: Bearer x\r\nOrigin: http://o.test\r\nX-Twice: 1\r\nX-Twice: 2\r\nX-Remove: 1\r\nX-Set: client\r\nUser-Agent: me\r\n"
	type fields map[string]string
	stays := fields{"Cookie": "a=1; b=2", "Authorization": "Bearer x", "Origin": "http://o.test", "X-Twice": "1 | 2", "User-Agent": "me",
		"Keep-Alive": "", "TE": "", "Proxy-Authorization": "", "Proxy-Connection": "", "Trailer": "", "X-Secret": "", "Sluice-Resume": "",
		"X-Remove": "", "X-Set": "route", "X-New": "v"}
	const route = "    headers: {set: {X-Set: route, X-New: v}, remove: [X-Remove]}"
	cases := []struct {
		name, top string
		want      fields
	}{
		{"a stranger", "", fields{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "sluice.test", "X-Forwarded-Port": "", "Forwarded": ""}},
		{"a trusted proxy", "trusted_proxies: [127.0.0.0/8]", fields{"X-Forwarded-For": "9.9.9.9, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil"}},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := start(t, tr, testkit.Config{Top: c.top, Route: route})
				_, _, head := b.ask(t, with(connect, "Connection: Upgrade, X-Secret\r\n"+sent))
				for _, set := range []fields{stays, c.want} {
					for name, want := range set {
						if got := head.Get(name); got != want {
							t.Errorf("%s: want %q, got %q", name, want, got)
						}
					}
				}
				if id := head.Get("Sluice-Session"); id == "" || strings.Contains(id, "forged") {
					t.Errorf("Sluice-Session is ours: got %q", id)
				}
			})
		}
	})
}

// Fields that name Sluice's own by another spelling are removed too.
func TestForgedNames(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		_, _, head := b.ask(t, plus("sluice-resume: 1\r\nSLUICE-SESSION: x\r\nx-forwarded-for: 9.9.9.9\r\nConnection: Sluice-Session, X-Forwarded-For, Host, Cookie\r\n"))
		for name, unwanted := range map[string]string{"Sluice-Resume": "1", "Sluice-Session": "x", "X-Forwarded-For": "9.9.9.9"} {
			if got := head.Get(name); strings.Contains(got, unwanted) {
				t.Errorf("%s is not the client's: got %q", name, got)
			}
		}
		for _, name := range []string{"Sluice-Session", "X-Forwarded-For", "Host"} {
			if len(head.Values(name)) != 1 {
				t.Errorf("%s is set after hop-by-hop fields are dropped: got %q", name, head.Raw)
			}
		}
	})
}

// Path, prefix and Host follow the rules of section 4.
func TestTargets(t *testing.T) {
	cases := []struct{ name, strip, path, host, target, wantTarget, wantHost string }{
		{"the URL without a path", "", "", "", "/x?q=1", "/x?q=1", "sluice.test"},
		{"the URL with a slash", "", "/", "", "/x?q=1", "/x?q=1", "sluice.test"},
		{"behind the URL's path", "", "/v2", "", "/x%2Fy?q", "/v2/x%2Fy?q", "sluice.test"},
		{"behind the URL's path and slash", "", "/v2/", "", "/x", "/v2/x", "sluice.test"},
		{"stripped", "/api", "", "", "/api/x?q=/api", "/x?q=/api", "sluice.test"},
		{"stripped to nothing", "/api", "", "", "/api", "/", "sluice.test"},
		{"stripped to a query", "/api", "", "", "/api?q=1", "/?q=1", "sluice.test"},
		{"stripped behind a path", "/api", "/v2", "", "/api/x", "/v2/x", "sluice.test"},
		{"stripped to nothing behind a path", "/api", "/v2", "", "/api", "/v2", "sluice.test"},
		{"host overridden", "", "", "inner.test:81", "/", "/", "inner.test:81"},
		{"encoded path of the URL", "", "/a%2Fb", "", "/c", "/a%2Fb/c", "sluice.test"},
		{"stripped, written in escapes", "/api", "", "", "/%61pi/x", "/x", "sluice.test"},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				in := testkit.Listen(t)
				cfg := testkit.Config{Upstreams: []string{`{url: "` + in.URL() + c.path + `", host: "` + c.host + `"}`}}
				if c.strip != "" {
					cfg.Route = "    match: {path: " + c.strip + "}\n    strip_prefix: " + c.strip
				}
				b := &bench{testkit.Start(t, tr, cfg.String()), in}
				_, _, head := b.ask(t, with(getLine, "GET "+c.target+" HTTP/1.1\r\n"))
				if want := "GET " + c.wantTarget + " HTTP/1.1"; head.Line != want {
					t.Errorf("the target: want %q, got %q", want, head.Line)
				}
				if got := head.Get("Host"); got != c.wantHost {
					t.Errorf("the host: want %q, got %q", c.wantHost, got)
				}
			})
		}
	})
}

// An ordinary request goes to the same pool, and its connection can go on to a
// handshake.
func TestOrdinaryHTTP(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg, head := b.ask(t, "POST /poll?a=%2F HTTP/1.1\r\nHost: sluice.test\r\nSluice-Session: x\r\nX-Forwarded-For: 9.9.9.9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
		if head.Line != "POST /poll?a=%2F HTTP/1.1" || head.Get("Sluice-Session") != "" || head.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("it is passed on: got %q", head.Raw)
		}
		leg.WantBytes("with its body", "2\r\nhi\r\n0\r\n\r\n") // an answer before that would end it
		leg.SendString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if _, body := client.WantAnswer("and answered", 200); body != "ok" {
			t.Errorf("want ok, got %q", body)
		}
		leg.WantEOF("an idle connection is let go, before the instance does so under a request")
		client.SendString(good + "\r\n")
		ws := b.in.Accept(t, "the handshake has a connection of its own")
		ws.SendString(testkit.Answer(ws.Head("the instance is asked")))
		client.WantUpgraded("it is upgraded")
	})
}

// A body must come at a pace, and be well formed: it is the client that is told.
func TestOrdinaryHTTPBadBody(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Timeouts: "frame: 200ms"})
		for name, c := range map[string]struct {
			head, body string
			status     int
		}{
			"none at all":       {"Content-Length: 1000", "", 408},
			"in drops":          {"Content-Length: 1000", strings.Repeat("x", 900), 408},
			"in drops, chunked": {"Transfer-Encoding: chunked", strings.Repeat("1\r\nx\r\n", 200), 408},
			"a broken chunk":    {"Transfer-Encoding: chunked", "zz\r\n", 400},
		} {
			t.Run(name, func(t *testing.T) {
				client, leg, _ := b.ask(t, "POST / HTTP/1.1\r\nHost: sluice.test\r\n"+c.head+"\r\n\r\n")
				told := make(chan struct{})
				go func() {
					drip := time.NewTicker(20 * time.Millisecond)
					defer drip.Stop()
					for body := c.body; len(body) > 0; {
						n := min(4, len(body))
						if _, err := client.Conn().Write([]byte(body[:n])); err != nil {
							return
						}
						body = body[n:]
						select {
						case <-drip.C:
						case <-told:
							return
						}
					}
				}()
				client.WantAnswer("the client is told", c.status)
				close(told)
				client.WantGone("and that is the end")
				leg.WantGone("for the instance, too")
			})
		}
	})
}

// An instance's 426 names what it wants, though Upgrade is hop-by-hop.
func TestOrdinaryHTTPUpgradeRequired(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg, _ := b.ask(t, "GET / HTTP/1.1\r\nHost: sluice.test\r\n\r\n")
		leg.SendString("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n")
		head, _ := client.WantAnswer("it is told to the client", 426)
		if head.Get("Upgrade") != "websocket" || head.Get("Connection") != "Upgrade" {
			t.Errorf("with the protocol: got %q", head.Raw)
		}
	})
}

// Origins are judged before an instance is asked; the refusal names the line to
// add.
func TestOrigins(t *testing.T) {
	cases := []struct {
		origins, lines string
		ok             bool
	}{
		{`["https://app.test"]`, "Origin: https://app.test\r\n", true},
		{`["https://app.test"]`, "Origin: https://APP.test:443\r\n", true},
		{`["https://app.test"]`, "", true},
		{`["https://app.test"]`, "Origin: http://app.test\r\n", false},
		{`["https://app.test"]`, "Origin: https://app.test.evil.test\r\n", false},
		{`["https://app.test"]`, "Origin: https://app.test\r\nOrigin: https://evil.test\r\n", false},
		{`["https://app.test"]`, "Origin: null\r\n", false},
		{`["https://app.test"]`, "Origin:\r\n", false},
		{`[self]`, "Origin: http://sluice.test\r\n", true},
		{`[self]`, "Origin: http://sluice.test:81\r\n", false},
		{`["*"]`, "Origin: http://any.test\r\n", true},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range cases {
			t.Run(c.origins+" "+strings.TrimSpace(c.lines), func(t *testing.T) {
				b := start(t, tr, testkit.Config{Route: "    origins: " + c.origins})
				if c.ok {
					b.ask(t, plus(c.lines))
					return
				}
				client := b.Dial(t)
				client.SendString(plus(c.lines))
				_, body := client.WantRefusal("a foreign page is refused", 403)
				_, origin, _ := strings.Cut(strings.Split(c.lines, "\r\n")[0], ": ")
				if !strings.Contains(body, `origins: ["`+origin+`"]`) {
					t.Errorf("the line to add is named: got %q", body)
				}
				b.in.WantUnvisited(t, "and the instance not asked")
			})
		}
	})
}
