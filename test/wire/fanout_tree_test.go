package wire_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// tree is a Sluice in front of a source, one in front of that, and a third in
// front of both. Only the middle one has an address that is known beforehand, so
// that another can take its place.
type tree struct {
	root         *feed
	middle, leaf *testkit.App
	address      string
	fanout       string
	source       *testkit.Peer // the root's
}

// plant starts a tree with its first client, at the leaf.
func plant(t *testing.T, tr testkit.Transport, fanout string) (*tree, *testkit.Peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tree{address: l.Addr().String(), fanout: "linger: 1m, source_compress: true, compress: true" + fanout}
	l.Close()
	w.root = startFeed(t, tr, testkit.Feed{Fanout: w.fanout})
	w.startMiddle(t, tr)
	w.leaf = testkit.Start(t, tr, testkit.Feed{Sources: []string{"ws://" + w.address}, Fanout: w.fanout}.String())
	client := w.leaf.Dial(t)
	client.SendString(testkit.Upgrade("/"))
	w.source = w.root.source.Connect(t, "the first client opens all of it")
	client.WantUpgraded("and is let in")
	return w, client
}

func (w *tree) startMiddle(t *testing.T, tr testkit.Transport) {
	t.Helper()
	w.middle = testkit.Start(t, tr, testkit.Feed{Top: `listen: "` + w.address + `"`, Sources: []string{"ws://" + w.root.Addr().String()}, Fanout: w.fanout}.String())
}

// replace stops the middle while the source goes on, and starts another.
func (w *tree) replace(t *testing.T, tr testkit.Transport, meanwhile func()) {
	t.Helper()
	w.middle.Stop()
	meanwhile()
	w.startMiddle(t, tr)
}

// at connects a client to one of the three.
func (w *tree) at(t *testing.T, a *testkit.App, target string) (*testkit.Peer, *testkit.Head) {
	t.Helper()
	return (&feed{App: a}).join(t, target)
}

// Offsets are the same wherever in a tree they are read.
func TestFanoutTree(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		w, client := plant(t, tr, "")
		say(t, w.source, 0, 10, client)
		var where []string
		for _, a := range []*testkit.App{w.root.App, w.middle, w.leaf} {
			c, h := w.at(t, a, "/?sluice_from=oldest")
			c.Want("the past is there", numbered(0, 10)...)
			where = append(where, h.Get("Sluice-Offset"))
			_, h = w.at(t, a, "/")
			where = append(where, h.Get("Sluice-Offset"))
		}
		for k := 2; k < len(where); k++ {
			if where[k] != where[k-2] {
				t.Errorf("offsets are the same in all of a tree: got %q", where)
			}
		}
		epoch := where[0][:len(where[0])-2]
		c, _ := w.at(t, w.leaf, "/?sluice_from="+epoch+"-4")
		c.Want("one that was at the root goes on at a leaf", numbered(4, 10)...)
		say(t, w.source, 10, 12, client, c)
		w.root.source.WantUnvisited(t, "over one connection")
	})
}

// The middle of a tree is replaced while the source goes on: nobody at the leaf
// misses a message, or gets one twice.
func TestFanoutTreeLosesItsMiddle(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		w, client := plant(t, tr, "")
		say(t, w.source, 0, 50, client)
		_, before := w.at(t, w.leaf, "/")
		for round := range 2 {
			n := 50 + round*150
			w.replace(t, tr, func() { say(t, w.source, n, n+100) })
			say(t, w.source, n+100, n+150)
			client.Want("everything arrives, once and in order", numbered(n, n+150)...)
		}
		_, after := w.at(t, w.leaf, "/")
		epoch, _ := offset(t, before)
		if got, want := after.Get("Sluice-Offset"), epoch+"-350"; got != want {
			t.Errorf("and the numbers go on: got %s, want %s", got, want)
		}
		w.root.source.WantUnvisited(t, "the source noticed nothing")
	})
}

// The root's source is lost first, so that there are two epochs when the middle
// is replaced.
func TestFanoutTreeWithTwoEpochs(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		w, client := plant(t, tr, "")
		say(t, w.source, 0, 10, client)
		w.source.Close()
		w.source = w.root.source.Connect(t, "the source is dialled again")
		say(t, w.source, 10, 20, client)
		_, root := w.at(t, w.root.App, "/")
		_, leaf := w.at(t, w.leaf, "/")
		if root.Get("Sluice-Offset") != leaf.Get("Sluice-Offset") {
			t.Errorf("a new epoch reaches the leaf: %s at the root, %s there", root.Get("Sluice-Offset"), leaf.Get("Sluice-Offset"))
		}
		w.replace(t, tr, func() { say(t, w.source, 20, 30) })
		say(t, w.source, 30, 40)
		client.Want("everything arrives, once and in order", numbered(20, 40)...)
	})
}

// The root is what is lost: there is nothing to go on with, so those below begin
// a new epoch, and their clients stay.
func TestFanoutTreeLosesItsRoot(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		source := testkit.Listen(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		start := func() *testkit.App {
			return testkit.Start(t, tr, testkit.Feed{Top: `listen: "` + address + `"`, Sources: []string{source.URL()}}.String())
		}
		root := start()
		leaf := &feed{App: testkit.Start(t, tr, testkit.Feed{Sources: []string{"ws://" + address}}.String())}
		client := leaf.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		leg := source.Connect(t, "the first client opens all of it")
		epoch, _ := offset(t, client.WantUpgraded("and is let in"))
		say(t, leg, 0, 10, client)
		root.Stop()
		start()
		leg = source.Connect(t, "another root is asked and dials")
		say(t, leg, 10, 20, client)
		other, h := leaf.join(t, "/?sluice_from="+epoch+"-8")
		other.Want("what the leaf has it has", numbered(8, 20)...)
		if h.Get("Sluice-Offset") != epoch+"-8" {
			t.Errorf("under the numbers that it had: got %q", h.Raw)
		}
		_, h = leaf.join(t, "/")
		if e, n := offset(t, h); e == epoch || n != "10" {
			t.Errorf("what came since has another epoch: got %s-%s", e, n)
		}
	})
}

// A middle that comes late asks for all the past before it lets anybody in.
func TestFanoutTreeGrowsLate(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "history: {messages: 100}"})
		first, leg := f.open(t)
		say(t, leg, 0, 250, first)
		edge := &feed{App: testkit.Start(t, tr, testkit.Feed{Sources: []string{"ws://" + f.Addr().String()}}.String())}
		_, h := f.join(t, "/")
		epoch, _ := offset(t, h)
		for n, past := range map[string][]testkit.Frame{"180": numbered(180, 250), "150": numbered(150, 250), "": nil} {
			target := "/"
			if n != "" {
				target = fmt.Sprintf("/?sluice_from=%s-%s", epoch, n)
			}
			client, h := edge.join(t, target)
			client.Want("the past is there, from "+target, past...)
			if n == "" {
				n = "250"
			}
			if got := h.Get("Sluice-Offset"); got != epoch+"-"+n {
				t.Errorf("at its place: want %s-%s, got %s", epoch, n, got)
			}
		}
		client, _ := edge.join(t, "/")
		say(t, leg, 250, 255, first, client)
	})
}
