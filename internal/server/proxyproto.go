package server

import (
	"bufio"
	"bytes"
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
		p.awaitLine()
		h, err := proxyproto.Read(p.r)
		_ = p.conn.SetReadDeadline(noDeadline)
		p.addr, p.err = p.conn.RemoteAddr(), err
		if err == nil && h.SourceAddr != nil && h.Command.IsProxy() {
			p.addr = h.SourceAddr
		}
	})
}

// awaitLine waits until a header of version 1 is here whole: the library reads
// it in one piece or not at all.
func (p *proxyHeader) awaitLine() {
	const longest = 107 // bytes
	for n := 1; n <= longest; n = p.r.Buffered() + 1 {
		b, err := p.r.Peek(n)
		if err != nil || b[0] != 'P' || bytes.IndexByte(b, '\n') >= 0 {
			return
		}
	}
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
