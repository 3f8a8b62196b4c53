package wire_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// What a fan-out is configured to be may change under its subscribers, and its
// source's connection stays too.
func TestFanoutReload(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		base := testkit.Feed{Sources: []string{in.URL()}, Fanout: "client_messages: forward"}
		f := &feed{testkit.Start(t, tr, base.String()), in}
		client, leg := f.open(t)
		lines, _ := f.listen(t, "/", "application/x-ndjson")
		say(t, leg, 0, 3, client)
		lines.Until("the other form has them too", "message 2\"")
		for k, next := range []testkit.Feed{
			{Fanout: "history: {messages: 5}, backlog: 2, on_gone: oldest"},
			{Fanout: "slow: {policy: skip, notice: none, after: {messages: 50}}, flush_interval: 1ms"},
			{Fanout: "client_messages: drop, answers: [{match: a, send: b}]"},
			{Fanout: "streams: 1, linger: 1m, stale_after: 1h, keepalive: {every: 1h, send: x}, subscribe: [y]"},
			{Fanout: "stream_by: {path: true}"},
			{Timeouts: "idle: 1h, pong: 5m, age: 3h", Limits: "message_size: 1KiB"},
			{Route: "    origins: [\"*\"]\n    headers: {set: {X-A: b}}", Top: "log: {level: error, sessions: none}"},
			base,
		} {
			next.Sources = base.Sources
			f.Reload(t, next.String())
			say(t, leg, 3+k, 4+k, client)
			lines.Until("lines go on", "message "+strconv.Itoa(3+k)+"\"")
		}
		client.Send(testkit.Text("forwarded again"))
		leg.Want("the source still hears clients", testkit.Text("forwarded again"))
		in.WantUnvisited(t, "it was one connection all the time")
	})
}

// New bounds hold for subscribers who are there.
func TestFanoutReloadHoldsForOldSubscribers(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		base := testkit.Feed{Sources: []string{in.URL()}, Fanout: "client_messages: forward, linger: 1m"}
		f := &feed{testkit.Start(t, tr, base.String()), in}
		_, leg := f.open(t)
		for _, c := range []struct {
			next testkit.Feed
			then func(client *testkit.Peer)
		}{
			{testkit.Feed{Limits: "message_size: 4", Fanout: base.Fanout}, func(client *testkit.Peer) {
				client.Send(testkit.Text("1234"))
				leg.Want("what fits is forwarded", testkit.Text("1234"))
				client.Send(testkit.Text("12345"))
				client.WantClose("what does not closes", 1009)
			}},
			{testkit.Feed{Timeouts: "ping: 20ms"}, func(client *testkit.Peer) {
				if f := client.Frame("it is pinged"); f.Op != testkit.Ping("").Op {
					t.Errorf("want a ping, got %v", f)
				}
			}},
			{testkit.Feed{Timeouts: "idle: 50ms"}, func(client *testkit.Peer) {
				client.WantClose("it is closed where nothing comes", 1001)
			}},
			{testkit.Feed{Fanout: "client_messages: reject"}, func(client *testkit.Peer) {
				client.Send(testkit.Text("x"))
				client.WantClose("it may not speak any more", 1008)
			}},
		} {
			f.Reload(t, base.String())
			client, _ := f.join(t, "/")
			c.next.Sources = base.Sources
			f.Reload(t, c.next.String())
			c.then(client)
			client.Close()
		}
	})
}

// A source that is named no more is left for one that is; subscribers stay, and
// their messages are counted in a new epoch.
func TestFanoutReloadMovesTheSource(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		one, two := testkit.Listen(t), testkit.Listen(t)
		at := func(in ...*testkit.Instance) string {
			c := testkit.Feed{Fanout: "linger: 1m"}
			for _, i := range in {
				c.Sources = append(c.Sources, i.URL())
			}
			return c.String()
		}
		f := &feed{testkit.Start(t, tr, at(one)), one}
		client, leg := f.open(t)
		say(t, leg, 0, 2, client)
		_, before := f.join(t, "/")

		f.Reload(t, at(two, one))
		say(t, leg, 2, 4, client)
		two.WantUnvisited(t, "one that is still named stays")

		f.Reload(t, at(two))
		leg.WantClose("one that is not is told so", 1000)
		leg = two.Connect(t, "and the other is asked")
		say(t, leg, 4, 6, client)
		_, after := f.join(t, "/")
		a, _, _ := strings.Cut(before.Get("Sluice-Offset"), "-")
		b, _, _ := strings.Cut(after.Get("Sluice-Offset"), "-")
		if a == b {
			t.Errorf("the epoch is %s as it was, and something may be missing in it", a)
		}

		// One that is not to be reached is left for one that is.
		f.Reload(t, strings.ReplaceAll(at(two), two.URL(), "ws://127.0.0.1:1"))
		leg.WantClose("that is left, too", 1000)
		f.WantLog(t, "a source that refuses is tried", "source not reached", "127.0.0.1:1")
		f.Reload(t, at(one))
		leg = one.Connect(t, "the next one is asked at once")
		say(t, leg, 6, 8, client)
	})
}

// What a stream was made for stays so for those who are in it. Who comes gets
// another, with a connection of its own.
func TestFanoutReloadBeginsAnotherStream(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		with := func(fanout string) string {
			return testkit.Feed{Sources: []string{in.URL()}, Fanout: fanout, Route: "    match: {path: /}"}.String()
		}
		f := &feed{testkit.Start(t, tr, with("slow: {policy: skip, notice: none}")), in}
		old, oldLeg := f.open(t)
		f.Reload(t, with("slow: {policy: latest, key: k, notice: none}"))
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		leg := in.Connect(t, "the new stream is opened")
		client.WantUpgraded("for who comes")
		say(t, oldLeg, 0, 2, old)
		say(t, leg, 5, 7, client)
		old.Close()
		oldLeg.WantClose("with its last subscriber the old one ends", 1000)
		say(t, leg, 7, 8, client)

		last, _ := f.join(t, "/")
		f.Reload(t, with("greeting: 1"))
		f.Reload(t, strings.Replace(with(""), "- name: r", "- name: s", 1))
		client.WantClose("when the route is removed all are closed", 1012)
		last.WantClose("whatever stream they are in", 1012)
	})
}
