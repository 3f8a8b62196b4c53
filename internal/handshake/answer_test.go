package handshake_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

// ours is the proxy's own key, and what answers it.
var (
	ours    = handshake.NewKey([16]byte{1, 2, 3})
	oursAcc = handshake.AcceptKey(ours)
)

// offer is what the client asked for.
var offer = &handshake.Offer{
	Key: clientKey, Protocols: []string{"chat", "v2"},
	Deflate: []string{"permessage-deflate; client_max_window_bits", "permessage-deflate"},
}

// head joins lines to a head.
func head(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n") }

// good are the lines that every 101 must have, and more.
func good(more ...string) []byte {
	return head(append([]string{"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + oursAcc}, more...)...)
}

// without is a good head less the line that begins so; with another in its
// place unless that is "".
func without(line, instead string) []byte {
	var lines []string
	for l := range strings.SplitSeq(strings.TrimSuffix(string(good()), "\r\n\r\n"), "\r\n") {
		if !strings.HasPrefix(l, line) {
			lines = append(lines, l)
		} else if instead != "" {
			lines = append(lines, instead)
		}
	}
	return head(lines...)
}

func TestAcceptKey(t *testing.T) {
	if got := handshake.AcceptKey(clientKey); got != clientAcc {
		t.Errorf("the RFC's key is answered %q, want %q", got, clientAcc)
	}
}

func TestAccept(t *testing.T) {
	const d = "Sec-WebSocket-Extensions: permessage-deflate"
	for _, c := range []struct {
		name string
		head []byte
		want handshake.Answer // without Header
	}{
		{"the least there is", good(), handshake.Answer{}},
		{"other words for it", without("HTTP", "HTTP/1.1 101 Web Socket Protocol Handshake"), handshake.Answer{}},
		{"no words for it", without("HTTP", "HTTP/1.1 101 "), handshake.Answer{}},
		{"names in any case", head("HTTP/1.1 101 OK", "UPGRADE:WebSocket", "connection:\tkeep-alive,upgrade ", "sec-websocket-accept: "+oursAcc), handshake.Answer{}},
		{"an empty body is none", good("Content-Length: 0"), handshake.Answer{}},
		{"a subprotocol of ours", good("Sec-WebSocket-Protocol: v2"), handshake.Answer{Protocol: "v2"}},
		{"deflate", good(d), handshake.Answer{Deflate: true, Extensions: "permessage-deflate"}},
		{"deflate, every parameter", good(d + "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=\"15\""),
			handshake.Answer{Deflate: true, Extensions: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=\"15\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := offer.Accept(c.head, ours)
			if err != nil {
				t.Fatalf("it is refused: %v\n%s", err, c.head)
			}
			a.Header = nil
			if !reflect.DeepEqual(*a, c.want) {
				t.Errorf("got %+v, want %+v", *a, c.want)
			}
		})
	}
}

// TestLyingAnswers: any of these tunnelled would make the proxy a hole.
func TestLyingAnswers(t *testing.T) {
	const d = "Sec-WebSocket-Extensions: permessage-deflate"
	for _, c := range []struct {
		name string
		head []byte
	}{
		{name: "200", head: without("HTTP", "HTTP/1.1 200 OK")},
		{name: "100", head: without("HTTP", "HTTP/1.1 100 Continue")},
		{name: "HTTP/1.0", head: without("HTTP", "HTTP/1.0 101 Switching Protocols")},
		{name: "HTTP/2", head: without("HTTP", "HTTP/2.0 101 Switching Protocols")},
		{name: "HTTP/1.10", head: without("HTTP", "HTTP/1.10 101 Switching Protocols")},
		{name: "no version", head: without("HTTP", "101 Switching Protocols")},
		{name: "101 as part of a number", head: without("HTTP", "HTTP/1.1 1010 Switching Protocols")},
		{name: "a byte before the status line", head: append([]byte("x"), good()...)},
		{name: "an empty line before the status line", head: append([]byte("\r\n"), good()...)},

		{name: "no Upgrade", head: without("Upgrade", "")},
		{name: "an Upgrade to another protocol", head: without("Upgrade", "Upgrade: h2c")},
		{name: "websocket among others", head: without("Upgrade", "Upgrade: websocket, h2c")},
		{name: "two Upgrades", head: good("Upgrade: websocket")},
		{name: "no Connection", head: without("Connection", "")},
		{name: "a Connection that closes", head: without("Connection", "Connection: close")},

		{name: "no Accept", head: without("Sec-WebSocket-Accept", "")},
		{name: "an empty Accept", head: without("Sec-WebSocket-Accept", "Sec-WebSocket-Accept:")},
		{name: "the accept of another key", head: without("Sec-WebSocket-Accept", "Sec-WebSocket-Accept: "+clientAcc)},
		{name: "the accept in another case", head: without("Sec-WebSocket-Accept", "Sec-WebSocket-Accept: "+strings.ToLower(oursAcc))},
		{name: "two accepts, both right", head: good("Sec-WebSocket-Accept: " + oursAcc)},
		{name: "two accepts, one right", head: good("Sec-WebSocket-Accept: " + clientAcc)},
		{name: "the key instead of its accept", head: without("Sec-WebSocket-Accept", "Sec-WebSocket-Accept: "+ours)},

		{name: "a body", head: good("Content-Length: 5")},
		{name: "a chunked body", head: good("Transfer-Encoding: chunked")},
		{name: "two lengths, the second a body's", head: good("Content-Length: 0", "Content-Length: 5")},
		{name: "a list of lengths", head: good("Content-Length: 0, 5")},

		{name: "a subprotocol that was not offered", head: good("Sec-WebSocket-Protocol: v3")},
		{name: "a subprotocol in another case", head: good("Sec-WebSocket-Protocol: CHAT")},
		{name: "two subprotocols in a line", head: good("Sec-WebSocket-Protocol: chat, v2")},
		{name: "two subprotocol lines", head: good("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: v2")},
		{name: "an empty subprotocol", head: good("Sec-WebSocket-Protocol:")},

		{name: "an extension that was not offered", head: good("Sec-WebSocket-Extensions: x-webkit-deflate-frame")},
		{name: "deflate and another", head: good(d + ", foo")},
		{name: "deflate twice", head: good(d, d)},
		{name: "an unknown parameter", head: good(d + "; foo")},
		{name: "a parameter twice", head: good(d + "; server_no_context_takeover; server_no_context_takeover")},
		{name: "a value where none may be", head: good(d + "; server_no_context_takeover=1")},
		{name: "no value where one must be", head: good(d + "; server_max_window_bits")},
		{name: "no value for the client's window", head: good(d + "; client_max_window_bits")},
		{name: "a window of 7", head: good(d + "; server_max_window_bits=7")},
		{name: "a window of 16", head: good(d + "; server_max_window_bits=16")},
		{name: "a window with a zero in front", head: good(d + "; server_max_window_bits=08")},
		{name: "a window with a sign", head: good(d + "; server_max_window_bits=+9")},
		{name: "a window that is no number", head: good(d + "; client_max_window_bits=x")},

		{name: "a bare LF in a value", head: good("X: a\nY: b")},
		{name: "a bare CR in a value", head: good("X: a\rY: b")},
		{name: "a bare LF in the status line", head: without("HTTP", "HTTP/1.1 101 Switching\nX: y")},
		{name: "a NUL", head: good("X: a\x00b")},
		{name: "a folded line", head: good("X: a", " b")},
		{name: "a folded line behind the status line", head: without("Upgrade", " Upgrade: websocket")},
		{name: "a space before a colon", head: without("Upgrade", "Upgrade : websocket")},
		{name: "no colon", head: good("nonsense")},
		{name: "no name", head: good(": x")},
		{name: "a name that is no token", head: good("X(1): y")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a, err := offer.Accept(c.head, ours); err == nil || a != nil {
				t.Errorf("it is taken for a 101, as %+v:\n%s", a, c.head)
			}
		})
	}
}

func TestAcceptAgainstAnEmptyOffer(t *testing.T) {
	bare := &handshake.Offer{Key: clientKey}
	for _, line := range []string{"Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"} {
		if a, err := bare.Accept(good(line), ours); err == nil {
			t.Errorf("%s passes as %+v though nothing was offered", line, a)
		}
	}
	narrow := &handshake.Offer{Key: clientKey, Deflate: []string{"permessage-deflate"}}
	if a, err := narrow.Accept(good("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10"), ours); err == nil {
		t.Errorf("the client's window is bounded, as %+v, though it did not say that it can", a)
	}
}

func TestAcceptSaysWhichAnswersAreOrdinary(t *testing.T) {
	if _, err := offer.Accept(without("HTTP", "HTTP/1.1 403 Forbidden"), ours); !errors.Is(err, handshake.ErrNot101) {
		t.Errorf("a refusal gives %v, want ErrNot101: it is passed on", err)
	}
	if _, err := offer.Accept([]byte("SSH-2.0-OpenSSH\r\n\r\n"), ours); !errors.Is(err, handshake.ErrHead) {
		t.Errorf("another protocol gives %v, want ErrHead", err)
	}
}

func TestAnswerKeepsTheInstancesFields(t *testing.T) {
	a, err := offer.Accept(good("Set-Cookie: a=1", "Set-Cookie: b=2", "Server: x", "Keep-Alive: 5", "Sluice-Session: 1"), ours)
	if err != nil {
		t.Fatal(err)
	}
	if want := header("Set-Cookie: a=1", "Set-Cookie: b=2", "Server: x"); !reflect.DeepEqual(a.Header, want) {
		t.Errorf("got %v, want %v", a.Header, want)
	}
}

func TestAnswerAppend(t *testing.T) {
	a := &handshake.Answer{
		Protocol: "chat", Extensions: "permessage-deflate; server_no_context_takeover", Deflate: true,
		Header: header("Set-Cookie: a=1", "Set-Cookie: b=2", "Server: x", "X-Evil: a\r\nX-Injected: 1"),
	}
	got := string(a.Append(nil, offer, [2]string{"Set-Cookie", "sticky=1"}, [2]string{"X-Bare", "a\nb"}))
	want := strings.ReplaceAll(`HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
Sec-WebSocket-Protocol: chat
Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover
Server: x
Set-Cookie: a=1
Set-Cookie: b=2
Set-Cookie: sticky=1

`, "\n", "\r\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := offer.Accept([]byte(got), clientKey); err != nil {
		t.Errorf("our own answer is refused: %v", err)
	}
}

// TestNamesCannotBreakAHead: a name with a line's end in it is left out as a
// value is.
func TestNamesCannotBreakAHead(t *testing.T) {
	h := handshake.Header{"X\r\nInjected": {"1"}, "X: y\r\nInjected": {"1"}, "": {"1"}}
	for what, p := range map[string][]byte{
		"request": offer.AppendRequest(nil, &handshake.Forward{Target: "/", Host: "h", Key: ours, Header: h}),
		"answer":  (&handshake.Answer{Header: h}).Append(nil, offer),
		"refusal": (&handshake.Refusal{Status: 400, Header: [][2]string{{"X\r\nInjected", "1"}}}).Append(nil),
	} {
		if strings.Contains(string(p), "Injected") {
			t.Errorf("a field is injected into the %s:\n%s", what, p)
		}
	}
}

func TestStatus(t *testing.T) {
	for line, want := range map[string]int{
		"HTTP/1.1 101 Switching Protocols": 101,
		"HTTP/1.0 404 Not Found":           404,
		"HTTP/1.1 200 ":                    200,
		"HTTP/1.1 200":                     200,
		"HTTP/1.1 999 x":                   999,
		"HTTP/1.1 099 x":                   0,
		"HTTP/1.1 1o1 x":                   0,
		"HTTP/1.1 +10 x":                   0,
		"HTTP/1.1 -10 x":                   0,
		"HTTP/1.1 1_0 x":                   0,
		"HTTP/1.1 2000 x":                  0,
		"HTTP/1.1  200 x":                  0,
		"HTTP/1.2 200 OK":                  0,
		"HTTP/2 200 OK":                    0,
		"http/1.1 200 OK":                  0,
		"HTTP/1.1\t200 OK":                 0,
		"HTTP/1.1":                         0,
		"":                                 0,
	} {
		got, err := handshake.Status([]byte(line + "\r\n\r\n"))
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, %v, want %d", line, got, err, want)
		}
	}
}

func TestHeadEnd(t *testing.T) {
	const empty = "\r\n\r\n"
	for _, c := range []struct {
		name string
		p    string
		n    int
		err  error
	}{
		{"nothing", "", 0, nil},
		{"a head in part", "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n", 0, nil},
		{"a head and the first frame", "HTTP/1.1 101 OK" + empty + "\x81\x00", 19, nil},
		{"bare line feeds end nothing", "HTTP/1.1 101 OK\n\n", 0, nil},
		{"two heads", "HTTP/1.1 103 Early Hints" + empty + "HTTP/1.1 101 OK" + empty, 28, nil},
		{"a head that just fits", strings.Repeat("x", handshake.MaxHead-4) + empty, handshake.MaxHead, nil},
		{"a head one byte too long", strings.Repeat("x", handshake.MaxHead-3) + empty, 0, handshake.ErrHeadSize},
		{"a head that may still fit", strings.Repeat("x", handshake.MaxHead-1), 0, nil},
		{"a head that can't", strings.Repeat("x", handshake.MaxHead), 0, handshake.ErrHeadSize},
	} {
		if n, err := handshake.HeadEnd([]byte(c.p)); n != c.n || err != c.err {
			t.Errorf("%s: got %d, %v, want %d, %v", c.name, n, err, c.n, c.err)
		}
	}
}

// TestInterimAnswers walks over two interim heads to the 101 and stops at the
// instance's first frame.
func TestInterimAnswers(t *testing.T) {
	p := append(head("HTTP/1.1 100 Continue"), head("HTTP/1.1 103 Early Hints", "Link: </a>")...)
	p = append(append(p, good()...), "\x81\x02hi"...)
	for _, want := range []int{http.StatusContinue, http.StatusEarlyHints, http.StatusSwitchingProtocols} {
		n, err := handshake.HeadEnd(p)
		if err != nil || n == 0 {
			t.Fatalf("no head before %q: %v", p, err)
		}
		if got, err := handshake.Status(p[:n]); got != want || err != nil {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
		_, err = offer.Accept(p[:n], ours)
		if want != http.StatusSwitchingProtocols && !errors.Is(err, handshake.ErrNot101) || want == http.StatusSwitchingProtocols && err != nil {
			t.Fatalf("%d is judged %v", want, err)
		}
		p = p[n:]
	}
	if string(p) != "\x81\x02hi" {
		t.Errorf("behind the heads stands %q", p)
	}
}

func TestWaiterSkipsAFewInterimAnswers(t *testing.T) {
	const early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	final := "HTTP/1.1 200 OK\r\n\r\n"
	var w handshake.Waiter
	skip, head, _, err := w.Next([]byte(early + early + final[:10]))
	if skip != 2*len(early) || head != 0 || err != nil {
		t.Errorf("two and a part: skip %d, head %d, %v", skip, head, err)
	}
	skip, head, status, err := w.Next([]byte(early + final + "body"))
	if skip != len(early) || head != len(final) || status != 200 || err != nil {
		t.Errorf("then the answer: skip %d, head %d, status %d, %v", skip, head, status, err)
	}
	w = handshake.Waiter{}
	for n := range 5 { // counted however they come
		if _, _, _, err := w.Next([]byte(early)); err != nil {
			t.Errorf("interim answer %d: %v", n+1, err)
		}
	}
	if _, _, _, err := w.Next([]byte(early)); err != handshake.ErrInterim {
		t.Errorf("one too many: %v", err)
	}
}
