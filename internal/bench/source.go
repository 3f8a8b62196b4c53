package bench

import (
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// Source makes a server that sends every client stamped messages at a rate,
// numbered from 0.
func Source(g *loop.Group, o ServerOptions) *Server {
	s := EchoServer(g, o)
	s.feed = newFeed(&o, len(g.Loops()))
	for i, l := range g.Loops() {
		s.feed.beats[i].loop = l
	}
	return s
}

// feed paces a source: a loop's timers are too coarse for a thousand messages
// a second.
type feed struct {
	script
	each  time.Duration // a message, on average
	burst int
	beats []beat // a loop each
}

// beat sends what is due to the clients of one loop.
type beat struct {
	// Set once, then read-only.
	feed *feed
	loop *loop.Loop

	posted atomic.Bool // and has not run

	// Owned by the loop.
	listeners []*serverConn
}

func newFeed(o *ServerOptions, loops int) *feed {
	f := &feed{script: newScript(o.Form, o.Size), each: time.Second / time.Duration(max(o.Rate, 1)), burst: max(o.Burst, 1), beats: make([]beat, loops)}
	for i := range f.beats {
		f.beats[i].feed = f
	}
	return f
}

const beatEvery = time.Millisecond

// start sets the pace until stop is called.
func (f *feed) start(s *Server) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); f.pace(s, end) }()
	return func() { close(end); <-ended }
}

func (f *feed) pace(s *Server, end <-chan struct{}) {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		select {
		case <-end:
			return
		case <-t.C:
		}
		if s.Clients() == 0 {
			continue
		}
		for i := range f.beats {
			if b := &f.beats[i]; b.posted.CompareAndSwap(false, true) {
				b.loop.Post(b)
			}
		}
	}
}

// Run sends what is due.
func (b *beat) Run(l *loop.Loop) {
	b.posted.Store(false)
	live := b.listeners[:0]
	for _, c := range b.listeners {
		if c.conn.Live() && !c.closed {
			b.feed.say(c, l.Now())
			live = append(live, c)
		}
	}
	clear(b.listeners[len(live):])
	b.listeners = live
}

// say sends a client what is due. One that can't follow sees the numbers stand
// still, not jump.
func (f *feed) say(c *serverConn, now time.Duration) {
	if c.next > now || c.conn.Full() {
		return
	}
	sent := time.Now().UnixNano()
	c.out = c.out[:0]
	for ; c.next <= now && len(c.out) < 64<<10; c.next += f.each * time.Duration(f.burst) {
		for range f.burst {
			c.out = f.append(c.out, c.number, sent)
			c.number++
		}
	}
	c.conn.Write(c.out)
}
