package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/loop"
)

const headTimeout = 10 * time.Second // for a request's head, and a TLS handshake

var noDeadline time.Time

func deadline(d time.Duration) time.Time { return time.Now().Add(d) }

// Listen opens an address of the configuration: host:port, or unix:PATH. A
// socket file that nobody listens on is replaced.
func Listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // our pings find the dead
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return lc.Listen(context.Background(), "tcp", address)
	}
	l, err := lc.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		return lc.Listen(context.Background(), "unix", path)
	}
	return l, err
}

// abandoned tells whether path is a socket that nobody listens on.
func abandoned(path string) bool {
	if fi, err := os.Stat(path); err != nil || fi.Mode()&fs.ModeSocket == 0 {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Serve takes connections from l until Shutdown. It answers nil then.
func (s *Server) Serve(l net.Listener, cfg *config.Listener, certs *Certificates) error {
	g := &gated{Listener: l, server: s}
	if cfg.ProxyProtocol != nil {
		g.proxy = &proxyPeers{cfg.ProxyProtocol.Trusted}
	}
	var in net.Listener
	if certs != nil {
		in = &secured{g, &tls.Config{
			GetCertificate: certs.Get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			DynamicRecordSizingDisabled: true, // messages are written whole
		}}
	} else {
		f := newFront(g)
		defer f.wg.Wait()
		in = f
	}
	err := s.http.Serve(in)
	in.Close()
	if s.closing.Load() {
		return nil
	}
	return err
}

// secured is a listener that speaks TLS, in a way that a loop can go on with.
type secured struct {
	net.Listener
	cfg *tls.Config
}

// Accept gives a *tls.Conn; its handshake is still to come.
func (l *secured) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(&loop.Link{Conn: c}, l.cfg), nil
}

// addrOf gives the IP address in a; the zero Addr for a Unix socket.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
