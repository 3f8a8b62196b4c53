package conformance

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A wire carries connections to an address as TCP does, counts them, and can
// be cut.
type wire struct {
	listener net.Listener

	mu    sync.Mutex
	to    string
	count int
	up    map[net.Conn]bool // both ends of each
}

// lay gives a wire to that address, which can be changed later.
func lay(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to, up: map[net.Conn]bool{}}
	go w.serve()
	t.Cleanup(func() {
		l.Close()
		w.cut()
	})
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) serve() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		w.count++
		to := w.to
		w.mu.Unlock()
		go w.carry(near, to)
	}
}

func (w *wire) carry(near net.Conn, to string) {
	defer near.Close()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	w.mu.Lock()
	w.up[near], w.up[far] = true, true
	w.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			io.Copy(way[0], way[1])
			way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
	w.mu.Lock()
	delete(w.up, near)
	delete(w.up, far)
	w.mu.Unlock()
}

// cut breaks what is up, wherever in a message it is.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.up {
		c.Close()
	}
}

// turn has connections from now on go elsewhere.
func (w *wire) turn(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

func (w *wire) made() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}
