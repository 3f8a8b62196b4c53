package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// pooled starts a Sluice whose sessions begin at instance 0, and that has pools of
// one instance each besides: the first name is of instance 1.
func pooled(t *testing.T, tr testkit.Transport, c testkit.Scatter, names ...string) (*testkit.Fleet, *testkit.App) {
	t.Helper()
	f := testkit.NewFleet(t, 1+len(names))
	urls := f.URLs()
	c.Top += "\npools:\n"
	for k, name := range names {
		c.Top += fmt.Sprintf("  %s: {upstreams: %q, health: {probe: none}}\n", name, urls[k+1])
	}
	c.Upstreams = urls[:1]
	return f, testkit.Start(t, tr, c.String())
}

// routed is where a message is to arrive.
type routed struct {
	message testkit.Frame
	at      int
}

// wantRouted sends messages one by one and wants each to arrive as it was sent.
func wantRouted(t *testing.T, f *testkit.Fleet, client *testkit.Peer, ms []routed) {
	t.Helper()
	for _, m := range ms {
		client.Send(m.message)
		if to := f.Want(t, "a message arrives as it was sent", m.message); to.At != m.at {
			t.Errorf("%v wants instance %d, came to %d", m.message, m.at, to.At)
		}
	}
}

// A value names the pool; what has none of those that are named goes by default.
func TestScatterBy(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		const by = `send: {by: head.type, to: {quote: a, "7": b, "": b}`
		for fallback, at := range map[string]int{", default: b}": 2, "}": 0} {
			f, a := pooled(t, tr, testkit.Scatter{Scatter: by + fallback}, "a", "b")
			client, _ := f.Enter(t, a)
			wantRouted(t, f, client, []routed{
				{testkit.Text(`{"head":{"type":"quote"}}`), 1},
				{testkit.Text("\t{ \"x\":[1,{\"type\":1}], \"head\" : {\"type\":\"qu\\u006fte\"} }\n"), 1},
				{testkit.Text(`{"head":{"type":7}}`), 2},
				{testkit.Text(`{"head":{"type":0.7e1}}`), 2},
				{testkit.Text(`{"head":{"type":"7"}}`), 2},
				{testkit.Text(`{"head":{"type":""}}`), 2},
				{testkit.Text(`{"head":{"type":"Quote"}}`), at},
				{testkit.Text(`{"head":{"type":["quote"]}}`), at},
				{testkit.Text(`{"head":{"type":null}}`), at},
				{testkit.Text(`{"head.type":"quote"}`), at},
				{testkit.Text(`{"type":"quote"}`), at},
				{testkit.Text(`quote`), at},
				{testkit.Text(``), at},
				{testkit.Binary(`{"head":{"type":"quote"}}`), at},
			})
		}
	})
}

// The first rule that holds names the pool. One that can't be held against a
// message does not hold.
func TestScatterRules(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{
			Top: `admin: {address: "127.0.0.1:0"}`,
			Scatter: `send: {default: d, rules: [
        {when: 'binary && size > 10', to: a},
        {when: 'request.headers["x-beta"] == "1"', to: b},
        {when: 'request.query["v"] == "2" && request.path == "/beta" && request.client == "127.0.0.1"', to: c},
        {when: 'msg.type == "order" && msg.n > 3', to: b},
        {when: 'text.contains("magic")', to: c},
        {when: 'size > 200', to: a}]}`,
		}, "a", "b", "c", "d")
		enter := func(target string, extra ...string) *testkit.Peer {
			t.Helper()
			client := a.Dial(t)
			client.SendString(testkit.Upgrade(target, extra...))
			client.WantUpgraded("a client enters")
			return client
		}
		wantRouted(t, f, enter("/"), []routed{
			{testkit.Binary("0123456789a"), 1},
			{testkit.Binary("0123456789"), 4},
			{testkit.Text(`{"type":"order","n":4}`), 2},
			{testkit.Text(`{"type":"order","n":3}`), 4},
			{testkit.Text(`{"type":"order","n":"4"}`), 4},
			{testkit.Text(`{"type":"order"}`), 4},
			{testkit.Text(`{"type":"order","n":4,"n":1}`), 4},
			{testkit.Text(`no magic in what is not JSON?`), 3},
			{testkit.Text(`[` + strings.Repeat(`1,`, 100) + `1]`), 1},
			{testkit.Text(`""`), 4},
		})
		wantRouted(t, f, enter("/", "X-Beta: 1", "X-Beta: 2"), []routed{{testkit.Text(`{}`), 2}, {testkit.Binary("0123456789a"), 1}})
		wantRouted(t, f, enter("/beta?v=2&v=3"), []routed{{testkit.Text(`{}`), 3}})
		wantRouted(t, f, enter("/beta?v=3"), []routed{{testkit.Text(`{}`), 4}})
		a.WantMetric(t, "what is not JSON is counted", `sluice_scatter_events_total{event="invalid",route="r"}`, 2)
	})
}

// The key of a binary message stands at fixed bytes; without it, and in text, the
// message goes by default.
func TestScatterByBytes(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Scatter: `send: {hash: {bytes: [2, 6]}, default: a}`}, "a")
		client, _ := f.Enter(t, a)
		wantRouted(t, f, client, []routed{
			{testkit.Binary("..key1"), 0}, {testkit.Binary("..key1 and more"), 0}, {testkit.Binary("..key"), 1}, {testkit.Binary(".."), 1}, {testkit.Binary(""), 1},
			{testkit.Text("..key1"), 1}, {testkit.Text(`{"k":1}`), 1},
		})

		f, a = scattering(t, tr, 4, testkit.Scatter{Scatter: `send: {hash: {path: k, bytes: [2, 6]}}`})
		client, _ = f.Enter(t, a)
		used := map[int]bool{}
		for n := range 20 {
			one := testkit.Binary(fmt.Sprintf("%02dk%02d.%d", n, n, n))
			two := testkit.Binary(fmt.Sprintf("xyk%02d.", n))
			same := testkit.Text(fmt.Sprintf(`{"k":"k%02d."}`, n))
			client.Send(one, two, same)
			to := f.Want(t, "a binary message", one)
			used[to.At] = true
			if also := f.Message(t, "another with this key"); also.Leg != to.Leg {
				t.Errorf("%v wants the leg of %v", also.Frame, one)
			}
			if also := f.Message(t, "and text with it"); also.Leg != to.Leg {
				t.Errorf("%v wants the leg of %v", also.Frame, one)
			}
		}
		if len(used) < 3 {
			t.Errorf("twenty keys want four instances, or three, got %d", len(used))
		}
	})
}

// In turn, by load, to all: without a look into messages.
func TestScatterByPolicy(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: "send: round_robin"})
		client, _ := f.Enter(t, a)
		turns := map[int]int{}
		for n := range 9 {
			m := testkit.Text(fmt.Sprint(n))
			client.Send(m)
			turns[f.Want(t, "each arrives", m).At]++
		}
		if turns[0] != 3 || turns[1] != 3 || turns[2] != 3 {
			t.Errorf("nine messages in turn want to be three for each, got %v", turns)
		}

		f, a = scattering(t, tr, 2, testkit.Scatter{Scatter: "send: least_load, gather: {id: id, timeout: 0s}"})
		client, _ = f.Enter(t, a)
		clear(turns)
		for n := range 40 {
			m := keyed(n, 0)
			client.Send(m)
			to := f.Want(t, "each arrives", m)
			if turns[to.At]++; to.At == 0 {
				to.Leg.Send(m)
				client.Want("one instance answers", m)
			}
		}
		if turns[1] > 8 {
			t.Errorf("who does not answer wants to get few messages, got %v", turns)
		}

		f, a = scattering(t, tr, 3, testkit.Scatter{Scatter: "send: all"})
		if _, err := a.Drain(f.URLs()[1]); err != nil {
			t.Error(err)
		}
		client, _ = f.Enter(t, a)
		m := testkit.Binary("to all")
		client.Send(m)
		if one, two := f.Want(t, "one gets it", m).At, f.Want(t, "and another", m).At; one+two != 2 || one == two {
			t.Errorf("all wants those that are not drained, 0 and 2, got %d and %d", one, two)
		}
	})
}

// What must be read and can't be is passed by, answered or ends the session.
func TestScatterInvalid(t *testing.T) {
	bad := map[string]string{
		"not JSON":           `{"k":}`,
		"nothing":            ``,
		"a key twice":        `{"k":1,"x":{"y":1,"y":2}}`,
		"something behind":   `{"k":1} {"k":2}`,
		"too deep":           `{"k":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
		"not closed":         `{"k":` + strings.Repeat("[", 900),
		"a byte order mark":  "\ufeff" + `{"k":1}`,
		"too large":          `{"k":1,"x":"` + strings.Repeat("x", 10_000) + `"}`,
		"half a surrogate":   `{"k":"\ud800"}`,
		"bytes not of UTF-8": "{\"k\":\"\xff\"}",
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for what, s := range bad {
			c := testkit.Scatter{Scatter: `inspect: 8KiB, send: {hash: k, default: a}, gather: {id: k}`}
			f, a := pooled(t, tr, c, "a")
			client, _ := f.Enter(t, a)
			if what != "bytes not of UTF-8" {
				wantRouted(t, f, client, []routed{{testkit.Text(s), 1}, {testkit.Text(`{"k":1}`), 0}})
			}
			c.Scatter += ", on_invalid: error"
			f, a = pooled(t, tr, c, "a")
			client, _ = f.Enter(t, a)
			client.Send(testkit.Text(s))
			if m := client.Frame(what + ": it is answered"); !strings.HasPrefix(m.Payload, `{"id":null,"error":"invalid message: `) {
				t.Errorf("%s: want an error, got %v", what, m)
			}
			wantRouted(t, f, client, []routed{{testkit.Text(`{"k":1}`), 0}})
			c.Scatter = strings.Replace(c.Scatter, "on_invalid: error", "on_invalid: close", 1)
			f, a = pooled(t, tr, c, "a")
			client, home := f.Enter(t, a)
			client.Send(testkit.Text(s), testkit.Text(`{"k":1}`))
			client.WantClose(what+": the client is closed", 1007)
			f.WantLeft(t, "and nothing reaches the instance but a close", home.Leg, 1001)
		}
	})
}

// In the pool that is named, within says which instance gets the message.
func TestScatterWithin(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for within, want := range map[string][3]int{"round_robin": {0, 3, 3}, "all": {0, 6, 6}} {
			f := testkit.NewFleet(t, 3)
			urls := f.URLs()
			a := testkit.Start(t, tr, testkit.Scatter{Top: fmt.Sprintf("pools: {p1: {upstreams: [%q, %q], health: {probe: none}}}", urls[1], urls[2]),
				Upstreams: urls[:1], Scatter: `send: {by: k, to: {"1": p1}, within: ` + within + `}`}.String())
			client, _ := f.Enter(t, a)
			var got [3]int
			for n := range 6 {
				client.Send(keyed(n, 1))
			}
			for range want[1] + want[2] {
				got[f.Message(t, "it comes").At]++
			}
			if got != want {
				t.Errorf("within %s: want %v messages, got %v", within, want, got)
			}
			client.Send(keyed(9, 0))
			if to := f.Message(t, "no more than that"); to.Frame != keyed(9, 0) || to.At != 0 {
				t.Errorf("within %s: want the next message at home, got %v at %d", within, to.Frame, to.At)
			}
		}
	})
}
