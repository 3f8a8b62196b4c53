package wire_test

import (
	"net"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A stop tells every client 1001, each at a time of its own, and every instance
// that its client goes.
func TestStop(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Top: "drain: 500ms"})
		var clients, legs []*testkit.Peer
		var gone []chan struct{}
		for range 8 {
			client, leg := b.open(t)
			clients, legs = append(clients, client), append(legs, leg)
		}
		client, leg := b.open(t)
		began := time.Now()
		b.Cancel()
		b.WantLog(t, "the stop begins", "stopping")
		for _, l := range legs {
			gone = append(gone, answerPings(l))
		}
		for _, c := range clients {
			c.WantClose("a client is told that we go", 1001)
			c.Send(testkit.Close(1001, ""))
			c.WantEOF("we hang up")
		}
		leg.WantClose("an instance is told that the client goes", 1001)
		leg.Send(testkit.Text("last"), testkit.Close(1001, ""))
		client.Want("what it still says is passed on", testkit.Text("last"))
		client.WantClose("then the client is told", 1001)
		client.Close()
		leg.Close()
		if took := time.Since(began); took < 50*time.Millisecond {
			t.Errorf("closes are spread over drain: all came within %v", took)
		}
		for _, g := range gone {
			<-g
		}
		b.Stop()
		if c, err := net.DialTimeout("tcp", b.Addr().String(), time.Second); err == nil {
			c.Close()
			t.Errorf("nobody listens any more")
		}
	})
}

// A client whose handshake is under way gets an answer.
func TestStopDuringAHandshake(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg, _ := b.ask(t, good+"\r\n")
		b.Cancel()
		client.WantRefusal("it is told to come again", 503)
		leg.WantEnd("the instance is left")
		client.Close()
		b.Stop()
	})
}

// Clients and instances that do not answer don't hold a stop up, and are
// counted out.
func TestStopWithSilentEnds(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Top: "drain: 100ms", Timeouts: "close: 60s"})
		client, leg := b.open(t)
		b.Stop()
		b.WantLog(t, "the session is accounted for", "session close")
		client.WantClose("the client was told", 1001)
		leg.WantClose("and the instance", 1001)
	})
}
