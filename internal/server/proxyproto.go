package server

import (
	"bufio"
	"net"
	"net/netip"
	"sync"

	"github.com/pires/go-proxyproto"
)

// proxyPeers are the peers whose connections begin with a PROXY header.
type proxyPeers struct{ trusted []netip.Prefix }

func (p *proxyPeers) trusts(a net.Addr) bool {
	addr := addrOf(a)
	if !addr.IsValid() { // a Unix socket: this machine
		return true
	}
	return within(p.trusted, addr)
}

// proxyHeader reads the PROXY header in front of a connection's bytes, once,
// when somebody first asks.
type proxyHeader struct {
	conn net.Conn
	r    *bufio.Reader
	once sync.Once
	addr net.Addr
	err  error
}

func newProxyHeader(c net.Conn) *proxyHeader {
	return &proxyHeader{conn: c, r: bufio.NewReaderSize(c, 512)}
}

// parse reads the header. A peer that is said to send one must; net/http has
// set no deadline yet when it first asks for the address.
func (p *proxyHeader) parse() {
	p.once.Do(func() {
		_ = p.conn.SetReadDeadline(deadline(headTimeout))
		h, err := proxyproto.Read(p.r)
		_ = p.conn.SetReadDeadline(noDeadline)
		p.addr, p.err = p.conn.RemoteAddr(), err
		if err == nil && h.SourceAddr != nil && h.Command.IsProxy() {
			p.addr = h.SourceAddr
		}
	})
}

func (p *proxyHeader) source() net.Addr {
	p.parse()
	return p.addr
}

func (p *proxyHeader) read(b []byte) (int, error) {
	if p.parse(); p.err != nil {
		return 0, p.err
	}
	return p.r.Read(b)
}

// unread gives what lies between the header's reader and its user.
func (p *proxyHeader) unread() []byte {
	b, _ := p.r.Peek(p.r.Buffered())
	return append([]byte(nil), b...)
}
