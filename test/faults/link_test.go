package faults_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// link stands on the way to a target and carries connections there, each after
// a script of its own. It neither alters, drops nor reorders bytes, except that
// a blow ends their flow.
type link struct {
	// Set once, then read-only.
	l      net.Listener // open makes it, unless it is given
	target string
	narrow bool // small windows and small segments, both sides
	tight  bool // and little room for what who dialled does not read
	// server tells that the target is the proxy, not who dials: a reset of
	// the proxy's is passed on as FIN, behind all that it had sent.
	server bool
	// choose gives the script for a connection that begins with this line,
	// or nil for one that is to be reset. It is called by many goroutines.
	choose func(line string) *pass

	carrying sync.WaitGroup

	mu     sync.Mutex       // guards passes
	passes map[string]*pass // that an instance has yet to ask for, by the address that it sees
}

// Bytes of a window, and of a segment, of a narrow link. The loopback's own
// segments are larger than such a window. What the link itself may have under
// way stays large: with little of that, single bytes wait for acknowledgements.
const (
	tinyWindow  = 4 << 10
	tinySegment = 536
	tightRoom   = 32 << 10
)

// narrowed makes a socket's windows and segments small before it is connected.
func narrowed(_, _ string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) {
		for _, o := range [][3]int{
			{syscall.SOL_SOCKET, syscall.SO_RCVBUF, tinyWindow}, {syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, tinySegment},
		} {
			if err == nil {
				err = syscall.SetsockoptInt(int(fd), o[0], o[1], o[2])
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// open begins to carry connections.
func (k *link) open(t testing.TB) *link {
	t.Helper()
	var cfg net.ListenConfig
	if k.narrow {
		cfg.Control = narrowed
	}
	k.passes = map[string]*pass{}
	if k.l == nil {
		l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("link: %v", err)
		}
		k.l = l
	}
	k.carrying.Go(k.serve)
	return k
}

// close stops listening, and waits for the connections that are under way: it
// is their ends that end them.
func (k *link) close() {
	k.l.Close()
	k.carrying.Wait()
}

func (k *link) addr() net.Addr { return k.l.Addr() }

func (k *link) url() string { return "ws://" + k.l.Addr().String() }

func (k *link) serve() {
	for {
		c, err := k.l.Accept()
		if err != nil {
			return
		}
		k.carrying.Go(func() { k.carry(c.(*net.TCPConn)) })
	}
}

// carry is the life of one connection.
func (k *link) carry(near *net.TCPConn) {
	defer near.Close()
	first, line := firstLine(near)
	p := k.choose(line)
	if p == nil {
		_ = near.SetLinger(0)
		return
	}
	defer close(p.done)
	d := net.Dialer{Timeout: patience}
	if k.narrow {
		d.Control = narrowed
	}
	c, err := d.Dial("tcp", k.target)
	if err != nil {
		p.note("no connection to the target: %v", err)
		_ = near.SetLinger(0)
		return
	}
	defer c.Close()
	if k.tight {
		_ = near.SetWriteBuffer(tightRoom)
	}
	p.near, p.far = near, c.(*net.TCPConn)
	if p.proxy = p.near; k.server {
		p.proxy = p.far
	}
	if !k.server {
		k.mu.Lock()
		k.passes[c.LocalAddr().String()] = p
		k.mu.Unlock()
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(there, p.near, p.far, first) })
	pumps.Go(func() { p.pump(back, p.far, p.near, nil) })
	pumps.Wait()
}

// firstLine reads what there is up to the end of a line, which names the
// session. Nothing of it has passed yet.
func firstLine(c net.Conn) (first []byte, line string) {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	defer c.SetReadDeadline(time.Time{})
	room := make([]byte, 16<<10)
	n := 0
	for n < len(room) {
		k, err := c.Read(room[n:])
		n += k
		if line, _, whole := strings.Cut(string(room[:n]), "\n"); whole || err != nil {
			return room[:n], line
		}
	}
	return room, ""
}

// from gives the connection that an instance knows by its peer's address, once,
// when that has read from it or has seen its end.
func (k *link) from(at net.Addr) *pass {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.passes[at.String()]
	delete(k.passes, at.String())
	return p
}

// pass is one connection through a link.
type pass struct {
	// Set once, then read-only.
	script
	// orphan tells of a connection from which everything has vanished that
	// nobody is there to release it.
	orphan func() bool
	done   chan struct{} // closed when both sides are
	began  time.Time
	freed  chan struct{} // closed by release

	near, far, proxy *net.TCPConn // who dialled, the target, and which of them the proxy has

	fallen chan struct{} // closed when the blow falls
	frozen atomic.Bool   // nothing passes any more
	free   sync.Once

	mu      sync.Mutex // guards history
	history []string
}

func newPass(s script, orphan func() bool) *pass {
	return &pass{script: s, orphan: orphan, done: make(chan struct{}), began: time.Now(),
		freed: make(chan struct{}), fallen: make(chan struct{})}
}

// struck tells whether the blow has fallen.
func (p *pass) struck() bool {
	select {
	case <-p.fallen:
		return true
	default:
		return false
	}
}

// release lets a connection end from which everything has vanished.
func (p *pass) release() { p.free.Do(func() { close(p.freed) }) }

func (p *pass) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history = append(p.history, fmt.Sprintf("%.3f s: ", time.Since(p.began).Seconds())+fmt.Sprintf(format, args...))
}

// String tells what the script is and what came of it.
func (p *pass) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%v; %s", p.script, strings.Join(p.history, "; "))
}
