package testkit

import (
	"cmp"
	"strings"
	"testing"
	"time"
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
		err = leg.TrySend([]byte(Answer(head)))
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

// Next gives what comes next.
func (f *Fleet) Next(t testing.TB, sentence string) Heard {
	t.Helper()
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

// Enter has a client enter, and gives the leg that its session begins with.
func (f *Fleet) Enter(t testing.TB, a *App) (client *Peer, home Heard) {
	t.Helper()
	client = a.Dial(t)
	client.SendString(Upgrade("/"))
	home = f.Next(t, "an upgrade reaches an instance")
	client.WantUpgraded("the client is upgraded")
	return client, home
}
