package wire_test

import (
	"slices"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// drained has the first instance of a pair drained.
func (p *pair) drain(t *testing.T) {
	t.Helper()
	if n, err := p.Drain(p.a.URL()); n != 1 || err != nil {
		t.Fatalf("draining it tells of %d sessions, %v", n, err)
	}
}

// A session leaves an instance that is drained: another stands first, the old
// one finishes, and the client sees nothing.
func TestAKeptSessionMoves(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Balance: "move: {quiet: 10ms}"})
		client, old := p.open(t)
		client.Send(testkit.Text("one"))
		old.Want("it serves", testkit.Text("one"))
		p.drain(t)
		pong := barrier(t, old)
		leg, head := p.next(t)
		if head.Get("Sluice-Resume") != "1" {
			t.Errorf("the other instance is told that it resumes: got %q", head.Raw)
		}
		client.Send(testkit.Text("two"))
		old.Want("the old one serves until it has answered", testkit.Text("two"))
		old.Send(testkit.Text("eins"), testkit.Text("zwei"))
		client.Want("its answers come", testkit.Text("eins"), testkit.Text("zwei"))
		old.Send(pong)
		old.Send(barrier(t, old), testkit.Text("drei"))
		client.Want("behind which it may still speak", testkit.Text("drei"))
		old.Want("then it is told", testkit.Close(1001, ""))
		old.Send(testkit.Text("vier"), testkit.Close(1001, ""))
		client.Want("its last words come", testkit.Text("vier"))
		client.Send(testkit.Text("three"))
		leg.Want("and the other one serves", testkit.Text("three"))
		leg.Send(testkit.Text("fünf"))
		client.Want("for good", testkit.Text("fünf"))
		old.WantGone("the old one is let go")
	})
}

// One whose instance never speaks last moves at the deadline; what it has sent
// is proven read first.
func TestAMoveThatIsForced(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Balance: "move: {quiet: 20ms, deadline: 300ms}"})
		client, old := p.open(t)
		client.Send(testkit.Text("a reading"))
		old.Want("it is sent", testkit.Text("a reading"))
		pong := barrier(t, old)
		p.drain(t)
		leg, _ := p.next(t)
		old.Send(pong)
		old.Want("it has read all, and is told", testkit.Close(1001, ""))
		old.Close()
		client.Send(testkit.Text("another"))
		leg.Want("the other one goes on", testkit.Text("another"))
	})
}

// The move of a session whose instance is taken back is called off, however far it
// is: nothing is forced, and nothing is closed.
func TestAMoveThatIsCalledOff(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Balance: "move: {quiet: 1s, deadline: 2s}"})
		client, old := p.open(t)
		client.Send(testkit.Text("a reading"))
		old.Want("it is sent", testkit.Text("a reading"))
		pong := barrier(t, old)
		p.drain(t)
		leg, _ := p.next(t)
		if _, err := p.Undrain(p.a.URL()); err != nil {
			t.Fatal(err)
		}
		leg.WantClose("the other one is let go", 1001)
		old.Send(pong, testkit.Text("noted"))
		client.Want("the old one serves", testkit.Text("noted"))
		client.Send(testkit.Text("another"))
		old.Want("as before", testkit.Text("another"))
	})
}

// A session that is made known by its opening is so before it moves; what the
// other instance says meanwhile the old one says, too.
func TestAMoveReplays(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: replay, replay: {first: 1, swallow: 1}", testkit.Config{Balance: "greeting: 1, move: {quiet: 10ms}"})
		client, old := p.open(t)
		old.Send(testkit.Text("welcome"))
		client.Want("the greeting", testkit.Text("welcome"))
		client.Send(testkit.Text("subscribe"))
		old.Want("the opening", testkit.Text("subscribe"))
		old.Send(testkit.Text("subscribed"))
		client.Want("its answer", testkit.Text("subscribed"))
		p.drain(t)
		leg, _ := p.next(t)
		leg.Send(testkit.Text("welcome"))
		leg.Want("the opening again", testkit.Text("subscribe"))
		leg.Send(testkit.Ping("there?"), testkit.Text("subscribed"))
		leg.Want("pings are answered for the client", testkit.Pong("there?"))
		old.Want("then the old one is told", testkit.Close(1001, ""))
		old.Send(testkit.Close(1001, ""))
		leg.Send(testkit.Text("tick"))
		client.Want("and the client sees none of it", testkit.Text("tick"))
	})
}

// An opening that goes on while another leg stands, which was sent its beginning,
// is sent to that too, when it serves.
func TestAMoveWithinTheOpening(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: replay, replay: {first: 2, swallow: 2}", testkit.Config{Balance: "move: {quiet: 300ms}"})
		client, old := p.open(t)
		client.Send(testkit.Text("login"))
		old.Want("the opening begins", testkit.Text("login"))
		old.Send(testkit.Text("hello"))
		client.Want("it is answered", testkit.Text("hello"))
		p.drain(t)
		leg, _ := p.next(t)
		leg.Want("the opening so far", testkit.Text("login"))
		leg.Send(testkit.Text("hello"))
		client.Send(testkit.Text("join"))
		old.Want("it goes on", testkit.Text("join"))
		old.Send(testkit.Text("joined"))
		client.Want("and is answered", testkit.Text("joined"))
		old.Want("then the old one is told", testkit.Close(1001, ""))
		old.Close()
		leg.Want("and the other one knows the rest", testkit.Text("join"))
		leg.Send(testkit.Text("joined"), testkit.Text("news"))
		client.Want("whose answer the client has", testkit.Text("news"))
	})
}

// A leg that is lost before it has answered the opening is not replaced by one
// whose answer nobody has seen.
func TestALegLostWhileMovingWithinTheOpening(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: replay, replay: {first: 1, swallow: 1}", testkit.Config{Balance: "move: {quiet: 300ms}"})
		client, old := p.open(t)
		client.Send(testkit.Text("login"))
		old.Want("the opening", testkit.Text("login"))
		p.drain(t)
		leg, _ := p.next(t)
		leg.Want("the opening again", testkit.Text("login"))
		leg.Send(testkit.Text("hello"), testkit.Ping("p"))
		leg.Want("which it has answered", testkit.Pong("p"))
		old.Reset()
		leg.WantGone("it is let go")
		leg, _ = p.next(t)
		leg.Want("the opening once more", testkit.Text("login"))
		leg.Send(testkit.Text("hello"))
		client.Want("the client gets the answer", testkit.Text("hello"))
	})
}

// A leg that stands at an instance which goes, too, is let go; the session stays
// where it may.
func TestAMoveToOneThatIsDrained(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Balance: "move: {quiet: 10ms}"})
		client, old := p.open(t)
		client.Send(testkit.Text("one"))
		old.Want("it serves", testkit.Text("one"))
		p.drain(t)
		pong := barrier(t, old)
		leg, _ := p.next(t)
		if _, err := p.Undrain(p.a.URL()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Drain(p.b.URL()); err != nil {
			t.Fatal(err)
		}
		leg.WantGone("the other leg is let go")
		old.Send(pong, testkit.Text("eins"))
		client.Want("the old one serves", testkit.Text("eins"))
		client.Send(testkit.Text("two"))
		old.Want("and goes on", testkit.Text("two"))
		p.b.WantUnvisited(t, "nobody else is asked")
	})
}

// Sessions leave an instance that the file has no more.
func TestAKeptSessionLeavesWhatIsRemoved(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		rules := testkit.Config{Balance: "policy: round_robin, move: {quiet: 10ms}"}
		p := keeping(t, tr, "state: none", testkit.Config{Balance: "move: {quiet: 10ms}"})
		client, old := p.open(t)
		old.Send(testkit.Text("hello"))
		client.Want("it is served", testkit.Text("hello"))
		rules.Upstreams, rules.Failover = []string{p.b.URL()}, "client: keep, spread: 0s, state: none"
		p.Reload(t, rules.String())
		leg, _ := p.next(t)
		old.Want("it leaves", testkit.Close(1001, ""))
		old.Send(testkit.Close(1001, ""))
		client.Send(testkit.Text("one"))
		leg.Want("and is served elsewhere", testkit.Text("one"))
	})
}

// Where no other instance takes the session it stays where it is.
func TestAMoveThatNobodyTakes(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Balance: "move: {quiet: 10ms}"})
		client, old := p.open(t)
		p.drain(t)
		for range 2 {
			leg := p.b.Accept(t, "the other instance is asked, again and again")
			leg.Head("for the session")
			leg.SendString("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			client.Send(testkit.Ping("p"))
			old.Want("meanwhile the old one serves", testkit.Ping("p"))
		}
	})
}

// A leg that is lost while another stands is replaced by that.
func TestALegLostWhileMoving(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none, unproven: resend", testkit.Config{Balance: "move: {quiet: 10ms}"})
		client, old := p.open(t)
		client.Send(testkit.Text("one"))
		old.Want("it is sent", testkit.Text("one"))
		p.drain(t)
		leg, _ := p.next(t)
		old.Reset()
		leg.Want("what is not proven is sent again", testkit.Text("one"))
		leg.Send(barrier(t, leg), testkit.Text("eins"))
		client.Want("and answered", testkit.Text("eins"))
		p.b.WantUnvisited(t, "nobody else is asked")
	})
}

// Sessions move to an instance that comes back until shares are even, and then
// no more.
func TestRebalance(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Top: adminOn, Balance: "move: {quiet: 10ms, rate: 0, rebalance: true}"})
		if _, err := p.Drain(p.b.URL()); err != nil {
			t.Fatal(err)
		}
		const sessions = 6
		var clients, legs []*testkit.Peer
		for range sessions {
			client, leg := p.open(t)
			clients, legs = append(clients, client), append(legs, leg)
		}
		if _, err := p.Undrain(p.b.URL()); err != nil {
			t.Fatal(err)
		}
		var moved []*testkit.Peer
		for range sessions / 2 {
			leg, _ := p.next(t)
			moved = append(moved, leg)
		}
		left := make(chan struct{}, sessions)
		for _, leg := range legs {
			go play(leg, "stayed", left)
		}
		for _, leg := range moved {
			go play(leg, "moved", left)
		}
		for range moved {
			<-left
		}
		there := 0
		for _, client := range clients {
			client.Send(testkit.Ping("who?"))
			f := client.Frame("each is served")
			if f.Payload == "moved" {
				there++
			}
		}
		if there != sessions/2 {
			t.Errorf("%d of %d sessions are with the instance that came back", there, sessions)
		}
		p.b.WantUnvisited(t, "and no more move")
	})
}

// play is an instance that answers pings by its name too, and its close, of which
// it tells.
func play(leg *testkit.Peer, name string, left chan<- struct{}) {
	for {
		f, err := leg.Next()
		if err != nil {
			return
		}
		switch f.Op {
		case ws.CloseFrame:
			_ = leg.TrySend(f.Plain())
			left <- struct{}{}
			return
		case ws.Ping:
			_ = leg.TrySend(slices.Concat(testkit.Text(name).Plain(), testkit.Pong(f.Payload).Plain()))
		}
	}
}

// An instance that ends some sessions because it ends itself has the others
// leave, too.
func TestAnInstanceThatSeemsToGo(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		p := keeping(t, tr, "state: none", testkit.Config{Balance: "move: {quiet: 10ms}"})
		if _, err := p.Drain(p.b.URL()); err != nil {
			t.Fatal(err)
		}
		var legs []*testkit.Peer
		for range 4 {
			_, leg := p.open(t)
			legs = append(legs, leg)
		}
		if _, err := p.Undrain(p.b.URL()); err != nil {
			t.Fatal(err)
		}
		for _, leg := range legs[:3] {
			leg.Send(testkit.Close(1001, "stopping"))
		}
		for range legs {
			p.next(t)
		}
		legs[3].Want("the last is left in good order", testkit.Close(1001, ""))
	})
}
