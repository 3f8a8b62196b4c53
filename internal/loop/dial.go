package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Dial says where to connect to and how. It is read-only once in use.
type Dial struct {
	Addr  netip.AddrPort // or
	Unix  string         // a socket's path
	Local netip.Addr     // the source address; the zero Addr leaves it to the system
	TLS   *tls.Config    // not nil: speak TLS
}

// Dial connects c. first is sent as soon as the connection stands. The handler
// hears of the first answer through Data, or of the end through Failed.
func (l *Loop) Dial(c *Conn, h Handler, d *Dial, first []byte) {
	l.begin(c, h)
	c.flags |= flagConnecting
	c.out = append(l.lent.get(len(first)), first...)
	c.outSince = l.now
	if l.group.stream || d.TLS != nil {
		dialStream(c, d)
		return
	}
	c.dialRaw(d)
}

func (d *Dial) target() (network, address string) {
	if d.Unix != "" {
		return "unix", d.Unix
	}
	return "tcp", d.Addr.String()
}

// connect dials with the net package, and blocks.
func (d *Dial) connect(ctx context.Context) (net.Conn, error) {
	nd := net.Dialer{KeepAlive: -1, Control: bindLate}
	if d.Local.IsValid() {
		nd.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.Local, 0))
	}
	network, address := d.target()
	conn, err := nd.DialContext(ctx, network, address)
	if err != nil || d.TLS == nil {
		return conn, err
	}
	tc := tls.Client(&Link{Conn: conn}, d.TLS)
	if err := tc.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return tc, nil
}

// ErrTLS marks a dial that failed in the TLS handshake.
var ErrTLS = errors.New("tls handshake")
