package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// transports runs a test on each transport that there is here.
func transports(t *testing.T, test func(t *testing.T, g *Group)) {
	for _, stream := range []bool{false, true} {
		name := "raw"
		if stream {
			name = "stream"
		} else if !rawAvailable {
			continue
		}
		t.Run(name, func(t *testing.T) {
			g, err := Start(Options{Loops: 2, Stream: stream})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(g.Stop)
			test(t, g)
		})
	}
}

// pair gives two ends of a TCP connection.
func pair(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	_ = a.SetDeadline(time.Now().Add(20 * time.Second))
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// scripted is a handler made of functions; those that are nil do nothing.
type scripted struct {
	conn    Conn
	data    func(c *Conn, p []byte) int
	eof     func(c *Conn)
	drained func(c *Conn)
	failed  func(c *Conn, err error)
}

func (s *scripted) Data(c *Conn, p []byte) int {
	if s.data == nil {
		return len(p)
	}
	return s.data(c, p)
}
func (s *scripted) EOF(c *Conn) {
	if s.eof != nil {
		s.eof(c)
	}
}
func (s *scripted) Drained(c *Conn) {
	if s.drained != nil {
		s.drained(c)
	}
}
func (s *scripted) Failed(c *Conn, err error) {
	if s.failed != nil {
		s.failed(c, err)
	}
}

// do runs f on a loop and waits for it.
type do struct {
	f    func(l *Loop)
	done chan struct{}
}

func (d *do) Run(l *Loop) {
	d.f(l)
	close(d.done)
}

func on(l *Loop, f func(l *Loop)) {
	d := &do{f, make(chan struct{})}
	l.Post(d)
	<-d.done
}

// attach gives there to a loop.
func attach(t *testing.T, g *Group, conn net.Conn, rest []byte, s *scripted) *Loop {
	t.Helper()
	taken, err := g.Take(conn, rest)
	if err != nil {
		t.Fatal(err)
	}
	l := g.Pick()
	on(l, func(l *Loop) {
		if err := l.Attach(&s.conn, s, taken); err != nil {
			t.Error(err)
		}
	})
	return l
}

func echo() *scripted {
	s := &scripted{}
	s.data = func(c *Conn, p []byte) int {
		c.Write(p)
		if c.Full() {
			c.Pause()
		}
		return len(p)
	}
	s.drained = func(c *Conn) { c.Resume() }
	s.eof = func(c *Conn) { c.CloseWrite() }
	return s
}

func TestEchoKeepsEveryByte(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		here, there := pair(t)
		attach(t, g, there, []byte("first, "), echo())
		want := append([]byte("first, "), bytes.Repeat([]byte("0123456789abcdef"), 1<<17)...) // 2 MiB: more than a socket holds
		go func() {
			_, _ = here.Write(want[len("first, "):])
			_ = here.CloseWrite()
		}()
		got, err := io.ReadAll(here)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back, %d were sent, or they differ", len(got), len(want))
		}
	})
}

func TestBytesNotTakenAreShownAgainInFront(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		here, there := pair(t)
		lines := make(chan string, 16)
		s := &scripted{data: func(_ *Conn, p []byte) int {
			at := 0
			for {
				i := bytes.IndexByte(p[at:], '\n')
				if i < 0 {
					return at
				}
				lines <- string(p[at : at+i])
				at += i + 1
			}
		}}
		attach(t, g, there, []byte("he"), s)
		for _, part := range []string{"l", "lo\nwor", "ld\n", "a\nb\n"} {
			if _, err := here.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"hello", "world", "a", "b"} {
			if got := <-lines; got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

func TestAPausedConnectionIsNotRead(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		here, there := pair(t)
		var mu sync.Mutex
		var got []byte
		first, all := make(chan struct{}), make(chan struct{})
		s := &scripted{data: func(c *Conn, p []byte) int {
			mu.Lock()
			defer mu.Unlock()
			if len(got) == 0 {
				c.Pause()
				close(first)
				got = append(got, p[:1]...)
				return 1 // the rest is shown on Resume
			}
			got = append(got, p...)
			if len(got) == len("before after") {
				close(all)
			}
			return len(p)
		}}
		l := attach(t, g, there, nil, s)
		_, _ = here.Write([]byte("before "))
		<-first
		_, _ = here.Write([]byte("after"))
		on(l, func(*Loop) {}) // whatever came in the meantime has been served
		mu.Lock()
		if string(got) != "b" {
			t.Fatalf("a paused connection was shown %q", got)
		}
		mu.Unlock()
		on(l, func(*Loop) { s.conn.Resume() })
		<-all
		if string(got) != "before after" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestAResetIsToldOnceAndAPausedOneCostsNothing(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		here, there := pair(t)
		failed := make(chan error, 2)
		s := &scripted{failed: func(_ *Conn, err error) { failed <- err }}
		l := attach(t, g, there, nil, s)
		on(l, func(*Loop) { s.conn.Pause() })
		_ = here.SetLinger(0)
		here.Close()
		on(l, func(*Loop) {})
		on(l, func(*Loop) { s.conn.Resume() })
		if err := <-failed; !IsReset(err) {
			t.Fatalf("the peer reset the connection; told %v", err)
		}
		on(l, func(*Loop) {})
		if len(failed) != 0 {
			t.Fatal("told twice")
		}
	})
}

func TestDial(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddrPort(l.Addr().String())
		answered := make(chan string, 1)
		s := &scripted{data: func(_ *Conn, p []byte) int { answered <- string(p); return len(p) }}
		on(g.Loops()[0], func(l *Loop) { l.Dial(&s.conn, s, &Dial{Addr: at}, []byte("hello")) })
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := make([]byte, 5)
		if _, err := io.ReadFull(c, p); err != nil || string(p) != "hello" {
			t.Fatalf("the first bytes are %q, %v", p, err)
		}
		_, _ = c.Write([]byte("hi"))
		if got := <-answered; got != "hi" {
			t.Fatalf("answered %q", got)
		}
		l.Close()
		failed := make(chan error, 1)
		f := &scripted{failed: func(_ *Conn, err error) { failed <- err }}
		on(g.Loops()[0], func(l *Loop) { l.Dial(&f.conn, f, &Dial{Addr: at}, []byte("hello")) })
		if err := <-failed; err == nil {
			t.Fatal("nobody listens, and no error")
		}
	})
}

func TestAPanicEndsOneConnection(t *testing.T) {
	told := make(chan any, 1)
	g, err := Start(Options{Loops: 1, Panicked: func(v any, _ []byte) { told <- v }})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	here, there := pair(t)
	failed := make(chan error, 1)
	attach(t, g, there, nil, &scripted{
		data:   func(*Conn, []byte) int { panic("boom") },
		failed: func(_ *Conn, err error) { failed <- err },
	})
	other, otherThere := pair(t)
	attach(t, g, otherThere, nil, echo())
	_, _ = here.Write([]byte("x"))
	if v := <-told; v != "boom" {
		t.Fatalf("told %v", v)
	}
	if err := <-failed; !errors.Is(err, errPanic) {
		t.Fatalf("the handler was told %v", err)
	}
	_, _ = other.Write([]byte("y"))
	p := make([]byte, 1)
	if _, err := io.ReadFull(other, p); err != nil {
		t.Fatalf("the loop has died with it: %v", err)
	}
}

// What the writer has written without the loop knowing it does not keep a
// connection from ending in good order.
func TestCloseBehindWhatThePeerHasRead(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		here, there := pair(t)
		s := &scripted{}
		l := attach(t, g, there, nil, s)
		on(l, func(*Loop) {
			s.conn.Write([]byte("last"))
			if _, err := io.ReadFull(here, make([]byte, 4)); err != nil {
				t.Errorf("what was written: %v", err)
			}
			s.conn.Close()
		})
		if n, err := here.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("behind it the peer wants FIN, got %d bytes, %v", n, err)
		}
	})
}

// What is written right before the close comes, and then the end in good order.
func TestCloseBehindWhatWasJustWritten(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		for range 100 {
			here, there := pair(t)
			s := &scripted{}
			l := attach(t, g, there, nil, s)
			on(l, func(*Loop) {
				s.conn.Write([]byte("last"))
				s.conn.Close()
			})
			if p, err := io.ReadAll(here); err != nil || string(p) != "last" {
				t.Fatalf("the peer wants all of it and FIN, got %q, %v", p, err)
			}
		}
	})
}

// A peer that reads nothing does not keep a connection from ending.
func TestCloseOfAPeerThatDoesNotRead(t *testing.T) {
	transports(t, func(t *testing.T, g *Group) {
		here, there := pair(t)
		s := &scripted{}
		l := attach(t, g, there, nil, s)
		on(l, func(*Loop) { s.conn.Write(make([]byte, 64<<20)) }) // bytes; more than sockets hold
		on(l, func(*Loop) { s.conn.Close() })
		if n, err := io.Copy(io.Discard, here); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection wants its end, got %d bytes and then nothing", n)
		}
	})
}

func TestStopClosesWhatIsOpen(t *testing.T) {
	for _, stream := range []bool{false, true} {
		g, err := Start(Options{Loops: 1, Stream: stream})
		if err != nil {
			t.Fatal(err)
		}
		here, there := pair(t)
		attach(t, g, there, nil, echo())
		g.Stop()
		if _, err := here.Read(make([]byte, 1)); err == nil {
			t.Fatal("the connection outlived its loop")
		}
	}
}

// stub counts what expires.
type stub struct {
	at    []time.Duration
	again time.Duration
}

func (s *stub) Expire(now time.Duration) time.Duration {
	s.at = append(s.at, now)
	return s.again
}

func TestWheelFiresEachTimerOnceAndOnTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		type set struct {
			timer Timer
			stub  stub
			when  time.Duration
		}
		var sets []*set
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "arm") {
				s := &set{when: now + time.Duration(rapid.Int64Range(0, int64(30*time.Hour)).Draw(t, "after"))}
				sets = append(sets, s)
				w.arm(&s.timer, &s.stub, s.when)
				continue
			}
			now += time.Duration(rapid.Int64Range(0, int64(10*time.Hour)).Draw(t, "pass"))
			w.advance(now)
			for _, s := range sets {
				if due := s.when <= now-tick; due && len(s.stub.at) != 1 {
					t.Fatalf("due at %v, it is %v, fired %d times", s.when, now, len(s.stub.at))
				}
				if len(s.stub.at) > 0 && s.stub.at[0] < s.when-tick {
					t.Fatalf("due at %v, fired at %v", s.when, s.stub.at[0])
				}
			}
		}
		if until, ok := w.until(now); ok && until < 0 {
			t.Fatalf("sleep for %v", until)
		}
	})
}

func TestWheelArmsEarlierButNotLater(t *testing.T) {
	var w wheel
	var timer Timer
	s := &stub{}
	w.arm(&timer, s, time.Second)
	w.arm(&timer, s, time.Minute)
	w.advance(time.Second + tick)
	if len(s.at) != 1 {
		t.Fatal("a later time put an earlier one off")
	}
	w.arm(&timer, s, time.Hour)
	w.arm(&timer, s, 2*time.Second)
	w.advance(2*time.Second + tick)
	if len(s.at) != 2 {
		t.Fatal("an earlier time did not take")
	}
	w.arm(&timer, s, 3*time.Second)
	w.stop(&timer)
	w.advance(time.Hour)
	if len(s.at) != 2 || w.n != 0 {
		t.Fatal("a stopped timer fired, or is kept")
	}
}

// armer arms its timer for later while it asks to be called sooner.
type armer struct {
	w     *wheel
	timer Timer
	n     int
}

func (a *armer) Expire(now time.Duration) time.Duration {
	a.n++
	a.w.arm(&a.timer, a, now+time.Hour)
	return now + time.Second
}

func TestWheelTakesTheSoonerOfTwoWishes(t *testing.T) {
	var w wheel
	a := &armer{w: &w}
	w.arm(&a.timer, a, time.Second)
	for i := range 5 {
		w.advance(time.Duration(i+1)*time.Second + tick)
		if a.n != i+1 {
			t.Fatalf("after %d s called %d times", i+1, a.n)
		}
	}
}

func TestPostsKeepTheirOrder(t *testing.T) {
	g, err := Start(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	var got []int
	for i := range 1000 {
		g.Loops()[0].Post(&do{func(*Loop) { got = append(got, i) }, make(chan struct{})})
		if i%100 == 0 {
			runtime.Gosched()
		}
	}
	on(g.Loops()[0], func(*Loop) {})
	for i, v := range got {
		if i != v {
			t.Fatalf("post %d ran as number %d", v, i)
		}
	}
	if len(got) != 1000 {
		t.Fatalf("%d of 1000 posts ran", len(got))
	}
}
