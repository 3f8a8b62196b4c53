//go:build !linux || streamonly

package loop

import (
	"errors"
	"net"
	"syscall"
	"time"
)

const rawAvailable = false

var errNoRaw = errors.New("no raw transport on this system")

// poller waits on a channel and a timer: all connections are streams.
type poller struct {
	woken chan struct{}
	timer *time.Timer
}

func (p *poller) open() error {
	p.woken = make(chan struct{}, 1)
	p.timer = time.NewTimer(time.Hour)
	return nil
}

// wake ends a wait. Any goroutine may call it.
func (p *poller) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// events waits, with block, for a post or the wheel.
func (p *poller) events(l *Loop, block bool) {
	if block {
		var due <-chan time.Time
		if wait, ok := l.sleep(time.Since(l.base)); ok {
			p.timer.Reset(wait)
			due = p.timer.C
		}
		select {
		case <-p.woken:
		case <-due:
		}
	}
	l.asleep.Store(false)
}

func (p *poller) close(*Loop) { p.timer.Stop() }

func takeRaw(net.Conn) (int, bool, error) { return -1, false, nil }

func (c *Conn) attachRaw(int) error { return errNoRaw }

func (c *Conn) dialRaw(*Dial) { c.failLater(errNoRaw) }

func (c *Conn) servedRaw(uint8) {}

// Tune does nothing: what it sets is there on the raw transport alone.
func (c *Conn) Tune(int, time.Duration) {}

func (c *Conn) closeRaw(bool) {}

func rawSend(int32, []byte) (int, error) { return 0, errNoRaw }

func rawShutdown(int32) {}

func rawClose(int) {}

func bindLate(_, _ string, _ syscall.RawConn) error { return nil }
