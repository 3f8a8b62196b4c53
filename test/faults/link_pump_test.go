package faults_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// pump carries one way of a connection from src to dst. pending was read
// already.
func (p *pass) pump(way int, src, dst *net.TCPConn, pending []byte) {
	defer p.note("%s: over", ways[way])
	passed, room := 0, make([]byte, 32<<10)
	for {
		if p.due(way, passed) && !p.strike(way, passed, src, dst) {
			return
		}
		most := p.wait(way, passed)
		if len(pending) == 0 {
			n, err := src.Read(room)
			if n == 0 {
				p.ended(way, passed, src, dst, err)
				return
			}
			pending = room[:n]
		}
		if p.frozen.Load() {
			p.vanished(src)
			return
		}
		n, err := dst.Write(pending[:min(most, len(pending))])
		passed += n
		pending = pending[n:]
		if err != nil {
			p.refused(way, passed, src, dst, err)
			return
		}
	}
}

func (p *pass) due(way, passed int) bool {
	return p.blow != noBlow && p.way == way && passed >= p.at && !p.struck()
}

// strike has the blow fall. It is true when the way goes on afterwards.
func (p *pass) strike(way, passed int, src, dst *net.TCPConn) bool {
	p.note("%s: %s strikes behind %d bytes", ways[way], p.blow, passed)
	if p.blow == vanish {
		p.frozen.Store(true)
	}
	close(p.fallen)
	switch p.blow {
	case cut:
		_ = src.CloseWrite()
		_ = dst.CloseWrite()
		discard(src)
	case reset:
		p.reset()
	case halfClose:
		_ = dst.CloseWrite()
		discard(src)
	case vanish:
		p.vanished(src)
	case stall:
		p.pause(stalling)
		return true
	}
	return false
}

// wait is the delay that is due, if any, and tells how many bytes may pass
// until the next thing happens.
func (p *pass) wait(way, passed int) (most int) {
	w := &p.ways[way]
	for len(w.waits) > 0 && passed >= w.waits[0].at {
		p.pause(w.waits[0].long)
		w.waits = w.waits[1:]
	}
	if most = w.most; passed < w.bytewise {
		most = 1
	}
	if len(w.waits) > 0 {
		most = min(most, w.waits[0].at-passed)
	}
	if p.blow != noBlow && p.way == way && passed < p.at {
		most = min(most, p.at-passed)
	}
	return most
}

// pause lasts so long, or until the connection is released.
func (p *pass) pause(long time.Duration) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.freed:
	}
}

// vanished keeps a connection open through which nothing passes, until it is
// released or there is nobody to do it.
func (p *pass) vanished(src net.Conn) {
	again := time.NewTicker(stalling)
	defer again.Stop()
	for {
		select {
		case <-p.freed:
			p.reset()
			return
		case <-again.C:
			if p.orphan != nil && p.orphan() {
				p.note("nobody is left to release it")
				p.release()
			}
		}
	}
}

// reset ends both sides so.
func (p *pass) reset() {
	for _, c := range []*net.TCPConn{p.near, p.far} {
		_ = c.SetLinger(0)
		c.Close()
	}
}

// ended passes the end of src on.
func (p *pass) ended(way, passed int, src, dst *net.TCPConn, err error) {
	switch {
	case p.frozen.Load():
		p.vanished(src)
	case err == io.EOF || src == p.proxy:
		p.note("%s: %s behind %d bytes", ways[way], endName(err), passed)
		_ = dst.CloseWrite()
	case errors.Is(err, net.ErrClosed): // by the other pump
	default:
		p.note("%s: %s behind %d bytes", ways[way], endName(err), passed)
		p.reset()
	}
}

// refused is a dst that takes no more.
func (p *pass) refused(way, passed int, src, dst *net.TCPConn, err error) {
	switch {
	case errors.Is(err, net.ErrClosed):
	case dst == p.proxy:
		p.note("%s: the proxy takes no more behind %d bytes", ways[way], passed)
		discard(src) // which the other pump tells of the end, behind the rest
	default:
		p.note("%s: no more is taken behind %d bytes", ways[way], passed)
		p.reset()
	}
}

func endName(err error) string {
	switch {
	case err == io.EOF:
		return "FIN"
	case errors.Is(err, syscall.ECONNRESET):
		return "RST"
	}
	return err.Error()
}

// discard reads to the end, so that closing sends FIN and not RST.
func discard(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
