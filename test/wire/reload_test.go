package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A route is its name: what it is otherwise may change under its sessions.
func TestReloadClosesNoSession(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in, other := testkit.Listen(t), testkit.Listen(t)
		base := testkit.Config{Upstreams: []string{in.URL()}, Balance: "policy: round_robin"}
		a := testkit.Start(t, tr, base.String())
		client, leg := testkit.Open(t, a, in)
		talk := func(sentence string) {
			t.Helper()
			client.Send(testkit.Begin("up"), testkit.End(""), testkit.Text("again"))
			leg.Want(sentence, testkit.Begin("up"), testkit.End(""), testkit.Text("again"))
			leg.Send(testkit.Text("down"))
			client.Want(sentence, testkit.Text("down"))
		}
		talk("before anything changes messages pass")
		for _, next := range []testkit.Config{
			{Upstreams: []string{in.URL(), other.URL()}},
			{Upstreams: []string{"{url: \"" + in.URL() + "\", weight: 3, max_sessions: 1}"}},
			{Limits: "message_size: 100, messages: {rate: 1000, burst: 1000}, pings_per_second: 3"},
			{Timeouts: "idle: 1h, pong: 5m, write: 1m, handshake: 3s, age: 3h"},
			{Balance: "policy: random, sticky: {cookie: s}"},
			{Balance: "policy: {hash: ip}"},
			{Failover: "spread: 1s, codes: [1001]"},
			{Health: "probe: tcp, interval: 1h"},
			{Route: "    origins: [self]\n    match: {path: /}\n    headers: {set: {X-A: b}}"},
			{Top: "limits: {sessions: 1}\ndrain: 100ms\ntrusted_proxies: [10.0.0.0/8]"},
			{Top: "log: {level: error, sessions: none}"},
			base,
		} {
			if next.Upstreams == nil {
				next.Upstreams = base.Upstreams
			}
			a.Reload(t, next.String())
			talk("the session goes on under\n" + next.String())
		}
		// The pool has another name, and the same instance.
		a.Reload(t, strings.Replace(base.String(), "upstreams: [\""+in.URL()+"\"], health: {probe: none}", "pool: p", 1)+
			"pools: {p: {upstreams: \""+in.URL()+"\", health: {probe: none}}}\n")
		talk("and on the same instance in another pool")
		a.WantSessions(t, "it has been counted all the time, once", 1)
		client.Send(testkit.Close(1000, ""))
		leg.Want("it ends as it likes", testkit.Close(1000, ""))
		leg.Send(testkit.Close(1000, ""))
		client.Want("and so does the instance", testkit.Close(1000, ""))
		a.WantNoSessions(t, "and it is counted out")
	})
}

// New bounds hold for who is there already.
func TestReloadHoldsForOldSessions(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		base := testkit.Config{Upstreams: []string{in.URL()}}
		a := testkit.Start(t, tr, base.String())
		change := func(c testkit.Config) {
			t.Helper()
			c.Upstreams = base.Upstreams
			c.Timeouts = strings.TrimPrefix(c.Timeouts+", close: 100ms", ", ")
			a.Reload(t, c.String())
		}
		for _, c := range []struct {
			what string
			next testkit.Config
			then func(client, leg *testkit.Peer)
		}{
			{"message_size", testkit.Config{Limits: "message_size: 4"}, func(client, leg *testkit.Peer) {
				client.Send(testkit.Text("1234"), testkit.Text("12345"))
				leg.Want("one that fits passes", testkit.Text("1234"))
				client.WantClose("one that does not closes", 1009)
			}},
			{"messages", testkit.Config{Limits: "messages: {rate: 0.001, burst: 1, over: close}"}, func(client, leg *testkit.Peer) {
				client.Send(testkit.Text("1"), testkit.Text("2"))
				client.WantClose("the second is too many", 1008)
			}},
			{"idle", testkit.Config{Timeouts: "idle: 50ms"}, func(client, leg *testkit.Peer) {
				leg.Want("the instance is told", testkit.Close(1001, ""))
				client.WantClose("who says nothing is closed", 1001)
			}},
			{"age", testkit.Config{Timeouts: "age: 50ms"}, func(client, leg *testkit.Peer) {
				leg.Want("the instance is told", testkit.Close(1001, ""))
				client.WantClose("who has been there so long is closed", 1012)
			}},
			{"ping", testkit.Config{Timeouts: "ping: 20ms"}, func(client, leg *testkit.Peer) {
				for _, p := range []*testkit.Peer{client, leg} {
					if f := p.Frame("both ends are pinged"); f.Op != testkit.Ping("").Op {
						t.Errorf("want a ping, got %v", f)
					}
				}
			}},
			{"failover codes", testkit.Config{Failover: "spread: 0s, codes: [4000]"}, func(client, leg *testkit.Peer) {
				leg.Send(testkit.Close(4000, ""))
				client.WantClose("another code means that the instance goes away", 1012)
			}},
		} {
			change(testkit.Config{})
			client, leg := testkit.Open(t, a, in)
			begun := testkit.DialTo(t, a.Addr())
			begun.SendString(testkit.Upgrade("/"))
			late := in.Accept(t, "another handshake is under way")
			head := late.Head("and the instance is asked")
			change(c.next)
			c.then(client, leg)
			late.SendString(testkit.Answer(head))
			begun.WantUpgraded(c.what + ": a session that was opening is opened")
			c.then(begun, late)
			for _, p := range []*testkit.Peer{client, leg, begun, late} {
				p.Close()
			}
			a.WantNoSessions(t, "all is over")
		}
	})
}

// Who waits for a rate that is no more does not wait any longer.
func TestReloadLiftsARate(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		const rate = "messages: {rate: 0.001, burst: 1}"
		b := start(t, tr, testkit.Config{Limits: rate})
		client, leg := b.open(t)
		client.Send(testkit.Text("1"), testkit.Text("2"))
		leg.Want("the first is within it", testkit.Text("1"))
		b.Reload(t, testkit.Config{Upstreams: []string{b.in.URL()}}.String())
		leg.Want("and without it so is the second", testkit.Text("2"))

		in := testkit.Listen(t)
		forwards := func(limits string) string {
			return testkit.Feed{Sources: []string{in.URL()}, Limits: limits, Fanout: "client_messages: forward"}.String()
		}
		f := &feed{testkit.Start(t, tr, forwards(rate)), in}
		client, leg = f.open(t)
		client.Send(testkit.Text("1"), testkit.Text("2"))
		leg.Want("of a fan-out's clients too", testkit.Text("1"))
		f.Reload(t, forwards(""))
		leg.Want("no one waits", testkit.Text("2"))
	})
}

// Sessions end whose route is no more, or does something else.
func TestReloadEndsRemovedRoutes(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		two := func(second string) string {
			return testkit.Config{Upstreams: []string{in.URL()}, Route: "    match: {path: /stays}"}.String() + second
		}
		balance := "  - name: x\n    match: {path: /x}\n    timeouts: {ping: 0s, close: 200ms}\n    balance: {upstreams: \"" + in.URL() + "\", health: {probe: none}, failover: {spread: 10ms}}\n"
		fanout := "  - name: x\n    match: {path: /x}\n    timeouts: {ping: 0s, close: 200ms}\n    fanout: {source: \"" + in.URL() + "\", compress: false, source_compress: false, linger: 0s}\n"
		a := testkit.Start(t, tr, two(balance))
		stays, staysLeg := a.Dial(t), (*testkit.Peer)(nil)
		stays.SendString(testkit.Upgrade("/stays"))
		staysLeg = in.Connect(t, "a session of the route that stays")
		stays.WantUpgraded("is opened")
		open := func() (client, leg *testkit.Peer) {
			t.Helper()
			client = a.Dial(t)
			client.SendString(testkit.Upgrade("/x"))
			leg = in.Connect(t, "one of the other route, too")
			client.WantUpgraded("is opened")
			return client, leg
		}
		for _, c := range []struct{ what, before, after string }{
			{"removed", balance, ""},
			{"a balance that becomes a fan-out", balance, fanout},
			{"a fan-out that becomes a balance", fanout, balance},
			{"a removed fan-out", fanout, ""},
		} {
			a.Reload(t, two(c.before))
			client, leg := open()
			a.Reload(t, two(c.after))
			if c.before == balance {
				leg.Want(c.what+": the instance is told", testkit.Close(1001, ""))
				leg.Send(testkit.Close(1001, ""))
			}
			client.WantClose(c.what+": the client is to come again", 1012)
			client.Send(testkit.Close(1012, ""))
			client.WantEOF("and that is the end")
			if c.before == fanout {
				leg.WantClose("nobody needs the source any more", 1000)
			}
			if c.after == "" {
				gone := a.Dial(t)
				gone.SendString(testkit.Upgrade("/x"))
				gone.WantRefusal("there is no such route", 404)
			}
			stays.Send(testkit.Text("still"))
			staysLeg.Want("the other route's session knows nothing of it", testkit.Text("still"))
		}
	})
}

// An upstream that is named no more is drained.
func TestReloadDrainsRemovedUpstreams(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		one, two := testkit.Listen(t), testkit.Listen(t)
		a := testkit.Start(t, tr, testkit.Config{Upstreams: []string{one.URL(), two.URL()}, Balance: "policy: round_robin"}.String())
		kept, keptLeg := a.Dial(t), (*testkit.Peer)(nil)
		moved, movedLeg := a.Dial(t), (*testkit.Peer)(nil)
		kept.SendString(testkit.Upgrade("/"))
		keptLeg = one.Connect(t, "a session on the first")
		kept.WantUpgraded("is open")
		moved.SendString(testkit.Upgrade("/"))
		movedLeg = two.Connect(t, "and one on the second")
		moved.WantUpgraded("is open")
		// Another is opening there: it goes on elsewhere.
		opening, first := a.Dial(t), a.Dial(t)
		first.SendString(testkit.Upgrade("/"))
		one.Connect(t, "in turn")
		first.WantUpgraded("is open")
		opening.SendString(testkit.Upgrade("/"))
		two.Accept(t, "one that is opening").Head("has been asked for")

		a.Reload(t, testkit.Config{Upstreams: []string{one.URL()}, Balance: "policy: round_robin"}.String())
		one.Connect(t, "what was opening is opened elsewhere")
		opening.WantUpgraded("and the client sees nothing of it")
		movedLeg.Want("the instance is told", testkit.Close(1001, ""))
		movedLeg.Send(testkit.Close(1001, ""))
		moved.WantClose("its client is to come again", 1012)
		kept.Send(testkit.Text("x"))
		keptLeg.Want("on the other one nothing happens", testkit.Text("x"))
		again := a.Dial(t)
		again.SendString(testkit.Upgrade("/"))
		one.Connect(t, "who comes goes there")
		again.WantUpgraded("and is let in")
	})
}

// What one route names no more may be another's.
func TestReloadLeavesTheOtherRoutesInstance(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		shared, own := testkit.Listen(t), testkit.Listen(t)
		second := "  - name: x\n    match: {path: /x}\n    timeouts: {ping: 0s, close: 200ms}\n    balance: {upstreams: \"" + shared.URL() + "\", health: {probe: none}}\n"
		route := func(up *testkit.Instance) string {
			return testkit.Config{Upstreams: []string{up.URL()}, Route: "    match: {path: /r}"}.String() + second
		}
		a := testkit.Start(t, tr, route(shared))
		var clients []*testkit.Peer
		var legs []*testkit.Peer
		for _, path := range []string{"/r", "/x"} {
			c := a.Dial(t)
			c.SendString(testkit.Upgrade(path))
			legs = append(legs, shared.Connect(t, "both are on the same instance"))
			c.WantUpgraded("and open")
			clients = append(clients, c)
		}
		a.Reload(t, route(own))
		legs[0].Want("the route that has another now leaves it", testkit.Close(1001, ""))
		legs[0].Send(testkit.Close(1001, ""))
		clients[0].WantClose("its client is to come again", 1012)
		clients[1].Send(testkit.Text("x"))
		legs[1].Want("the other route stays", testkit.Text("x"))
	})
}

// What can't be had changes nothing at all.
func TestReloadAllOrNothing(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{})
		client, leg := b.open(t)
		bad := testkit.Config{
			Upstreams: []string{`{url: "wss://127.0.0.1:1", tls: {ca: /nonexistent.pem}}`}, Limits: "message_size: 1", Top: "limits: {sessions: 1}",
		}.String()
		for _, yaml := range []string{bad, testkit.Feed{Sources: []string{"ws://127.0.0.1:1"}, Route: "    match: {path: /f}"}.String() + strings.SplitAfter(strings.Replace(bad, "name: r", "name: s\n    match: {path: /s}", 1), "routes:\n")[1]} {
			if _, err := b.TryReload(t, yaml); err == nil || !strings.Contains(err.Error(), "/nonexistent.pem") {
				t.Errorf("the error is %v, want one that names the file", err)
			}
			client.Send(testkit.Text("longer than one"))
			leg.Want("the session goes on under what it had", testkit.Text("longer than one"))
			if n, _ := b.Loaded(); n != 1 {
				t.Errorf("it is generation %d", n)
			}
		}
		client, leg = b.open(t)
		client.Send(testkit.Text("and others come"))
		leg.Want("to the same instance", testkit.Text("and others come"))
	})
}
