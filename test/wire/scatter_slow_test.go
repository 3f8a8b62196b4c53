package wire_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// pour writes b again and again until the other end takes no more for a moment, or
// has taken most bytes. It gives what is left of the last b.
func pour(t *testing.T, p *testkit.Peer, most int, next func() []byte) (rest []byte, full bool) {
	t.Helper()
	for sent := 0; sent < most; {
		b := next()
		_ = p.Conn().SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := p.Conn().Write(b)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return b[n:], true
		} else if err != nil {
			t.Fatalf("the other end is gone: %v", err)
		}
	}
	return nil, false
}

// slowBench is a session with home and a leg to an instance that reads nothing yet.
func slowBench(t *testing.T, tr testkit.Transport) (client, home, slow *testkit.Peer) {
	t.Helper()
	one, two := testkit.Listen(t), testkit.Listen(t)
	a := testkit.Start(t, tr, testkit.Scatter{Top: "pools: {p1: {upstreams: \"" + two.URL() + "\", health: {probe: none}}}",
		Upstreams: []string{one.URL()}, Scatter: `send: {by: k, to: {"1": p1}}, buffer: 64KiB`}.String())
	client, home = testkit.Open(t, a, one)
	client.Send(testkit.Text(`{"k":1}`))
	slow = two.Accept(t, "another leg is opened")
	slow.SendString(testkit.Answer(slow.Head("and asked")))
	slow.Want("it gets what it is for", testkit.Text(`{"k":1}`))
	return client, home, slow
}

// An instance that does not read delays its own messages alone, up to a bound; then
// the client is not read, and no byte is lost of what it sends.
func TestScatterSlowInstance(t *testing.T) {
	pad := strings.Repeat("x", 100_000)
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		client, home, slow := slowBench(t, tr)
		sent := 0
		big := func(n int) testkit.Frame { return testkit.Text(fmt.Sprintf(`{"k":1,"n":%d,"pad":"%s"}`, n, pad)) }
		rest, full := pour(t, client, 256<<20, func() []byte {
			sent++
			return client.Bytes(keyed(sent, 0), big(sent))
		})
		if !full {
			t.Fatal("what an instance does not read wants to be bounded, and 256 MiB were taken")
		}
		for n := 1; n < 5; n++ {
			home.Want("others get their messages meanwhile", keyed(n, 0))
		}
		home.Send(testkit.Text("down"))
		client.Want("and can speak", testkit.Text("down"))
		done := make(chan error)
		go func() { done <- client.TrySend(rest) }()
		for n := 1; n <= sent; n++ {
			slow.Want("when it reads, all come in order", big(n))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		for n := 5; n <= sent; n++ {
			home.Want("at the other, too", keyed(n, 0))
		}
	})
}

// A client that does not read has what it is told bounded, too: by instances, and
// by us.
func TestScatterSlowClient(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		client, home, slow := slowBench(t, tr)
		for _, leg := range []*testkit.Peer{home, slow} {
			if _, full := pour(t, leg, 256<<20, func() []byte { return leg.Bytes(testkit.Text(strings.Repeat("x", 100_000))) }); !full {
				t.Fatal("what a client does not read wants to be bounded, and 256 MiB were taken")
			}
		}
		client.Send(testkit.Text("up"))
		home.Want("it can speak meanwhile", testkit.Text("up"))

		f, a := scattering(t, tr, 1, testkit.Scatter{Scatter: "send: {hash: k}, on_invalid: error"})
		client, _ = f.Enter(t, a)
		wrong := client.Bytes(testkit.Text("x"))
		for range 12 {
			wrong = append(wrong, wrong...)
		}
		if _, full := pour(t, client, 64<<20, func() []byte { return wrong }); !full {
			t.Fatal("who has its messages answered and does not read that wants not to be read, and 64 MiB were taken")
		}
	})
}

// A leg whose instance does not take what waits for it is lost.
func TestScatterStuckInstance(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		one, two := testkit.Listen(t), testkit.Listen(t)
		a := testkit.Start(t, tr, testkit.Scatter{Top: "pools: {p1: {upstreams: \"" + two.URL() + "\", health: {probe: none}}}",
			Timeouts: "write: 200ms", Upstreams: []string{one.URL()}, Scatter: `send: {by: k, to: {"1": p1}}, gather: {id: id, timeout: 0s}`}.String())
		client, home := testkit.Open(t, a, one)
		client.Send(keyed(1, 1))
		slow := two.Accept(t, "another leg is opened")
		slow.SendString(testkit.Answer(slow.Head("and asked")))
		pushed := push(client, testkit.Text(`{"k":1,"pad":"`+strings.Repeat("x", 100_000)+`"}`))
		a.WantLog(t, "it is cut off", "instance lost", "the instance does not read")
		slow.WantReset("with a reset")
		client.Want("what it owes is told", testkit.Text(`{"id":1,"error":"the instance does not read"}`))
		home.Send(testkit.Text("still here"))
		client.Want("others go on", testkit.Text("still here"))
		client.Close()
		<-pushed
	})
}
