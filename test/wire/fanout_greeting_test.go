package wire_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// What the source says first is kept for those who join later, comes before
// anything live, and is not shown again to those who resume.
func TestFanoutGreeting(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "greeting: 2, compress: true"})
		first := f.Dial(t)
		first.SendString(testkit.Upgrade("/"))
		leg := f.source.Connect(t, "the source is dialled")
		epoch, _ := offset(t, first.WantUpgraded("the first client is let in"))
		say(t, leg, 0, 1, first)
		early, _ := f.join(t, "/")
		early.Want("who comes amid the greeting gets what was said of it", numbered(0, 1)...)
		say(t, leg, 1, 2, first, early)
		say(t, leg, 2, 5, first, early)
		for _, extension := range []string{"X-Plain: 1", "Sec-WebSocket-Extensions: permessage-deflate"} {
			late, answer := f.join(t, "/", extension)
			if _, n := offset(t, answer); n != "5" {
				t.Errorf("the greeting is not counted: got %s", n)
			}
			late.Want("a later client is greeted", numbered(0, 2)...)
			again, _ := f.join(t, "/?sluice_from="+epoch+"-4", extension)
			again.Want("who resumes is not", numbered(4, 5)...)
			oldest, _ := f.join(t, "/?sluice_from=oldest", extension)
			oldest.Want("nor who asks for everything", numbered(0, 5)...)
			leg.Send(testkit.Text("live"))
			for _, c := range []*testkit.Peer{first, early, late, again, oldest} {
				c.Want("then all get what is live", testkit.Text("live"))
			}
			for _, c := range []*testkit.Peer{late, again, oldest} {
				c.Close()
			}
			first.Close()
			early.Close()
			leg.WantClose("the stream ends", 1000)
			leg.Close()
			first = f.Dial(t)
			first.SendString(testkit.Upgrade("/"))
			leg = f.source.Connect(t, "and begins again")
			epoch, _ = offset(t, first.WantUpgraded("with a new first client"))
			say(t, leg, 0, 5, first)
			early, _ = f.join(t, "/")
			early.Want("that is greeted as well", numbered(0, 2)...)
		}
	})
}

// A new connection has a greeting of its own.
func TestFanoutGreetingOfTheNextConnection(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "greeting: 1"})
		first, leg := f.open(t)
		leg.Send(testkit.Text("hello"), testkit.Text("a"))
		first.Want("the source greets", testkit.Text("hello"), testkit.Text("a"))
		leg.Close()
		leg = f.source.Connect(t, "the source is dialled again")
		leg.Send(testkit.Text("hello again"), testkit.Text("b"))
		first.Want("and greets", testkit.Text("hello again"), testkit.Text("b"))
		late, _ := f.join(t, "/")
		late.Want("later clients get that greeting", testkit.Text("hello again"))
		say(t, leg, 0, 1, first, late)
	})
}

// A backlog that reaches into the greeting shows none of it twice.
func TestFanoutGreetingAndBacklog(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "greeting: 3, backlog: 2"})
		first, leg := f.open(t)
		for n := range 8 {
			say(t, leg, n, n+1, first)
			client, _ := f.join(t, "/")
			client.Want("the greeting, then the backlog", numbered(0, min(n+1, 3))...)
			client.Want("each message once", numbered(max(3, n-1), n+1)...)
			leg.Send(testkit.Ping("sync"))
			leg.Want("the source is read", testkit.Pong("sync"))
			client.Send(testkit.Ping("sync"))
			client.Want("and nothing else came", testkit.Pong("sync"))
			client.Close()
		}
	})
}

// The greeting needs no history.
func TestFanoutGreetingWithoutHistory(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "greeting: 2, history: {messages: 0}"})
		first, leg := f.open(t)
		say(t, leg, 0, 1, first)
		amid, _ := f.join(t, "/")
		amid.Want("who comes amid the greeting gets what was said of it", numbered(0, 1)...)
		say(t, leg, 1, 4, first, amid)
		late, _ := f.join(t, "/")
		late.Want("and who comes later all of it", numbered(0, 2)...)
		say(t, leg, 4, 6, first, amid, late)
	})
}
