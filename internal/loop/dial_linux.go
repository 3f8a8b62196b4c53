//go:build linux && !streamonly

package loop

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// dialRaw begins a connection without blocking. On loopback it often stands
// when connect returns, so the first bytes are tried at once.
func (c *Conn) dialRaw(d *Dial) {
	fd, err := d.socket()
	if err != nil {
		c.failLater(err)
		return
	}
	c.fd = int32(fd)
	err = connectRaw(fd, d)
	if err != nil && err != unix.EINPROGRESS {
		c.failDial(err)
		return
	}
	n, err := 0, error(nil)
	if len(c.out) > 0 {
		if n, err = rawSend(c.fd, c.out); err != nil && err != unix.ENOTCONN {
			c.failDial(err)
			return
		}
	}
	c.outAt = int32(n)
	if n == len(c.out) && n > 0 {
		c.flags &^= flagConnecting
		c.loop.lent.put(c.out)
		c.out, c.outAt = nil, 0
	}
	if err := c.loop.poll.add(c); err != nil {
		c.failLater(err)
	}
}

// failDial gives the descriptor up, which no poller watches yet.
func (c *Conn) failDial(err error) {
	rawClose(int(c.fd))
	c.fd = -1
	c.failLater(err)
}

// connected is called when the poller has something to say of a dial.
func (c *Conn) connected() {
	e, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		err = syscall.Errno(e)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.flags &^= flagConnecting
	if len(c.out) > 0 {
		c.flush()
	}
}

// socket makes the non-blocking socket of a dial, bound to its source address.
func (d *Dial) socket() (int, error) {
	family := unix.AF_UNIX
	switch {
	case d.Unix != "":
	case d.Addr.Addr().Unmap().Is4():
		family = unix.AF_INET
	default:
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if family != unix.AF_UNIX {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if d.Local.IsValid() && family != unix.AF_UNIX {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		local := Dial{Addr: netip.AddrPortFrom(d.Local, 0)}
		if err := unix.Bind(fd, local.sockaddr()); err != nil {
			rawClose(fd)
			return -1, err
		}
	}
	return fd, nil
}

func connectRaw(fd int, d *Dial) error { return unix.Connect(fd, d.sockaddr()) }

func (d *Dial) sockaddr() unix.Sockaddr {
	if d.Unix != "" {
		return &unix.SockaddrUnix{Name: d.Unix}
	}
	a := d.Addr.Addr().Unmap()
	if a.Is4() {
		return &unix.SockaddrInet4{Port: int(d.Addr.Port()), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(d.Addr.Port()), Addr: a.As16(), ZoneId: zoneID(a.Zone())}
}

func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

// bindLate leaves the choice of a source port to connect, which may then use
// one again that is in use towards another address.
func bindLate(_, _ string, rc syscall.RawConn) error {
	return rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
}
