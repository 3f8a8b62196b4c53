package fanout

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// BenchmarkReaders reads one log by as many loops as -cpu says, a message at a
// time, as deliveries do: what a delivery costs beside its system call, and that
// loops share nothing that either writes. With -cpu 1,2 the second is half.
func BenchmarkReaders(b *testing.B) {
	g := newLog(0, limits{messages: 1 << 20, bytes: 1 << 30}, 1<<30, false)
	frame := ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Binary}, make([]byte, 200))
	for range 10_000 {
		g.append(0, 0, nil, frame)
	}
	b.RunParallel(func(pb *testing.PB) {
		c := g.start()
		for pb.Next() {
			p, n := c.chunk()
			if p == nil {
				c = g.start()
				continue
			}
			c.advance(len(frame), len(p), n)
		}
	})
}
