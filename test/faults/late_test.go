package faults_test

import (
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Behind much that it has to read a peer answers a ping when many more have been
// sent. It is still ours, and the other end does not see it.
func TestLatePongs(t *testing.T) {
	fault(t, testkit.Config{Timeouts: "ping: 10ms, pong: 5s, close: 200ms"}, func(t *testing.T, b *bench) {
		p, leg := testkit.Open(t, b.App, b.in)
		var pings []testkit.Frame
		for len(pings) < 20 { // it is alive, so that it is asked again
			f := leg.Frame("a ping")
			if f.Op != ws.Ping {
				t.Fatalf("the instance wants pings, got %v", f)
			}
			pings = append(pings, f)
			leg.Send(testkit.Text(fmt.Sprint(len(pings))))
		}
		for _, f := range pings {
			leg.Send(testkit.Pong(f.Payload))
		}
		leg.Send(testkit.Text("all answered"))
		for n := 1; ; {
			f := p.Frame("messages")
			switch {
			case f.Op == ws.Ping:
				p.Send(testkit.Pong(f.Payload))
			case f == testkit.Text(fmt.Sprint(n)):
				n++
			case f == testkit.Text("all answered"):
				p.Reset()
				leg.WantGone("the leg goes with its client")
				leg.Close()
				return
			default:
				t.Fatalf("the client wants message %d, got %v", n, f)
			}
		}
	})
}
