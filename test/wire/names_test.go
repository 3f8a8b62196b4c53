package wire_test

import (
	"crypto/tls"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// echo sends a message each way.
func echo(t *testing.T, client, leg *testkit.Peer) {
	t.Helper()
	client.Send(testkit.Text("up"))
	leg.Want("a client's message", testkit.Text("up"))
	leg.Send(testkit.Text("down"))
	client.Want("an instance's", testkit.Text("down"))
}

// farewell closes from the client's side.
func farewell(t *testing.T, client, leg *testkit.Peer) {
	t.Helper()
	client.Send(testkit.Close(1000, "bye"))
	leg.Want("the close", testkit.Close(1000, "bye"))
	leg.Send(testkit.Close(1000, ""))
	client.Want("its answer", testkit.Close(1000, ""))
	client.WantEOF("we hang up first")
	client.Close()
	leg.CloseWrite()
	leg.WantEOF("and let the instance go")
}

// A Unix socket takes clients, and its file goes with the proxy.
func TestUnixListener(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		path := filepath.Join(t.TempDir(), "s")
		abandoned, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		abandoned.SetUnlinkOnClose(false)
		abandoned.Close() // as a process that was killed leaves it
		b := start(t, tr, testkit.Config{Top: "listen: unix:" + path})
		client, leg, head := b.ask(t, plus("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"))
		if got := head.Get("X-Forwarded-For"); got != "192.0.2.1" {
			t.Errorf("the peer of a Unix socket is a proxy on this machine: want its X-Forwarded-For, got %q", got)
		}
		leg.SendString(testkit.Answer(head))
		client.WantUpgraded("it is upgraded")
		echo(t, client, leg)
		farewell(t, client, leg)
		client, _ = b.open(t)
		client.Close()
		b.Stop()
		if _, err := os.Stat(path); err == nil || !os.IsNotExist(err) {
			t.Errorf("the socket's file is gone: got %v", err)
		}
	})
}

// A socket that somebody listens on, or a file that is none, is not replaced.
func TestUnixListenerInUse(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := testkit.Config{Top: "listen: unix:" + path, Upstreams: []string{"ws://127.0.0.1:1"}}
		if err := testkit.Fails(t, tr, cfg.String()); !strings.Contains(err.Error(), path) {
			t.Errorf("the error names the path: got %v", err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Type() != fs.FileMode(0) {
			t.Errorf("the file is still there: got %v, %v", fi, err)
		}
	})
}

// An instance may be a Unix socket.
func TestUnixInstance(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.ListenUnix(t)
		b := &bench{testkit.Start(t, tr, testkit.Config{Upstreams: []string{in.URL()}}.String()), in}
		client, leg, head := b.ask(t, with(getLine, "GET /a%2Fb?c HTTP/1.1\r\n"))
		if head.Line != "GET /a%2Fb?c HTTP/1.1" || head.Get("Host") != "sluice.test" {
			t.Errorf("target and host are the client's: got %q", head.Raw)
		}
		leg.SendString(testkit.Answer(head))
		client.WantUpgraded("it is upgraded")
		echo(t, client, leg)
		farewell(t, client, leg)
	})
}

// A certificate that is renewed is used for new connections; sessions stay.
func TestTLSListener(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		dir := t.TempDir()
		first := testkit.NewCertificate(t, dir)
		b := start(t, tr, testkit.Config{Top: `listen: {address: "127.0.0.1:0", tls: {cert: "` + first.Cert + `", key: "` + first.Key + `"}}`})
		dial := func(c *testkit.Certificate) *testkit.Peer {
			conn, err := tls.Dial("tcp", b.Addr().String(), &tls.Config{RootCAs: c.Pool, ServerName: "localhost"})
			if err != nil {
				t.Fatalf("TLS with the certificate: %v", err)
			}
			return testkit.NewClient(t, conn)
		}
		client := dial(first)
		client.SendBytes(append([]byte(good+"\r\n"), client.Bytes(testkit.Text("early"))...))
		leg := b.in.Accept(t, "the request reaches the instance")
		head := leg.Head("it is asked")
		if got := head.Get("X-Forwarded-Proto"); got != "https" {
			t.Errorf("the client came over TLS: got %q", got)
		}
		leg.SendBytes(append([]byte(testkit.Answer(head)), leg.Bytes(testkit.Text("early too"))...))
		client.WantUpgraded("it is upgraded")
		client.Want("what came behind the 101 is there", testkit.Text("early too"))
		leg.Want("and what came behind the request", testkit.Text("early"))
		second := testkit.NewCertificate(t, dir)
		b.WantLog(t, "the new certificate is read", "certificate reloaded")
		renewed := dial(second)
		renewed.SendString(good + "\r\n")
		other := b.in.Accept(t, "new connections use it")
		other.SendString(testkit.Answer(other.Head("it is asked")))
		renewed.WantUpgraded("it is upgraded")
		echo(t, client, leg)
		echo(t, renewed, other)
		farewell(t, client, leg)
		farewell(t, renewed, other)
		plain := b.Dial(t)
		plain.SendString(good + "\r\n")
		if h := plain.Head("plain HTTP is refused"); h.Status() != 400 {
			t.Errorf("with 400: got %q", h.Raw)
		}
		plain.WantGone("and that is all")
	})
}

// A wss instance is verified, by the roots of its own file.
func TestTLSInstance(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		c := testkit.NewCertificate(t, t.TempDir())
		stranger := testkit.NewCertificate(t, t.TempDir())
		in := testkit.ListenTLS(t, &tls.Config{Certificates: []tls.Certificate{c.Pair}})
		upstream := func(ca string) testkit.Config {
			return testkit.Config{Upstreams: []string{`{url: "` + in.URL() + `", tls: {ca: "` + ca + `"}}`}}
		}
		b := &bench{testkit.Start(t, tr, upstream(c.Cert).String()), in}
		client, leg, head := b.ask(t, good+"\r\n")
		if want := in.Addr().String(); head.Get("Host") != want {
			t.Errorf("the host is the URL's: want %q, got %q", want, head.Get("Host"))
		}
		leg.SendString(testkit.Answer(head))
		client.WantUpgraded("it is upgraded")
		echo(t, client, leg)
		farewell(t, client, leg)

		wrong := testkit.Start(t, tr, upstream(stranger.Cert).String())
		client = wrong.Dial(t)
		client.SendString(good + "\r\n")
		done := make(chan struct{})
		go func() { // the handshake that fails
			defer close(done)
			if p, err := in.Next(t); err == nil {
				_, _ = p.Conn().Read(make([]byte, 1))
				p.Close()
			}
		}()
		client.WantRefusal("an instance that can't prove itself is not used", 502)
		<-done
	})
}

// A trusted peer says who the client is, in whatever pieces.
func TestProxyProtocol(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0C\xC0\x00\x02\x07\xC6\x33\x64\x01\x1F\x90\x00\x50"
	const v2Local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	cases := []struct{ name, header, client string }{
		{"v1", "PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\r\n", "192.0.2.7"},
		{"v1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 8080 80\r\n", "2001:db8::7"},
		{"v1, unknown", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"v2", v2, "192.0.2.7"},
		{"v2, local", v2Local, "127.0.0.1"},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Top: `listen: {address: "127.0.0.1:0", proxy_protocol: {trusted: [127.0.0.0/8]}}`})
		for _, c := range cases {
			for _, slow := range []bool{false, true} {
				name := c.name
				if slow {
					name += ", byte by byte"
				}
				t.Run(name, func(t *testing.T) {
					client := b.Dial(t)
					early := string(client.Bytes(testkit.Text("early")))
					if slow {
						client.SendSlowly([]byte(c.header))
						client.SendString(good + "\r\n" + early)
					} else {
						client.SendString(c.header + good + "\r\n" + early)
					}
					leg := b.in.Accept(t, "the request reaches the instance")
					head := leg.Head("it is asked")
					if got := head.Get("X-Forwarded-For"); got != c.client {
						t.Errorf("the client's address: want %q, got %q", c.client, got)
					}
					leg.SendString(testkit.Answer(head))
					client.WantUpgraded("it is upgraded")
					leg.Want("what came behind the request is there", testkit.Text("early"))
					echo(t, client, leg)
				})
			}
		}
	})
}

// Without its header, or with a bad one, a trusted peer is not served; nobody
// else may send one.
func TestProxyProtocolViolations(t *testing.T) {
	cases := []struct{ name, trusted, header string }{
		{"missing", "127.0.0.0/8", ""},
		{"malformed", "127.0.0.0/8", "PROXY TCP4 not-an-address\r\n"},
		{"endless", "127.0.0.0/8", "PROXY " + strings.Repeat("x", 4096)},
		{"from a stranger", "10.0.0.0/8", "PROXY TCP4 192.0.2.7 198.51.100.1 8080 80\r\n"},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := start(t, tr, testkit.Config{Top: `listen: {address: "127.0.0.1:0", proxy_protocol: {trusted: [` + c.trusted + `]}}`})
				client := b.Dial(t)
				client.SendString(c.header + good + "\r\n")
				if got := string(client.Rest()); strings.Contains(got, " 101 ") {
					t.Errorf("it is not served: got %q", got)
				}
				b.in.WantUnvisited(t, "and the instance sees nothing")
			})
		}
	})
}
