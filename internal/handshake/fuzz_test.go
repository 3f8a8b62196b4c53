package handshake_test

import (
	"bufio"
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

// wantLines checks a head that we wrote: so many lines, each a field, none with
// a control character.
func wantLines(t *testing.T, p []byte, n int) {
	t.Helper()
	s, ok := strings.CutSuffix(string(p), "\r\n\r\n")
	lines := strings.Split(s, "\r\n")
	if !ok || len(lines) != n {
		t.Fatalf("a head of %d lines, want %d:\n%q", len(lines), n, p)
	}
	for k, line := range lines {
		ctl := strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F })
		if ctl || k > 0 && !strings.Contains(line, ": ") {
			t.Fatalf("line %d is %q", k, line)
		}
	}
}

// token is what a field's name may be.
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// count counts the values of h.
func count(h handshake.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

// FuzzAccept: no head makes it panic; one that is accepted is a 101 for
// net/http too and answers what was asked; the client's head holds what it
// should and no more.
func FuzzAccept(f *testing.F) {
	f.Add(good())
	f.Add(good("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10", "Set-Cookie: a=1"))
	f.Add(good("X: a\nY: b", " folded", "Z : space"))
	f.Add(without("HTTP", "HTTP/1.0 200 OK"))
	f.Add(good("Connection: close, Set-Cookie", "Transfer-Encoding: chunked"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if n, err := handshake.HeadEnd(p); err == nil && n > 0 {
			p = p[:n]
		}
		before := bytes.Clone(p)
		a, err := offer.Accept(p, ours)
		if !bytes.Equal(p, before) {
			t.Fatal("the head was changed")
		}
		if err != nil {
			return
		}
		if a.Protocol != "" && !slices.Contains(offer.Protocols, a.Protocol) {
			t.Fatalf("subprotocol %q was not offered", a.Protocol)
		}
		if a.Deflate != (a.Extensions != "") || a.Deflate && !strings.EqualFold(a.Extensions[:18], "permessage-deflate") {
			t.Fatalf("extensions %q with deflate %v", a.Extensions, a.Deflate)
		}
		sameForNetHTTP(t, p)
		n := 4 + count(a.Header)
		for _, s := range []string{a.Protocol, a.Extensions} {
			if s != "" {
				n++
			}
		}
		out := a.Append(nil, offer)
		wantLines(t, out, n)
		if resp := read(t, out); resp.Header.Get("Sec-Websocket-Accept") != clientAcc {
			t.Fatalf("the client gets\n%s", out)
		}
	})
}

// sameForNetHTTP reads an accepted head with another parser.
func sameForNetHTTP(t *testing.T, p []byte) {
	t.Helper()
	status, _, ok := bytes.Cut(p, []byte("\r\n"))
	if !ok || !bytes.HasSuffix(p, []byte("\r\n\r\n")) || bytes.ContainsAny(status, "\r\n") { // TestLyingAnswers has the last
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
	if err != nil {
		t.Fatalf("net/http does not read what is accepted: %v\n%q", err, p)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != oursAcc || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		t.Fatalf("net/http reads %d, %v from\n%q", resp.StatusCode, resp.Header, p)
	}
}

// FuzzJudge: no request makes it panic; one that is accepted keeps the rules,
// and neither what goes to the instance nor a refusal can be broken out of.
func FuzzJudge(f *testing.F) {
	f.Add("GET", "websocket", "Upgrade", "13", clientKey, "chat, v2", "permessage-deflate; client_max_window_bits", "X", "y")
	f.Add("GET", "WebSocket", "keep-alive, upgrade", "13", clientKey, "", "", "Sluice-Session", "forged")
	f.Add("POST", "h2c", "close", "8", "short", "a,,b", "; =", "Connection", "X")
	f.Add("GET", "websocket", "upgrade, x", "13", clientKey, "a\r\nb", "permessage-deflate; a=\"b\"\r\nX: y", "X", "a\r\nInjected: 1")
	f.Fuzz(func(t *testing.T, method, upgrade, connection, version, key, protocols, extensions, name, value string) {
		h := handshake.Header{
			"Upgrade": {upgrade}, "Connection": {connection}, "Sec-Websocket-Version": {version}, "Sec-Websocket-Key": {key},
		}
		for name, value := range map[string]string{"Sec-Websocket-Protocol": protocols, "Sec-Websocket-Extensions": extensions} {
			if value != "" {
				h[name] = []string{value}
			}
		}
		// Names are tokens, net/http sees to that: TestNamesCannotBreakAHead.
		if name = http.CanonicalHeaderKey(name); h[name] == nil && token.MatchString(name) {
			h[name] = []string{value}
		}
		o, refusal := handshake.Judge(&handshake.Request{Method: method, Major: 1, Minor: 1, Header: h})
		if refusal != nil {
			if resp := read(t, refusal.Append(nil)); resp.StatusCode != refusal.Status || resp.StatusCode < 400 {
				t.Fatalf("refused with %d, written as %d", refusal.Status, resp.StatusCode)
			}
			return
		}
		if method != "GET" || !strings.EqualFold(upgrade, "websocket") || !strings.Contains(strings.ToLower(connection), "upgrade") || version != "13" || len(key) != 24 {
			t.Fatalf("accepted: %q", h)
		}
		wantForwarded(t, o, h)
	})
}

// wantForwarded writes the request to the instance and reads it again.
func wantForwarded(t *testing.T, o *handshake.Offer, h handshake.Header) {
	t.Helper()
	pass := handshake.Pass(h)
	for name := range pass {
		if strings.HasPrefix(name, "Sluice-") || strings.HasPrefix(name, "Sec-Websocket-") || name == "Connection" || name == "Upgrade" {
			t.Fatalf("%s goes on", name)
		}
	}
	n := 6
	if len(o.Protocols) > 0 {
		n++
	}
	if len(o.Deflate) > 0 {
		n++
	}
	for _, values := range pass {
		for _, v := range values {
			if !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) {
				n++
			}
		}
	}
	out := o.AppendRequest(nil, &handshake.Forward{Target: "/", Host: "h", Key: ours, Header: pass})
	wantLines(t, out, n)
	for k, name := range o.Protocols {
		if slices.Contains(o.Protocols[:k], name) || name == "" {
			t.Fatalf("subprotocols %q", o.Protocols)
		}
	}
	for _, e := range o.Deflate {
		if len(e) < 18 || !strings.EqualFold(e[:18], "permessage-deflate") || strings.Contains(e, ",") {
			t.Fatalf("offers %q", o.Deflate)
		}
	}
}
