package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// lines is a Sluice whose sources are all connected.
type lines struct {
	*testkit.App
	t    *testing.T
	a, b *testkit.Instance
	base testkit.Feed
}

// startLines runs one behind two sources, whose names are their addresses.
func startLines(t *testing.T, tr testkit.Transport, c testkit.Feed) *lines {
	t.Helper()
	f := &lines{t: t, a: testkit.Listen(t), b: testkit.Listen(t), base: c}
	f.base.Top = `admin: {address: "127.0.0.1:0"}`
	f.base.Sources = []string{f.a.URL(), f.b.URL()}
	f.App = testkit.Start(t, tr, f.base.String())
	return f
}

// open connects the first client, and both sources, which are told that.
func (f *lines) open(subscribed ...testkit.Frame) (client, a, b *testkit.Peer) {
	f.t.Helper()
	client = f.Dial(f.t)
	client.SendString(testkit.Upgrade("/"))
	a = f.a.Connect(f.t, "the first client opens the stream")
	b = f.b.Connect(f.t, "to all of its sources")
	client.WantUpgraded("the first client is let in")
	for _, leg := range []*testkit.Peer{a, b} {
		leg.Want("each source is told the subscriptions", subscribed...)
	}
	settled(a, b)
	return client, a, b
}

// settled waits until what sources have said was read.
func settled(legs ...*testkit.Peer) {
	for _, leg := range legs {
		leg.Send(testkit.Ping("sync"))
		leg.Want("the source is read", testkit.Pong("sync"))
	}
}

func name(in *testkit.Instance) string { return in.Addr().String() }

func (f *lines) wantCount(sentence string, in *testkit.Instance, result string, want float64) {
	f.t.Helper()
	f.WantMetric(f.t, sentence, fmt.Sprintf(`sluice_fanout_source_messages_total{result="%s",route="r",source="%s"}`, result, name(in)), want)
}

func (f *lines) wantConnected(sentence string, in *testkit.Instance, want float64) {
	f.t.Helper()
	f.WantMetric(f.t, sentence, fmt.Sprintf(`sluice_fanout_source_connections{route="r",source="%s"}`, name(in)), want)
}

// Messages of different sources make one stream, each with its source's name;
// one that is lost holds nobody up.
func TestFanoutMerges(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: `arbitration: merge, subscribe: [hello], wrap: '{"source":{{json .Source}},"data":{{.Message}}}'`})
		client, a, b := f.open(testkit.Text("hello"))
		wrapped := func(in *testkit.Instance, text string) testkit.Frame {
			return testkit.Text(`{"source":"` + name(in) + `","data":` + text + `}`)
		}
		a.Send(testkit.Begin("1"), testkit.End("0"), testkit.Text("11"))
		client.Want("what a source says is wrapped, whole and in order", wrapped(f.a, "10"), wrapped(f.a, "11"))
		b.Send(testkit.Text("20"))
		client.Want("what the other says follows", wrapped(f.b, "20"))
		a.Reset()
		f.wantConnected("one is lost", f.a, 0)
		b.Send(testkit.Text("21"))
		client.Want("the other goes on", wrapped(f.b, "21"))
		if up := f.Metric(t, `sluice_fanout_source_up{route="r"}`); up != 1 {
			t.Errorf("the stream is up while one of its sources is: got %v", up)
		}
		a = f.a.Connect(t, "it is dialled again")
		a.Want("and subscribed to", testkit.Text("hello"))
		a.Send(testkit.Text("12"))
		client.Want("and is there again", wrapped(f.a, "12"))
		f.wantCount("all is counted", f.a, "won", 3)
		f.wantCount("by source", f.b, "won", 2)
		f.b.WantUnvisited(t, "the other was one connection all the time")
	})
}

// A source that is merged is not asked for what was, and a stream needs one that
// is open.
func TestFanoutMergeBegins(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: merge"})
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		a := f.a.Accept(t, "both are dialled")
		b := f.b.Accept(t, "both are dialled")
		if h := a.Head("and asked"); h.Get("Sluice-From") != "" {
			t.Errorf("no source is asked for its past: got %q", h.Raw)
		}
		h := b.Head("and asked")
		a.SendString("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		a = f.a.Accept(t, "one that refuses is dialled again")
		b.SendString(testkit.Answer(h, "Sluice-Offset: other-7"))
		epoch, n := offset(t, client.WantUpgraded("the client is let in as soon as one is open"))
		if epoch == "other" || n != "0" {
			t.Errorf("the stream counts by itself: got %s-%s", epoch, n)
		}
		say(t, b, 0, 2, client)
		a.SendString(testkit.Answer(a.Head("and asked")))
		say(t, a, 2, 4, client)
		client.Close()
		a.WantClose("both are closed when nobody is there", 1000)
		b.WantClose("both are closed when nobody is there", 1000)
	})
}

func TestFanoutMergeRefusedByAll(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: merge"})
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		for _, in := range []*testkit.Instance{f.a, f.b} {
			leg := in.Accept(t, "each is dialled")
			leg.Head("and asked")
			leg.SendString("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			leg.Close()
		}
		client.WantRefusal("when all have failed the client is told", 502)
	})
}

// Clients' messages go to the first source that is open.
func TestFanoutMergeForwards(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: merge, client_messages: forward"})
		client, a, b := f.open()
		client.Send(testkit.Text("one"))
		a.Want("a message goes to the first", testkit.Text("one"))
		a.Reset()
		f.wantConnected("when that is lost", f.a, 0)
		client.Send(testkit.Text("two"))
		b.Want("to the second", testkit.Text("two"))
		a = f.a.Connect(t, "when the first is there again")
		settled(a)
		client.Send(testkit.Text("three"))
		a.Want("to that", testkit.Text("three"))
	})
}

// A code that ends the stream ends it when the last source has closed so.
func TestFanoutMergeEnds(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: merge, on_source_close: {relay: [4000]}"})
		client, a, b := f.open()
		a.Send(testkit.Text("last of a"), testkit.Close(4000, "over"))
		a.Want("its close is answered", testkit.Close(4000, ""))
		client.Want("what it said is there", testkit.Text("last of a"))
		say(t, b, 0, 2, client)
		f.a.WantUnvisited(t, "a source that has ended is not dialled again")
		b.Send(testkit.Close(4000, "over, too"))
		client.Want("the last one ends the stream", testkit.Close(4000, "over, too"))
	})
}

// Each source's greeting is kept, and that of its latest connection alone.
func TestFanoutMergeGreets(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: merge, greeting: 1"})
		client, a, b := f.open()
		a.Send(testkit.Text("I am a"), testkit.Text("x"))
		client.Want("a source greets", testkit.Text("I am a"), testkit.Text("x"))
		b.Send(testkit.Text("I am b"), testkit.Text("y"))
		client.Want("and the other", testkit.Text("I am b"), testkit.Text("y"))
		late, _ := f.join("/")
		late.Want("who joins later is greeted by both", testkit.Text("I am a"), testkit.Text("I am b"))
		a.Reset()
		a = f.a.Connect(t, "one comes again")
		settled(a)
		amid, _ := f.join("/")
		amid.Want("before it has greeted there is the other's", testkit.Text("I am b"))
		a.Send(testkit.Text("I am a again"))
		amid.Want("then its own", testkit.Text("I am a again"))
		later, _ := f.join("/")
		later.Want("later both", testkit.Text("I am b"), testkit.Text("I am a again"))
		say(t, b, 0, 1, amid, later)
	})
}

func (f *lines) join(target string) (*testkit.Peer, *testkit.Head) {
	f.t.Helper()
	return (&feed{App: f.App}).join(f.t, target)
}

// A reload leaves the source that is named no more, connects the new one, and
// lets the others be.
func TestFanoutMergeReload(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startLines(t, tr, testkit.Feed{Fanout: "arbitration: merge"})
		client, a, b := f.open()
		c := testkit.Listen(t)
		next := f.base
		next.Sources = []string{f.b.URL(), c.URL()}
		done := make(chan struct{})
		go func() { defer close(done); f.Reload(t, next.String()) }()
		a.WantClose("what is named no more is left", 1000)
		leg := c.Connect(t, "what is new is connected")
		<-done
		say(t, leg, 0, 2, client)
		say(t, b, 2, 4, client)
		f.b.WantUnvisited(t, "what stays was one connection all the time")
		next.Fanout = strings.Replace(next.Fanout, "merge", "merge, wrap: 'x{{.Message}}'", 1)
		f.Reload(t, next.String())
		b.Send(testkit.Text("y"))
		client.Want("another template holds from now on", testkit.Text("xy"))
	})
}
