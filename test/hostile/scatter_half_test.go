package hostile_test

import (
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A client that asks more than may be outstanding and ends its side at once gets
// all of its answers.
func TestAsksAndEnds(t *testing.T) {
	const asked = 3000
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		s := perform(t, tr, 2, testkit.Scatter{Timeouts: "close: 10s", Scatter: `send: {hash: key}, gather: {id: id}`}, echo)
		client := s.enter(t)
		var all []testkit.Frame
		for id := range asked {
			all = append(all, testkit.Text(fmt.Sprintf(`{"id":%d,"key":"k"}`, id)))
		}
		client.Send(all...)
		client.CloseWrite()
		client.Want("every answer comes, in order", all...)
		client.WantClose("then the end", 1000)
	})
}

// An instance that answers much and ends has said all of it, though its client
// reads late.
func TestAnswersAndEnds(t *testing.T) {
	const asked = 200
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		waits := 0
		ends := func(at int, leg *testkit.Peer, f testkit.Frame) {
			if number(f) < 1000 {
				echo(at, leg, f)
				return
			}
			if waits++; waits < asked {
				return
			}
			var b []byte
			for id := range asked {
				b = append(b, leg.Bytes(testkit.Text(fmt.Sprintf(`{"id":%d,"much":"%0100000d"}`, 1000+id, 0)))...)
			}
			_ = leg.TrySend(b)
			leg.Close()
		}
		s := perform(t, tr, 1, testkit.Scatter{Scatter: `send: {hash: key}, gather: {id: id, timeout: 0s}`}, ends)
		client := s.enter(t)
		for id := range asked {
			client.Send(testkit.Text(fmt.Sprintf(`{"id":%d}`, 1000+id)))
		}
		s.wantBeside(t)
		for id := range asked {
			want := testkit.Text(fmt.Sprintf(`{"id":%d,"much":"%0100000d"}`, 1000+id, 0))
			client.Want("every answer comes, in order", want)
		}
	})
}

// A client that ends its side when all was answered gets what it has not read yet.
func TestEndsBeforeItReads(t *testing.T) {
	const asked = 100
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		answered := make(chan struct{}, 1)
		counts := 0
		much := func(at int, leg *testkit.Peer, f testkit.Frame) {
			echo(at, leg, f)
			if counts++; counts == asked {
				_ = leg.TrySend(leg.Bytes(testkit.Ping("")))
			}
			if f.Op == ws.Pong {
				answered <- struct{}{} // all before it was read
			}
		}
		s := rehearse(t, tr, 1, testkit.Scatter{Timeouts: "close: 10s", Scatter: `send: {hash: key}, gather: {id: id, timeout: 0s}`}, much)
		client := s.enter(t)
		var all []testkit.Frame
		for id := range asked {
			all = append(all, testkit.Text(fmt.Sprintf(`{"id":%d,"much":"%010000d"}`, id, 0)))
		}
		client.Send(all...)
		<-answered
		client.CloseWrite()
		client.Want("every answer comes, in order", all...)
		client.WantGone("then the end")
	})
}
