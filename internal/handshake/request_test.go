package handshake_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

// The RFC's own example, section 1.3.
const (
	clientKey = "dGhlIHNhbXBsZSBub25jZQ=="
	clientAcc = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// header reads lines as they stand in a head.
func header(lines ...string) handshake.Header {
	h := handshake.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		h[name] = append(h[name], strings.Trim(value, " \t"))
	}
	return h
}

// request is the RFC's example request; a line replaces all of its name, and
// one without a value takes them away.
func request(lines ...string) *handshake.Request {
	h := header("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+clientKey)
	for name, values := range header(lines...) {
		if h[name] = values; len(values) == 1 && values[0] == "" {
			delete(h, name)
		}
	}
	return &handshake.Request{Method: "GET", Major: 1, Minor: 1, Header: h}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*handshake.Request)
		lines  []string
		status int // 0: it is upgraded
	}{
		{name: "the RFC's own example"},
		{name: "websocket in any case", lines: []string{"Upgrade: WebSocket"}},
		{name: "Connection names more than upgrade, in any case", lines: []string{"Connection: keep-alive, UPGRADE"}},
		{name: "Connection in two lines", lines: []string{"Connection: keep-alive", "Connection: upgrade"}},
		{name: "an explicit empty body", lines: []string{"Content-Length: 0"}},
		{name: "an Origin is the caller's matter", lines: []string{"Origin: https://evil.example"}},

		{name: "a POST", change: func(r *handshake.Request) { r.Method = "POST" }, status: 405},
		{name: "a get in lower case", change: func(r *handshake.Request) { r.Method = "get" }, status: 405},
		{name: "HTTP/1.0", change: func(r *handshake.Request) { r.Minor = 0 }, status: 400},
		{name: "HTTP/2", change: func(r *handshake.Request) { r.Major, r.Minor = 2, 0 }, status: 400},
		{name: "a body with a length", change: func(r *handshake.Request) { r.ContentLength = 5 }, status: 400},
		{name: "a body of unknown length", change: func(r *handshake.Request) { r.ContentLength = -1 }, status: 400},
		{name: "a chunked body", change: func(r *handshake.Request) { r.TransferEncoding = []string{"chunked"} }, status: 400},
		{name: "a Content-Length that the parser left in the header", lines: []string{"Content-Length: 5"}, status: 400},

		{name: "no Upgrade", lines: []string{"Upgrade:"}, status: 400},
		{name: "an Upgrade to h2c", lines: []string{"Upgrade: h2c"}, status: 400},
		{name: "websocket among others", lines: []string{"Upgrade: websocket, h2c"}, status: 400},
		{name: "two Upgrades", lines: []string{"Upgrade: websocket", "Upgrade: h2c"}, status: 400},
		{name: "no Connection", lines: []string{"Connection:"}, status: 400},
		{name: "a Connection that does not name upgrade", lines: []string{"Connection: keep-alive, upgraded"}, status: 400},

		{name: "no version", lines: []string{"Sec-WebSocket-Version:"}, status: 426},
		{name: "version 8", lines: []string{"Sec-WebSocket-Version: 8"}, status: 426},
		{name: "version 013", lines: []string{"Sec-WebSocket-Version: 013"}, status: 426},
		{name: "two versions in a line", lines: []string{"Sec-WebSocket-Version: 13, 8"}, status: 426},
		{name: "two version lines", lines: []string{"Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"}, status: 426},
		{name: "a foreign version is told before a missing key", lines: []string{"Sec-WebSocket-Version: 14", "Sec-WebSocket-Key:"}, status: 426},

		{name: "no key", lines: []string{"Sec-WebSocket-Key:"}, status: 400},
		{name: "two keys", lines: []string{"Sec-WebSocket-Key: " + clientKey, "Sec-WebSocket-Key: " + clientKey}, status: 400},
		{name: "a key of 15 bytes", lines: []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"}, status: 400},
		{name: "a key of 17 bytes", lines: []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="}, status: 400},
		{name: "a key of 18 bytes", lines: []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"}, status: 400},
		{name: "a key without its padding", lines: []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"}, status: 400},
		{name: "a key in another alphabet", lines: []string{"Sec-WebSocket-Key: ____________________-Q=="}, status: 400},
		{name: "a key that is no base64", lines: []string{"Sec-WebSocket-Key: not base64 at all, sorry"}, status: 400},

		{name: "an empty subprotocol", lines: []string{"Sec-WebSocket-Protocol: chat,,v2"}, status: 400},
		{name: "a subprotocol that is no token", lines: []string{"Sec-WebSocket-Protocol: chat room"}, status: 400},
		{name: "a subprotocol twice", lines: []string{"Sec-WebSocket-Protocol: chat, v2", "Sec-WebSocket-Protocol: chat"}, status: 400},
		{name: "an extension without a name", lines: []string{"Sec-WebSocket-Extensions: ; x=1"}, status: 400},
		{name: "an extension's parameter without a name", lines: []string{"Sec-WebSocket-Extensions: foo; =1"}, status: 400},
		{name: "an extension's parameter without its value", lines: []string{"Sec-WebSocket-Extensions: foo; a="}, status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(c.lines...)
			if c.change != nil {
				c.change(r)
			}
			o, refusal := handshake.Judge(r)
			switch {
			case c.status == 0 && refusal != nil:
				t.Errorf("it is refused with %d: %v", refusal.Status, refusal)
			case c.status == 0 && o.Key != clientKey:
				t.Errorf("its key is read as %q", o.Key)
			case c.status != 0 && refusal == nil:
				t.Errorf("it is upgraded, want %d", c.status)
			case c.status != 0 && (refusal.Status != c.status || o != nil):
				t.Errorf("it is refused with %d and %v, want %d: %v", refusal.Status, o, c.status, refusal)
			}
		})
	}
}

func TestRefusedVersionNamesOurs(t *testing.T) {
	_, r := handshake.Judge(request("Sec-WebSocket-Version: 8"))
	resp := read(t, r.Append(nil))
	if resp.StatusCode != 426 || resp.Header.Get("Sec-Websocket-Version") != "13" {
		t.Errorf("got %d, %v", resp.StatusCode, resp.Header)
	}
}

// TestUpgradeIsNamedByConnection: who sends Upgrade must name it in Connection
// too, in a 426 as elsewhere (RFC 9110, section 7.8).
func TestUpgradeIsNamedByConnection(t *testing.T) {
	_, r := handshake.Judge(request("Sec-WebSocket-Version: 8"))
	if got := string(r.Append(nil)); !strings.Contains(got, "\r\nConnection: close, Upgrade\r\n") && !strings.Contains(got, "\r\nConnection: Upgrade, close\r\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestOffer(t *testing.T) {
	o, r := handshake.Judge(request(
		"Sec-WebSocket-Protocol: graphql-ws , chat", "Sec-WebSocket-Protocol: v2.example.com",
		"Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
		"Sec-WebSocket-Extensions: Permessage-Deflate; server_max_window_bits=\"10\"",
	))
	if r != nil {
		t.Fatal(r)
	}
	want := &handshake.Offer{
		Key:       clientKey,
		Protocols: []string{"graphql-ws", "chat", "v2.example.com"},
		Deflate:   []string{"permessage-deflate; client_max_window_bits", "Permessage-Deflate; server_max_window_bits=\"10\""},
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got  %+v\nwant %+v", o, want)
	}
}

func TestMeant(t *testing.T) {
	for line, want := range map[string]bool{
		"Accept: */*":                    false,
		"Connection: upgrade":            false,
		"Upgrade: websocket":             true,
		"Upgrade: h2c":                   true,
		"Sec-WebSocket-Key: nonsense":    true,
		"Sec-WebSocket-Extensions: none": true,
		"X-Sec-WebSocket-Key: nonsense":  false,
	} {
		if got := handshake.Meant(header(line)); got != want {
			t.Errorf("%s: meant as a handshake is %v, want %v", line, got, want)
		}
	}
}

func TestAppendRequest(t *testing.T) {
	o := &handshake.Offer{Key: clientKey, Protocols: []string{"chat", "v2"}, Deflate: []string{"permessage-deflate", "permessage-deflate; client_max_window_bits"}}
	got := string(o.AppendRequest([]byte("before"), &handshake.Forward{
		Target: "/chat?room=1%2F2", Host: "10.0.0.1:9000", Key: handshake.NewKey([16]byte{1, 2, 3}),
		Header: header("User-Agent: browser", "Cookie: a=1", "Cookie: b=2", "Origin: https://example.com", "X-Evil: a\r\nX-Injected: 1", "X-Nul: \x00"),
	}))
	want := strings.ReplaceAll(`beforeGET /chat?room=1%2F2 HTTP/1.1
Host: 10.0.0.1:9000
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: AQIDAAAAAAAAAAAAAAAAAA==
Sec-WebSocket-Protocol: chat, v2
Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate; client_max_window_bits
Cookie: a=1
Cookie: b=2
Origin: https://example.com
User-Agent: browser

`, "\n", "\r\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if bare := string(new(handshake.Offer).AppendRequest(nil, &handshake.Forward{Target: "/", Host: "h", Key: "k"})); strings.Contains(bare, "Protocol") || strings.Contains(bare, "Extensions") {
		t.Errorf("with nothing offered it still says\n%s", bare)
	}
}

// TestAppendRequestIsJudgedGood closes the circle: what we write is what we
// ask of others.
func TestAppendRequestIsJudgedGood(t *testing.T) {
	o := &handshake.Offer{Protocols: []string{"chat"}, Deflate: []string{"permessage-deflate; client_max_window_bits=12"}}
	key := handshake.NewKey([16]byte{9})
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(o.AppendRequest(nil, &handshake.Forward{Target: "/", Host: "h", Key: key}))))
	if err != nil {
		t.Fatal(err)
	}
	got, refusal := handshake.Judge(&handshake.Request{Method: r.Method, Major: r.ProtoMajor, Minor: r.ProtoMinor, Header: r.Header, ContentLength: r.ContentLength})
	if refusal != nil || got.Key != key || !slices.Equal(got.Protocols, o.Protocols) || !slices.Equal(got.Deflate, o.Deflate) {
		t.Errorf("our own request is read as %+v, %v", got, refusal)
	}
}

func TestPass(t *testing.T) {
	h := header(
		"Connection: Upgrade, X-Trace-Hop", "Connection: x-other-hop", "Upgrade: websocket", "Keep-Alive: 5", "Proxy-Connection: close",
		"Proxy-Authorization: Basic x", "Proxy-Authenticate: Basic", "TE: trailers", "Trailer: X", "Transfer-Encoding: chunked", "HTTP2-Settings: x",
		"X-Trace-Hop: 1", "X-Other-Hop: 1", "Host: h", "Content-Length: 0",
		"Sec-WebSocket-Key: k", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: p", "Sec-WebSocket-Extensions: e", "Sec-WebSocket-Whatever: w",
		"Sluice-Session: forged", "Sluice-Resume: 1", "sluice-anything: 1",
		"Authorization: Bearer t", "Cookie: a=1", "Origin: https://example.com", "X-Sluice-Mine: 1", "Sec-Fetch-Mode: websocket",
	)
	before := len(h)
	want := header("Authorization: Bearer t", "Cookie: a=1", "Origin: https://example.com", "X-Sluice-Mine: 1", "Sec-Fetch-Mode: websocket")
	if got := handshake.Pass(h); !reflect.DeepEqual(got, want) {
		t.Errorf("what goes on is %v, want %v", got, want)
	}
	if len(h) != before {
		t.Error("the client's own header was changed")
	}
}

func TestRefusal(t *testing.T) {
	r := &handshake.Refusal{Status: 403, What: "no\r\n\r\nHTTP/1.1 200 OK", Header: [][2]string{
		{"Retry-After", "3"}, {"X-Origin", "https://e\r\nSet-Cookie: a=1"}, {"X-Bare", "a\nb"},
	}}
	resp := read(t, r.Append(nil))
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != r.What+"\n" {
		t.Errorf("the reason stands in the body alone: got %q, %v", body, err)
	}
	want := http.Header(header("Retry-After: 3", "Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff"))
	resp.Header.Del("Content-Length")
	if resp.StatusCode != 403 || !reflect.DeepEqual(resp.Header, want) {
		t.Errorf("got %d, %v\nwant %v", resp.StatusCode, resp.Header, want)
	}
	if !resp.Close {
		t.Error("the connection is not closed after it")
	}
}

func TestRefusalsHaveAPhrase(t *testing.T) {
	for _, status := range []int{400, 403, 404, 405, 406, 410, 426, 429, 500, 502, 503, 504} {
		line, _, _ := strings.Cut(string((&handshake.Refusal{Status: status}).Append(nil)), "\r\n")
		if want := "HTTP/1.1 " + http.StatusText(status); line != strings.Replace(want, " ", " "+itoa(status)+" ", 1) {
			t.Errorf("got %q, want %q with %d", line, want, status)
		}
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

// read reads an HTTP answer with net/http, a parser that is not ours; nothing
// may stand behind it.
func read(t testing.TB, p []byte) *http.Response {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(p))
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("not an HTTP answer: %v\n%s", err, p)
	}
	body, err := io.ReadAll(resp.Body)
	if rest, _ := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Fatalf("behind the answer stands %q, %v\n%s", rest, err, p)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}
