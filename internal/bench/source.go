package bench

import (
	"encoding/binary"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Source makes a server that sends every client messages at a rate. Each
// begins with its number and the time that it was sent, in nanoseconds since
// 1970, eight bytes big-endian each.
func Source(g *loop.Group, o ServerOptions) *Server {
	o.Size = max(o.Size, 16)
	o.Rate = max(o.Rate, 1)
	s := EchoServer(g, o)
	s.speak = func(c *serverConn, l *loop.Loop) {
		c.next = l.Now()
		l.Arm(&c.timer, c, l.Now()+1)
	}
	return s
}

// Expire sends what is due.
func (c *serverConn) Expire(now time.Duration) time.Duration {
	if !c.conn.Live() || c.closed {
		return 0
	}
	o := &c.server.opt
	each := time.Second / time.Duration(o.Rate)
	c.out = c.out[:0]
	for ; c.next <= now && len(c.out) < 64<<10; c.next += each {
		if c.conn.Full() {
			break // a reader that can't follow sees the numbers stand still, not jump
		}
		c.out = ws.AppendHeader(c.out, ws.Header{Fin: true, Opcode: ws.Binary, Length: uint64(o.Size)})
		at := len(c.out)
		c.out = append(c.out, make([]byte, o.Size)...)
		binary.BigEndian.PutUint64(c.out[at:], c.number)
		binary.BigEndian.PutUint64(c.out[at+8:], uint64(time.Now().UnixNano()))
		c.number++
	}
	c.conn.Write(c.out)
	return max(c.next, now+time.Millisecond)
}
