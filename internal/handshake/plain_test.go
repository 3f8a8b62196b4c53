package handshake_test

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

const plainHead = "GET /chat?a=b HTTP/1.1\r\nHost: sluice.test:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + clientKey + "\r\n"

func TestPlain(t *testing.T) {
	with := func(line, instead string) string { return strings.Replace(plainHead, line, instead, 1) + "\r\n" }
	for _, head := range []string{
		plainHead + "\r\n",
		plainHead + "Cookie: a=b; c=d\r\nX-Empty:\r\nX-Tab:\ta\r\nX-Text: \xc3\xa4\r\n\r\n",
		with("Host: sluice.test:8080", "hOST:[::1]:80"),
		with("GET /chat?a=b", "GET //a/../b%2F?\"{}|"),
	} {
		if !handshake.Plain([]byte(head)) {
			t.Errorf("it can be read in one way alone: %q", head)
		}
	}
	for _, head := range []string{
		"", "\r\n\r\n", plainHead, plainHead + "\r\nmore",
		with("GET", "POST"), with("GET", "get"), with("GET /", "GET http://sluice.test/"), with("GET /chat", "GET *"), with("GET /chat", "GET /ch at"),
		with("GET /chat", "GET /ch\xc3\xa4t"), with("HTTP/1.1", "HTTP/1.0"), with("HTTP/1.1", "HTTP/1.1 "), with("HTTP/1.1\r", "HTTP/1.1"),
		with("Host: sluice.test:8080\r\n", ""), with("Host:", "Host: a\r\nHost:"), with("sluice.test:8080", ""), with("sluice.test", "a/b"), with("sluice.test", "a b"),
		with("sluice.test", "user@a"), with("Upgrade: websocket\r\n", ""), with("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c"),
		with("Upgrade: websocket", "Upgrade : websocket"), with("Upgrade: websocket", " Upgrade: websocket"), with("Upgrade: websocket", "Upgrade: web\r\n socket"),
		with("Upgrade: websocket\r", "Upgrade: websocket"), with("websocket", "web\x00socket"), with("websocket", "web\rsocket"), with("websocket", "web\nsocket"),
		with("websocket", "web\x7fsocket"), with("Connection", "Conn\xc3\xa4ction"), with("Connection: Upgrade", "Connection"), with("Connection: Upgrade", ": Upgrade"),
		plainHead + "Content-Length: 0\r\n\r\n", plainHead + "transfer-encoding: chunked\r\n\r\n", plainHead + "Expect: 100-continue\r\n\r\n", plainHead + "Trailer: X\r\n\r\n",
	} {
		if handshake.Plain([]byte(head)) {
			t.Errorf("it is for another parser: %q", head)
		}
	}
}

// FuzzPlain: a server of net/http lets in what is plain, and reads the very same
// from it as its parser alone.
func FuzzPlain(f *testing.F) {
	f.Add([]byte(plainHead + "\r\n"))
	f.Add([]byte(plainHead + "Cookie: a\r\ncookie: b\r\nX-Long: " + strings.Repeat("x", 300) + "\r\n\r\n"))
	f.Add([]byte("GET /%zz?\x80 HTTP/1.1\r\nHost: [\r\nUpgrade: \r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if len(head) > 4<<10 || !handshake.Plain(head) {
			return
		}
		parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		served := byNetHTTP(t, head)
		switch {
		case err != nil: // then it is net/http's to refuse
		case served == nil:
			t.Fatalf("net/http refuses %q", head)
		case parsed.Host != served.Host || parsed.RequestURI != served.RequestURI || parsed.ContentLength != 0 || !maps.EqualFunc(parsed.Header, served.Header, slices.Equal):
			t.Fatalf("from %q net/http's server reads %q %q %v, its parser %q %q %v", head, served.Host, served.RequestURI, served.Header, parsed.Host, parsed.RequestURI, parsed.Header)
		}
	})
}

// byNetHTTP gives the request that a server's handler gets, nil where none does.
func byNetHTTP(t *testing.T, head []byte) (got *http.Request) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	l := &oneConn{conn: make(chan net.Conn, 1)}
	l.conn <- server
	close(l.conn)
	answered := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Connection", "close")
	})
	go func() {
		defer close(answered)
		_, _ = io.Copy(io.Discard, client)
	}()
	_ = http.Serve(l, h) // until there is no more to accept
	_, _ = client.Write(head)
	<-answered
	return got
}

// oneConn is a listener with one connection.
type oneConn struct{ conn chan net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l.conn; ok {
		return c, nil
	}
	return nil, io.EOF
}
func (*oneConn) Close() error   { return nil }
func (*oneConn) Addr() net.Addr { return &net.TCPAddr{} }
