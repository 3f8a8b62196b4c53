//go:build linux && !streamonly

package loop

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const rawAvailable = true

const (
	batch     = 128 // events a round
	slotWake  = 0
	slotTimer = 1
)

// linger is how long a loop with nothing to do waits with its processor in
// hand, in milliseconds, before it waits as the scheduler wants it.
const linger = 1

// yieldEvery is how often a busy loop lets other threads have its core.
const yieldEvery = 500 * time.Microsecond

// poller waits on epoll, in three steps: it looks, it lingers, it blocks.
// Under load a loop gets no further than lingering, which the Go scheduler does
// not see. Parking the epoll descriptor in the runtime's own poller would save
// the thread, but every event then wakes a second thread to no end: a tenth of
// the cost of a message.
type poller struct {
	epfd, wakefd, timerfd int
	n                     int
	found                 [batch]unix.EpollEvent
	slots                 []slot
	free                  []uint32
	armed                 time.Duration // when the timer descriptor fires, 0 for never
	yielded               time.Duration
}

// slot is where an event finds its connection. gen tells a reused slot from
// the one that an old event means.
type slot struct {
	conn *Conn
	gen  uint32
}

func (p *poller) open() error {
	var err error
	if p.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if p.wakefd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if p.timerfd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	p.slots = make([]slot, 2)
	for s, fd := range []int{slotWake: p.wakefd, slotTimer: p.timerfd} {
		if err = p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, uint32(s)); err != nil {
			return err
		}
	}
	return nil
}

func (p *poller) control(op, fd int, events uint32, s uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(s), Pad: int32(p.slots[s].gen)}
	_, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.epfd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// look collects events; it waits for one for so many milliseconds and keeps
// the processor meanwhile.
func (p *poller) look(wait uintptr) int {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd), uintptr(unsafe.Pointer(&p.found[0])), batch, wait, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// nap waits for an event or the end of a nap that is near; it is false where
// none is.
func (p *poller) nap(l *Loop) bool {
	if len(l.naps) == 0 {
		return false
	}
	wait, _ := l.sleep(time.Since(l.base))
	if wait > linger*time.Millisecond {
		return false
	}
	ts := unix.NsecToTimespec(int64(wait))
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epfd), uintptr(unsafe.Pointer(&p.found[0])), batch, uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch e {
	case 0:
		p.n = int(n)
	case unix.EINTR:
	default: // before Linux 5.11, or where a filter does not know the call
		p.n = p.look(linger)
	}
	return true
}

// block waits for an event and lets others have the processor.
func (p *poller) block() int {
	n, err := unix.EpollWait(p.epfd, p.found[:], -1)
	if err != nil {
		return 0 // a signal: the loop comes round again
	}
	return n
}

// wake ends a wait. Any goroutine may call it.
func (p *poller) wake() {
	one := uint64(1)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(p.wakefd), uintptr(unsafe.Pointer(&one)), 8)
}

// events serves what has happened; with block it waits for something.
func (p *poller) events(l *Loop, block bool) {
	p.n = p.look(0)
	if p.n > 0 && l.now-p.yielded > yieldEvery {
		// A busy loop never waits. Where it shares its core, handshakes get
		// their turn between two rounds and not when a time slice ends.
		p.yielded = l.now
		syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	if p.n == 0 && block && !p.nap(l) {
		p.arm(l)
		if p.n = p.look(linger); p.n == 0 {
			p.n = p.block()
		}
	}
	l.asleep.Store(false)
	l.now = time.Since(l.base)
	for i := range p.found[:p.n] {
		ev := &p.found[i]
		switch ev.Fd {
		case slotWake:
			p.drain(p.wakefd)
		case slotTimer:
			p.drain(p.timerfd)
			p.armed = 0
		default:
			if s := p.slots[ev.Fd]; s.conn != nil && s.gen == uint32(ev.Pad) {
				l.serve(s.conn, kinds(ev.Events))
			}
		}
	}
}

func kinds(events uint32) (ev uint8) {
	if events&unix.EPOLLIN != 0 {
		ev |= evRead
	}
	if events&unix.EPOLLOUT != 0 {
		ev |= evWrite
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) != 0 {
		ev |= evHup
	}
	return ev
}

func (p *poller) drain(fd int) {
	var n uint64
	syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&n)), 8)
}

// arm sets the timer descriptor to when the wheel is due, if that is earlier
// than what it is set to.
func (p *poller) arm(l *Loop) {
	wait, ok := l.sleep(l.now)
	if !ok {
		return
	}
	when := l.now + wait
	if p.armed != 0 && p.armed <= when {
		return
	}
	p.armed = when
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(when-time.Since(l.base), 1)))}
	_ = unix.TimerfdSettime(p.timerfd, 0, &spec, nil)
}

// everything is what a connection is watched for, from its first day to its
// last: edges, so that neither a pause nor output that waits costs a system call,
// and a socket that was emptied is not looked at again.
const everything = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&(1<<32-1)

// add gives c a slot and watches its descriptor.
func (p *poller) add(c *Conn) error {
	if k := len(p.free) - 1; k >= 0 {
		c.slot, p.free = p.free[k], p.free[:k]
	} else {
		c.slot = uint32(len(p.slots))
		p.slots = append(p.slots, slot{})
	}
	p.slots[c.slot].conn = c
	return p.control(unix.EPOLL_CTL_ADD, int(c.fd), everything, c.slot)
}

// remove frees c's slot. The descriptor is off epoll already or about to close.
func (p *poller) remove(c *Conn) {
	s := &p.slots[c.slot]
	s.conn = nil
	s.gen++
	p.free = append(p.free, c.slot)
}

// close closes every connection and the poller's own descriptors.
func (p *poller) close(*Loop) {
	for _, s := range p.slots {
		if s.conn != nil {
			s.conn.Close()
		}
	}
	unix.Close(p.epfd)
	unix.Close(p.wakefd)
	unix.Close(p.timerfd)
}
