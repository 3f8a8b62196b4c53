package testkit

import (
	"cmp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// Scatter is a configuration with one route that scatters, called r.
type Scatter struct {
	Top       string   // whole lines beside routes
	Route     string   // lines of the route, indented by four
	Upstreams []string // URLs
	Timeouts  string
	Limits    string
	Health    string
	Scatter   string // send: …, gather: …
}

// String gives the YAML.
func (c Scatter) String() string {
	health := cmp.Or(c.Health, "probe: none")
	y := beginning(c.Top, c.Route, c.Timeouts, c.Limits)
	y += `    scatter: {upstreams: ["` + strings.Join(c.Upstreams, `", "`) + `"], health: {` + health + `}, failover: {spread: 0s}`
	if c.Scatter != "" {
		y += ", " + c.Scatter
	}
	return y + "}\n"
}

// Fleet is instances that upgrade whoever comes and tell, in the order in which
// it comes, what they hear.
type Fleet struct {
	Instances []*Instance
	heard     chan Heard
	later     []Heard // what was passed over and is still to be told
	answer    atomic.Pointer[func(at int, h *Head) string]
}

// Heard is something that came to an instance of a fleet: a new leg, a frame, or
// a leg's end.
type Heard struct {
	At    int // the instance's number
	Leg   *Peer
	Head  *Head // of a new leg's request; nil for what comes behind it
	Frame Frame
	Ended bool // the leg has
}

// NewFleet makes n instances.
func NewFleet(t testing.TB, n int) *Fleet {
	t.Helper()
	f := &Fleet{heard: make(chan Heard, 4096)}
	for range n {
		f.Add(t)
	}
	return f
}

// Add makes another instance.
func (f *Fleet) Add(t testing.TB) *Instance {
	t.Helper()
	in := Listen(t)
	f.Instances = append(f.Instances, in)
	go f.accept(t, in, len(f.Instances)-1)
	return in
}

// accept takes legs until the instance is closed.
func (f *Fleet) accept(t testing.TB, in *Instance, at int) {
	for {
		leg, err := in.Next(t)
		if err != nil {
			return
		}
		go f.serve(leg, at)
	}
}

// serve upgrades a leg and tells what it says.
func (f *Fleet) serve(leg *Peer, at int) {
	head, err := leg.NextHead()
	if err == nil {
		answer := Answer(head)
		if how := f.answer.Load(); how != nil {
			answer = (*how)(at, head)
		}
		err = leg.TrySend([]byte(answer))
	}
	if err != nil {
		leg.Close()
		return
	}
	f.heard <- Heard{At: at, Leg: leg, Head: head}
	for {
		frame, err := leg.Next()
		if err != nil {
			f.heard <- Heard{At: at, Leg: leg, Ended: true}
			return
		}
		f.heard <- Heard{At: at, Leg: leg, Frame: frame}
	}
}

// URLs are the instances', in order.
func (f *Fleet) URLs() (urls []string) {
	for _, in := range f.Instances {
		urls = append(urls, in.URL())
	}
	return urls
}

// Answer has instances answer legs that come from now on in another way than
// with a good 101.
func (f *Fleet) Answer(how func(at int, h *Head) string) { f.answer.Store(&how) }

// Next gives what comes next.
func (f *Fleet) Next(t testing.TB, sentence string) Heard {
	t.Helper()
	if len(f.later) > 0 {
		h := f.later[0]
		f.later = f.later[1:]
		return h
	}
	select {
	case h := <-f.heard:
		return h
	case <-time.After(patience):
		t.Fatalf("%s: the instances hear nothing for %v", sentence, patience)
		return Heard{}
	}
}

// Want gives where the next message comes to, which is to be this one. New legs
// that are made for it are passed over.
func (f *Fleet) Want(t testing.TB, sentence string, want Frame) Heard {
	t.Helper()
	for {
		h := f.Next(t, sentence)
		switch {
		case h.Head != nil:
		case h.Ended:
			t.Fatalf("%s: want %v, but a leg of instance %d ended", sentence, want, h.At)
		case h.Frame != want:
			t.Fatalf("%s: want %v, instance %d got %v", sentence, want, h.At, h.Frame)
		default:
			return h
		}
	}
}

// Until passes over what comes until it is what is wanted.
func (f *Fleet) Until(t testing.TB, sentence string, wanted func(Heard) bool) Heard {
	t.Helper()
	for {
		if h := f.Next(t, sentence); wanted(h) {
			return h
		}
	}
}

// Find is Until that forgets nothing: what it passes over comes afterwards. What
// happens at several instances has no order.
func (f *Fleet) Find(t testing.TB, sentence string, wanted func(Heard) bool) Heard {
	t.Helper()
	var passed []Heard
	h := f.Until(t, sentence, func(h Heard) bool {
		if wanted(h) {
			return true
		}
		passed = append(passed, h)
		return false
	})
	f.later = append(passed, f.later...)
	return h
}

// Message gives the next message, wherever it comes to. Legs that begin or end
// are passed over, and so are closes.
func (f *Fleet) Message(t testing.TB, sentence string) Heard {
	t.Helper()
	return f.Until(t, sentence, func(h Heard) bool { return h.Head == nil && !h.Ended && h.Frame.Op < ws.CloseFrame })
}

// WantLeft waits until a leg is told a close of this code. Nothing else may come
// to it before that.
func (f *Fleet) WantLeft(t testing.TB, sentence string, leg *Peer, code uint16) {
	t.Helper()
	h := f.Find(t, sentence, func(h Heard) bool { return h.Leg == leg && h.Head == nil })
	if h.Frame != Close(code, "") {
		t.Fatalf("%s: want a close with %d, instance %d got %v (ended: %v)", sentence, code, h.At, h.Frame, h.Ended)
	}
}

// Enter has a client enter, and gives the leg that its session begins with.
func (f *Fleet) Enter(t testing.TB, a *App) (client *Peer, home Heard) {
	t.Helper()
	client = a.Dial(t)
	client.SendString(Upgrade("/"))
	home = f.Next(t, "an upgrade reaches an instance")
	client.WantUpgraded("the client is upgraded")
	return client, home
}
