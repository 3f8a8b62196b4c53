package wire_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"testing"

	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/testkit"
)

func seq(n int) testkit.Frame { return testkit.Text(fmt.Sprintf(`{"seq":%d}`, n)) }

// says has a line deliver the numbers from to to, save those that it drops.
func says(leg *testkit.Peer, from, to int, drops func(int) bool) {
	for n := from; n < to; n++ {
		if drops == nil || !drops(n) {
			leg.Send(seq(n))
		}
	}
}

// wantSeq wants every number once, in order.
func wantSeq(client *testkit.Peer, from, to int) {
	for n := from; n < to; n++ {
		client.Want("every number comes once, in order", seq(n))
	}
}

// Two lines of which each drops some and dies in turn are one stream without a
// gap, and a number that both drop is reported.
func TestFanoutFirst(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: first, dedupe: {key: seq, window: 1m}"})
		client, a, b := f.open()
		dropsA := func(n int) bool { return n%20 == 7 }
		dropsB := func(n int) bool { return n%20 == 17 }
		n := 0
		both := func(rounds int) {
			for range rounds {
				says(a, n, n+10, dropsA)
				says(b, n, n+10, dropsB)
				wantSeq(client, n, n+10)
				n += 10
				says(b, n, n+10, dropsB)
				says(a, n, n+10, dropsA)
				wantSeq(client, n, n+10)
				n += 10
			}
			settled(a, b)
		}
		both(5)
		for _, dying := range []struct {
			in          *testkit.Instance
			leg, stayed **testkit.Peer
		}{{f.a, &a, &b}, {f.b, &b, &a}} {
			(*dying.leg).Reset()
			f.wantConnected("a line dies", dying.in, 0)
			says(*dying.stayed, n, n+20, nil)
			wantSeq(client, n, n+20)
			n += 20
			*dying.leg = dying.in.Connect(t, "it comes back")
			says(*dying.leg, n-30, n, nil)
			settled(*dying.leg)
			both(3)
		}
		says(a, n, n+4, func(m int) bool { return m == n+2 })
		says(b, n, n+4, func(m int) bool { return m == n+2 })
		client.Want("what both drop is not waited for once both have passed it", seq(n), seq(n+1), seq(n+3))
		f.WantMetric(t, "it is one gap", `sluice_fanout_gaps_total{route="r"}`, 1)
		f.WantMetric(t, "of one message", `sluice_fanout_lost_total{reason="gap",route="r"}`, 1)
		f.WantLog(t, "and logged", "messages are missing that no source has delivered", "missing=1")
		f.wantCount("what a line dropped and the other had is counted", f.a, "missing", 11)
		f.wantCount("of either", f.b, "missing", 11)
		f.wantCount("and nothing came out of order", f.a, "filled", 0)
	})
}

// A line that goes silent without a close holds the stream up for the window at
// the most, and once.
func TestFanoutFirstSilentLine(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: first, dedupe: {key: seq, window: 200ms}"})
		client, a, b := f.open()
		says(a, 1, 3, nil)
		says(b, 1, 3, nil)
		wantSeq(client, 1, 3)
		says(a, 4, 6, nil)
		wantSeq(client, 4, 6)
		f.WantMetric(t, "the gap that it was awaited for is reported", `sluice_fanout_gaps_total{route="r"}`, 1)
		says(a, 7, 9, nil)
		wantSeq(client, 7, 9)
		f.WantMetric(t, "and the next, without it", `sluice_fanout_gaps_total{route="r"}`, 2)
		says(b, 3, 9, nil)
		client.Want("what it has after all comes late", seq(3), seq(6))
		f.wantCount("and is counted", f.b, "filled", 2)
		says(b, 9, 10, nil)
		wantSeq(client, 9, 10)
	})
}

// Messages without a number come once, by their key or by what they say.
func TestFanoutFirstWithoutNumbers(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: first, dedupe: {key: id, window: 1m}"})
		client, a, b := f.open()
		for k, text := range []string{`{"id":"x","from":%d}`, `{"id":1.5,"from":%d}`, `{"id":{"a":1},"from":%d}`} {
			a.Send(testkit.Text(fmt.Sprintf(text, k)))
			settled(a)
			b.Send(testkit.Text(fmt.Sprintf(text, -k-1)))
			client.Want("a key that is no number is one all the same", testkit.Text(fmt.Sprintf(text, k)))
		}
		for _, m := range []testkit.Frame{testkit.Text("heartbeat"), testkit.Binary("heartbeat"), testkit.Text(`{"id":null}`), testkit.Text(`"x"`)} {
			b.Send(m)
			settled(b)
			a.Send(m)
			client.Want("what both lines say comes once", m)
		}
		settled(a, b)
		client.Send(testkit.Ping("sync"))
		client.Want("and nothing else came", testkit.Pong("sync"))
		f.wantCount("the rest is late", f.b, "late", 3)
		f.wantCount("the rest is late", f.a, "late", 4)
	})
}

// Streams of a route are arbitrated by themselves.
func TestFanoutFirstByStream(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: first, dedupe: {key: seq}, stream_by: {path: true}"})
		for k, target := range []string{"/x", "/y"} {
			client := f.Dial(t)
			client.SendString(testkit.Upgrade(target))
			a, _ := f.a.Asked(t, "each stream has a connection to each source", target)
			a.Close()
			b := f.b.Connect(t, "each stream has a connection to each source")
			client.WantUpgraded("one that is open is enough")
			says(b, 5*k, 5*k+3, nil)
			wantSeq(client, 5*k, 5*k+3)
			f.WantMetric(t, "what all streams say is counted together", `sluice_fanout_source_messages_total{result="won",route="r",source="`+name(f.b)+`"}`, float64(3+3*k))
		}
	})
}

// Another window holds at once; another key is another arbitration, for who comes
// from then on.
func TestFanoutFirstReload(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: first, dedupe: {key: seq, window: 1h}"})
		client, a, b := f.open()
		says(a, 1, 2, nil)
		says(b, 1, 2, nil)
		says(a, 3, 4, nil)
		settled(a, b)
		wantSeq(client, 1, 2)
		next := f.base
		next.Fanout = "arbitration: first, dedupe: {key: seq, window: 20ms}"
		f.Reload(t, next.String())
		client.Want("what waits for a gap waits no longer than the new window", seq(3))
		next.Fanout = "arbitration: merge"
		f.Reload(t, next.String())
		second := f.Dial(t)
		second.SendString(testkit.Upgrade("/"))
		a2 := f.a.Connect(t, "who comes now gets a stream of its own")
		b2 := f.b.Connect(t, "of the same sources")
		second.WantUpgraded("and is let in")
		for _, leg := range []*testkit.Peer{a2, b2} {
			leg.Send(seq(9))
			second.Want("in which nothing is dropped", seq(9))
		}
		says(a, 4, 5, nil)
		client.Want("who was there keeps the old one", seq(4))
		says(b, 2, 6, nil)
		client.Want("in which a duplicate is one, and what fills a gap comes late", seq(2), seq(5))
	})
}

// The offsets are the stream's own: they go on while any source is there.
func TestFanoutFirstEpochs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: first, dedupe: {key: seq}"})
		_, a, b := f.open()
		at := func() (epoch, n string) {
			client, answer := f.join("/")
			client.Close()
			return offset(t, answer)
		}
		epoch, _ := at()
		says(a, 1, 3, nil)
		settled(a)
		a.Reset()
		f.wantConnected("a line is lost", f.a, 0)
		a = f.a.Connect(t, "and comes again")
		settled(a)
		if e, n := at(); e != epoch || n != "2" {
			t.Errorf("one that stays keeps the epoch: got %s-%s, want %s-2", e, n, epoch)
		}
		b.Reset()
		f.wantConnected("both are lost", f.b, 0)
		a.Reset()
		f.WantMetric(t, "both are lost", `sluice_fanout_source_up{route="r"}`, 0)
		b = f.b.Connect(t, "one comes again")
		settled(b)
		if e, n := at(); e == epoch || n != "0" {
			t.Errorf("what was said to nobody is missing, so another epoch begins: got %s-%s", e, n)
		}
	})
}

// The API shows a stream's sources.
func TestFanoutFirstInTheAPI(t *testing.T) {
	f := startLines(t, testkit.Raw, testkit.Feed{Fanout: "arbitration: first, dedupe: {key: seq}"})
	client, a, b := f.open()
	says(a, 1, 4, nil)
	wantSeq(client, 1, 4)
	says(b, 1, 3, nil)
	settled(a, b)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + f.AdminAddress().String() + "/api")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Routes []struct{ Streams []fanout.View }
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := []fanout.SourceView{
		{Name: name(f.a), URL: f.a.URL(), Up: true, Messages: map[string]uint64{"won": 3, "late": 0, "filled": 0, "old": 0, "missing": 0}},
		{Name: name(f.b), URL: f.b.URL(), Up: true, Messages: map[string]uint64{"won": 0, "late": 2, "filled": 0, "old": 0, "missing": 0}},
	}
	if s := got.Routes[0].Streams[0].Sources; !reflect.DeepEqual(s, want) {
		t.Errorf("the sources are %+v, want %+v", s, want)
	}
}
