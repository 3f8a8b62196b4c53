//go:build linux && !streamonly

package loop

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeRaw duplicates the descriptor of a plain TCP or Unix connection. ok is
// false for any other net.Conn, which a byte may be hidden in.
func takeRaw(conn net.Conn) (fd int, ok bool, err error) {
	var sc syscall.RawConn
	switch c := conn.(type) {
	case *net.TCPConn:
		sc, err = c.SyscallConn()
	case *net.UnixConn:
		sc, err = c.SyscallConn()
	default:
		return -1, false, nil
	}
	if err != nil {
		return -1, false, err
	}
	cerr := sc.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if cerr != nil {
		return -1, false, cerr
	}
	return fd, err == nil, err
}

func (c *Conn) attachRaw(fd int) error {
	c.fd = int32(fd)
	c.interest = evRead
	if err := c.loop.poll.add(c, unix.EPOLLIN); err != nil {
		c.end(false)
		return err
	}
	return nil
}

// watch brings what the poller watches in line with what the connection wants.
func (c *Conn) watch() {
	if c.stream != nil || c.flags&(flagGone|flagHup) != 0 || c.fd < 0 {
		return
	}
	var want uint8
	var events uint32
	if c.flags&(flagPaused|flagEOF|flagConnecting) == 0 {
		want, events = evRead, unix.EPOLLIN
	}
	if len(c.out) > 0 || c.flags&flagConnecting != 0 {
		want, events = want|evWrite, events|unix.EPOLLOUT
	}
	if want != c.interest {
		c.interest = want
		if err := c.loop.poll.control(unix.EPOLL_CTL_MOD, int(c.fd), events, c.slot); err != nil {
			c.failLater(err)
		}
	}
}

func (c *Conn) servedRaw(ev uint8) {
	if c.flags&flagConnecting != 0 {
		c.connected()
		return
	}
	if ev&(evWrite|evHup) != 0 && len(c.out) > 0 {
		c.flush()
	}
	if c.flags&flagReplay != 0 && c.Live() {
		c.replay() // the socket's input comes next round, behind it
		if c.flags&flagHup != 0 && c.Live() {
			c.loop.later(c)
		}
		return
	}
	if !c.Live() || c.err != nil {
		return
	}
	readable := ev&(evRead|evHup) != 0 || c.flags&flagHup != 0
	switch {
	case readable && c.flags&(flagPaused|flagEOF) == 0:
		c.read()
	case ev&evHup != 0:
		c.hangUp()
	}
}

// hangUp takes a connection that was reset, or closed both ways, off the
// poller, which would tell of it for ever. The rest is read on Resume.
func (c *Conn) hangUp() {
	if c.flags&flagHup == 0 {
		c.flags |= flagHup
		c.interest = 0
		_ = c.loop.poll.control(unix.EPOLL_CTL_DEL, int(c.fd), 0, c.slot)
	}
}

// read reads once and shows what came.
//
// Fast path: one system call, no copy unless bytes were kept.
func (c *Conn) read() {
	l := c.loop
	have := 0
	if len(c.kept) > 0 {
		have = copy(l.in, c.kept)
		c.dropKept()
		if have == len(l.in) {
			c.fail(ErrStuck)
			return
		}
	}
	n, err := rawRead(c.fd, l.in[have:min(have+readSize, len(l.in))])
	switch {
	case err != nil:
		c.fail(err)
	case n > 0:
		c.deliver(l.in[:have+n])
		if c.flags&(flagHup|flagPaused|flagGone) == flagHup {
			l.later(c) // off the poller: read on until the end
		}
	case n == 0:
		c.flags |= flagEOF
		if have > 0 {
			c.kept = append(l.lent.get(have), l.in[:have]...)
		}
		c.handler.EOF(c)
		c.watch()
	case have > 0:
		c.kept = append(l.lent.get(have), l.in[:have]...)
	}
}

// flush sends what waits.
func (c *Conn) flush() {
	n, err := rawSend(c.fd, c.out[c.outAt:])
	if err != nil {
		c.fail(err)
		return
	}
	if n > 0 {
		c.outAt += int32(n)
		c.outSince = c.loop.now
	}
	if int(c.outAt) < len(c.out) {
		return
	}
	c.loop.lent.put(c.out)
	c.out, c.outAt = nil, 0
	c.watch()
	if c.flags&flagFin != 0 {
		c.sendFin()
	}
	c.handler.Drained(c)
}

func (c *Conn) closeRaw(reset bool) {
	if c.fd < 0 {
		return
	}
	if reset {
		_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.loop.poll.remove(c)
	rawClose(int(c.fd))
	c.fd = -1
}

// rawRead reads once: n < 0 when nothing is there.
func rawRead(fd int32, p []byte) (n int, err error) {
	for {
		r, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		switch e {
		case 0:
			return int(r), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return -1, nil
		default:
			return 0, e
		}
	}
}

// rawSend sends what the socket takes: n may be 0.
func rawSend(fd int32, p []byte) (n int, err error) {
	for {
		r, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(r), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, e
		}
	}
}

func rawShutdown(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

func rawClose(fd int) { _ = unix.Close(fd) }
