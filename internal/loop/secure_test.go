package loop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"
)

// certificate makes one for localhost.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// drip passes bytes on in pieces of so many.
type drip struct {
	*net.TCPConn
	n int
}

func (d drip) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n, err := d.TCPConn.Write(p[:min(d.n, len(p))])
		sent += n
		if err != nil {
			return sent, err
		}
		p = p[n:]
	}
	return sent, nil
}

func TestTLSKeepsEveryByteHoweverItIsCut(t *testing.T) {
	cert := certificate(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, cut := range []int{1, 7, 1000, 1 << 20} {
			transports(t, func(t *testing.T, g *Group) {
				here, there := pair(t)
				server := tls.Server(&Link{Conn: there}, &tls.Config{Certificates: []tls.Certificate{cert}})
				client := tls.Client(drip{here, cut}, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
				shaken := make(chan error, 1)
				go func() { shaken <- client.Handshake() }()
				if err := server.Handshake(); err != nil {
					t.Fatal(err)
				}
				if err := <-shaken; err != nil {
					t.Fatal(err)
				}
				attach(t, g, server, nil, echo())
				size := 3000
				if cut > 100 {
					size = 1 << 20
				}
				want := bytes.Repeat([]byte("0123456789"), size/10)
				go func() {
					_, _ = client.Write(want)
					_ = client.CloseWrite()
				}()
				got, err := io.ReadAll(client)
				if err != nil {
					t.Fatalf("in pieces of %d: %v", cut, err)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("in pieces of %d: %d bytes came back, %d were sent, or they differ", cut, len(got), len(want))
				}
			})
		}
	}
}

func TestDialOverTLS(t *testing.T) {
	cert := certificate(t)
	transports(t, func(t *testing.T, g *Group) {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		answered := make(chan string, 1)
		ended := make(chan struct{})
		s := &scripted{
			data: func(_ *Conn, p []byte) int { answered <- string(p); return len(p) },
			eof:  func(*Conn) { close(ended) },
		}
		d := &Dial{Addr: netip.MustParseAddrPort(l.Addr().String()), TLS: &tls.Config{InsecureSkipVerify: true}}
		on(g.Loops()[0], func(l *Loop) { l.Dial(&s.conn, s, d, []byte("hello")) })
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		p := make([]byte, 5)
		if _, err := io.ReadFull(c, p); err != nil || string(p) != "hello" {
			t.Fatalf("the first bytes are %q, %v", p, err)
		}
		_, _ = c.Write([]byte("hi"))
		if got := <-answered; got != "hi" {
			t.Fatalf("answered %q", got)
		}
		c.Close()
		<-ended
	})
}
