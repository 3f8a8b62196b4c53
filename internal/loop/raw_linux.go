//go:build linux && !streamonly

package loop

import (
	"net"
	"syscall"
	"time"
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
	if err := c.loop.poll.add(c); err != nil {
		c.end(false)
		return err
	}
	return nil
}

// servedRaw takes note of edges and does what they allow now.
func (c *Conn) servedRaw(ev uint8) {
	if ev&(evRead|evHup) != 0 {
		c.flags |= flagInput
	}
	if ev&evHup != 0 {
		c.flags |= flagLast
	}
	if c.flags&flagConnecting != 0 {
		if ev&(evWrite|evHup) != 0 {
			c.connected()
		}
		return
	}
	if ev&(evWrite|evHup) != 0 {
		c.writable()
	}
	if c.flags&(flagPaused|flagGone|flagFailing) != 0 {
		return
	}
	if c.flags&flagReplay != 0 {
		c.replayRaw() // the socket's input comes next round, behind it
		return
	}
	if c.flags&(flagInput|flagEOF) == flagInput {
		c.flags &^= flagInput
		c.read()
	}
}

// replayRaw shows what was kept, and has the socket read after that.
func (c *Conn) replayRaw() {
	if c.secure != nil {
		c.flags &^= flagReplay
		c.opened(nil)
	} else {
		c.replay()
	}
	c.readOn(false)
}

// read reads once and shows what came.
//
// Fast path: one system call, no copy unless bytes were kept.
func (c *Conn) read() {
	l := c.loop
	if c.secure != nil {
		c.readSecure()
		return
	}
	have, ok := c.unkeep()
	if !ok {
		return
	}
	room := min(readSize, len(l.in)-have)
	n, err := rawRead(c.fd, l.in[have:have+room])
	switch {
	case err != nil:
		c.fail(err)
	case n > 0:
		c.deliver(l.in[:have+n])
		c.readOn(n == room)
	case n == 0:
		c.keep(l.in[:have])
		c.finished()
	default:
		c.keep(l.in[:have])
	}
}

// unkeep puts kept bytes at the start of the read buffer, and tells how many.
// It is false when no more fits behind them.
func (c *Conn) unkeep() (have int, ok bool) {
	if len(c.kept) == 0 {
		return 0, true
	}
	have = copy(c.loop.in, c.kept)
	c.dropKept()
	if have == len(c.loop.in) {
		c.fail(ErrStuck)
		return 0, false
	}
	return have, true
}

// readOn has a connection read again: next round, or when it is resumed. There
// is more when a read was full, or when the end is known to be near: no edge
// tells of that again.
func (c *Conn) readOn(full bool) {
	if !full && c.flags&(flagLast|flagInput) == 0 || c.flags&(flagEOF|flagGone) != 0 {
		return
	}
	c.flags |= flagInput
	if c.flags&flagPaused == 0 {
		c.loop.later(c)
	}
}

// finished is the peer's FIN.
func (c *Conn) finished() {
	c.flags |= flagEOF
	c.handler.EOF(c)
}

// readSecure reads ciphertext once and shows what it holds.
func (c *Conn) readSecure() {
	l := c.loop
	if l.cipherIn == nil {
		l.cipherIn = make([]byte, readSize)
	}
	room := len(l.in) - len(c.kept) - maxRecord // all that comes must fit when decrypted
	if room <= 0 {
		c.fail(ErrStuck)
		return
	}
	room = min(room, readSize)
	n, err := rawRead(c.fd, l.cipherIn[:room])
	switch {
	case err != nil:
		c.fail(err)
	case n == 0:
		c.finished()
	case n > 0:
		c.opened(l.cipherIn[:n])
		c.readOn(n == room)
	}
}

// opened shows what ciphertext holds, decrypted.
func (c *Conn) opened(cipher []byte) {
	l := c.loop
	have, ok := c.unkeep()
	if !ok {
		return
	}
	n, reply, err := c.secure.read(l, cipher, l.in[have:])
	c.writeRaw(reply)
	if have+n > 0 {
		c.deliver(l.in[:have+n])
	}
	switch {
	case !c.Live(), err == nil:
	case ended(err):
		c.finished()
	default:
		c.fail(err)
	}
}

// writable sends what waits, or has the handler go on.
func (c *Conn) writable() {
	switch {
	case len(c.out) > 0:
		c.flush()
	case c.flags&flagBlocked != 0:
		c.flags &^= flagBlocked
		c.handler.Drained(c)
	}
}

// flush sends what waits.
func (c *Conn) flush() {
	n, err := rawSend(c.fd, c.out[c.outAt:])
	if err != nil {
		c.refused()
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
	c.flags &^= flagBlocked
	if c.flags&flagFin != 0 {
		c.sendFin()
	}
	c.handler.Drained(c)
}

// Tune suits a connection to a stream of messages: no more than unsent bytes
// wait in the system, so that a slow peer is known early, and a peer that
// acknowledges nothing for so long is given up. 0 leaves a setting as it is.
func (c *Conn) Tune(unsent int, giveUp time.Duration) {
	if c.fd < 0 {
		return
	}
	if unsent > 0 { // neither is there on a Unix socket
		_ = unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	}
	if giveUp > 0 {
		_ = unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(giveUp.Milliseconds()))
	}
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
