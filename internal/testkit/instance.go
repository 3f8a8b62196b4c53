package testkit

import (
	"bytes"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Instance is a server behind the proxy, played by the test.
type Instance struct {
	l   net.Listener
	url string
}

// Listen makes an instance on a free port.
func Listen(t testing.TB) *Instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return newInstance(t, l, "ws://", err)
}

// ListenTLS makes an instance that speaks TLS.
func ListenTLS(t testing.TB, cfg *tls.Config) *Instance {
	t.Helper()
	in := Listen(t)
	in.url = "wss://" + in.l.Addr().String()
	in.l = &tlsListener{in.l.(*net.TCPListener), cfg}
	return in
}

// ListenUnix makes an instance on a Unix socket.
func ListenUnix(t testing.TB) *Instance {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	in := newInstance(t, l, "", err)
	in.url = "unix:" + path
	return in
}

func newInstance(t testing.TB, l net.Listener, scheme string, err error) *Instance {
	t.Helper()
	if err != nil {
		t.Fatalf("instance: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return &Instance{l: l, url: scheme + l.Addr().String()}
}

// tlsListener keeps SetDeadline, which tls.NewListener hides.
type tlsListener struct {
	*net.TCPListener
	cfg *tls.Config
}

// Accept takes a connection; the handshake comes with its first byte.
func (l *tlsListener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(c, l.cfg), nil
}

// URL is the instance's, for a configuration.
func (in *Instance) URL() string { return in.url }

// Addr is the instance's address.
func (in *Instance) Addr() net.Addr { return in.l.Addr() }

// Close stops listening, so that dials are refused.
func (in *Instance) Close() { in.l.Close() }

// Accept takes the proxy's next connection.
func (in *Instance) Accept(t testing.TB, sentence string) *Peer {
	t.Helper()
	c, err := in.accept()
	if err != nil {
		t.Fatalf("%s: no connection to the instance: %v", sentence, err)
	}
	return newInstancePeer(t, c)
}

// Asked takes connections until one asks for target, and gives what it asked.
// Those that ask for something else, or have gone, are left.
func (in *Instance) Asked(t testing.TB, sentence, target string) (*Peer, *Head) {
	t.Helper()
	for {
		leg := in.Accept(t, sentence)
		for !bytes.Contains(leg.buf, []byte("\r\n\r\n")) && leg.fill() {
		}
		if leg.err == nil {
			if h := leg.Head(sentence); strings.HasPrefix(h.Line, "GET "+target+" ") {
				return leg, h
			}
		}
		leg.Close()
	}
}

// Next takes the next connection whenever it comes; the error is that of Close.
// Unlike Accept it may be called by a goroutine of the test's.
func (in *Instance) Next(t testing.TB) (*Peer, error) {
	_ = in.l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Time{})
	c, err := in.l.Accept()
	if err != nil {
		return nil, err
	}
	return newInstancePeer(t, c), nil
}

func (in *Instance) accept() (net.Conn, error) {
	_ = in.l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(patience))
	return in.l.Accept()
}

// WantUnvisited wants that nobody has connected since the last Accept: the next
// in the queue is a connection of the test's own.
func (in *Instance) WantUnvisited(t testing.TB, sentence string) {
	t.Helper()
	own, err := net.DialTimeout("tcp", in.l.Addr().String(), patience)
	if err != nil {
		t.Fatalf("%s: %v", sentence, err)
	}
	defer own.Close()
	visits := 0
	for {
		c, err := in.accept()
		if err != nil {
			t.Fatalf("%s: %v", sentence, err)
		}
		defer c.Close()
		if c.RemoteAddr().String() == own.LocalAddr().String() {
			break
		}
		if visits++; visits == 1 {
			var first [512]byte
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			n, _ := c.Read(first[:])
			t.Errorf("%s: the instance was visited with %q", sentence, first[:n])
		}
	}
	if visits > 0 {
		t.FailNow()
	}
}

// Open carries out a handshake through a and gives both ends.
func Open(t testing.TB, a *App, in *Instance) (client, leg *Peer) {
	t.Helper()
	client = a.Dial(t)
	client.SendString(Upgrade("/"))
	leg = in.Accept(t, "an upgrade reaches the instance")
	leg.SendString(Answer(leg.Head("the instance is asked")))
	client.WantUpgraded("the client is upgraded")
	return client, leg
}
