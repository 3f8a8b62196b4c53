package hostile_test

import (
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// troupe is a Sluice that scatters over instances that play, and a session that
// behaves.
type troupe struct {
	*testkit.App
	client *testkit.Peer // of the session that behaves
	said   int
}

// play is what an instance does about a frame. The legs of one instance play at
// the same time.
type play func(at int, leg *testkit.Peer, f testkit.Frame)

// echo says what it hears.
func echo(_ int, leg *testkit.Peer, f testkit.Frame) {
	if f.Op == ws.Text || f.Op == ws.Binary {
		_ = leg.TrySend(leg.Bytes(f))
	}
}

// perform begins a troupe of n instances. Those of the session that behaves do
// what p has them do, too.
func perform(t *testing.T, tr testkit.Transport, n int, c testkit.Scatter, p play) *troupe {
	t.Helper()
	s := rehearse(t, tr, n, c, p)
	s.client = s.enter(t)
	s.wantBeside(t)
	return s
}

// rehearse begins a troupe without a session.
func rehearse(t *testing.T, tr testkit.Transport, n int, c testkit.Scatter, p play) *troupe {
	t.Helper()
	for at := range n {
		in := testkit.Listen(t)
		c.Upstreams = append(c.Upstreams, in.URL())
		go admit(t, in, at, p)
	}
	return &troupe{App: testkit.Start(t, tr, c.String())}
}

// admit takes legs until the instance is closed.
func admit(t *testing.T, in *testkit.Instance, at int, p play) {
	for {
		leg, err := in.Next(t)
		if err != nil {
			return
		}
		go act(leg, at, p)
	}
}

func act(leg *testkit.Peer, at int, p play) {
	defer leg.Close()
	head, err := leg.NextHead()
	if err == nil {
		err = leg.TrySend([]byte(testkit.Answer(head)))
	}
	for err == nil {
		var f testkit.Frame
		if f, err = leg.Next(); err == nil {
			p(at, leg, f)
		}
	}
}

// enter opens a session.
func (s *troupe) enter(t *testing.T, extra ...string) *testkit.Peer {
	t.Helper()
	client := s.Dial(t)
	client.SendString(testkit.Upgrade("/", extra...))
	client.WantUpgraded("the client is let in")
	return client
}

// wantBeside has the session that behaves ask about a thing, many times at once,
// and wants its answers in order.
func (s *troupe) wantBeside(t *testing.T) {
	t.Helper()
	var asked []testkit.Frame
	s.said++
	for k := range 20 {
		asked = append(asked, testkit.Text(fmt.Sprintf(`{"id":%d,"key":"beside %d"}`, k, s.said)))
	}
	s.client.Send(asked...)
	s.client.Want("the session beside it gets its answers in order", asked...)
}

// everyTransport runs f over each, one after the other: memory is measured. With the
// race detector that is the first: the portable build has the other.
func everyTransport(t *testing.T, f func(t *testing.T, tr testkit.Transport)) {
	for k, tr := range transports {
		if raced && k > 0 {
			break
		}
		t.Run(string(tr), func(t *testing.T) { f(t, tr) })
	}
}
