package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// serve listens on a free port of this machine and gives each connection to f.
func serve(t *testing.T, f func(net.Conn)) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				f(c)
			})
		}
	})
	stop = sync.OnceFunc(func() {
		l.Close()
		wg.Wait()
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// probe probes the instance at that URL once.
func probe(t *testing.T, u string, h config.Health) error {
	t.Helper()
	s, _ := newSet()
	i := newPool(t, s, u).Instances()[0]
	before := i.dial
	p := &prober{i: i, cfg: h}
	err := p.once(t.Context())
	if i.dial != before {
		t.Errorf("the probe changed where sessions go, to %+v", i.dial)
	}
	return err
}

func TestTCPProbe(t *testing.T) {
	address, stop := serve(t, func(c net.Conn) {
		if p, _ := io.ReadAll(c); len(p) > 0 {
			t.Errorf("it says %q, and is to connect alone", p)
		}
	})
	h := config.Health{Probe: "tcp", Timeout: 5 * time.Second}
	if err := probe(t, "ws://"+address, h); err != nil {
		t.Errorf("with a listener there: %v", err)
	}
	stop()
	if err := probe(t, "ws://"+address, h); Reason(err) != ReasonRefused {
		t.Errorf("with nobody there: %v", err)
	}
	if err := probe(t, "ws+unix:"+t.TempDir()+"/none.sock", h); Reason(err) != ReasonRefused {
		t.Errorf("with no socket there: %v", err)
	}
}

func TestUnixProbe(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := probe(t, "ws+unix:"+path, config.Health{Probe: "tcp", Timeout: 5 * time.Second}); err != nil {
		t.Errorf("with a socket there: %v", err)
	}
}

func TestHandshakeProbe(t *testing.T) {
	const upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	for _, c := range []struct {
		name   string
		answer func(key string) string
		up     bool
	}{
		{"a 101", func(key string) string { return upgrade + handshake.AcceptKey(key) + "\r\n\r\n" }, true},
		{"a 101 and a greeting", func(key string) string { return upgrade + handshake.AcceptKey(key) + "\r\n\r\n\x81\x02hi" }, true},
		{"a 101 that anybody could give", func(key string) string { return upgrade + "x\r\n\r\n" }, false},
		{"404: it is there", func(string) string { return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" }, true},
		{"401: it is there", func(string) string { return "HTTP/1.1 401 Unauthorized\r\n\r\n" }, true},
		{"499: it is there", func(string) string { return "HTTP/1.1 499 x\r\n\r\n" }, true},
		{"500", func(string) string { return "HTTP/1.1 500 Internal Server Error\r\n\r\n" }, false},
		{"503", func(string) string { return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" }, false},
		{"another protocol", func(string) string { return "SSH-2.0-OpenSSH_9.9\r\n\r\n" }, false},
		{"nothing, and the end", func(string) string { return "" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			after := make(chan []byte, 1)
			address, _ := serve(t, func(conn net.Conn) {
				in := bufio.NewReader(conn)
				r, err := http.ReadRequest(in)
				if err != nil {
					t.Errorf("what comes is no request: %v", err)
					return
				}
				if _, refusal := handshake.Judge(&handshake.Request{Method: r.Method, Major: 1, Minor: 1, Header: r.Header}); refusal != nil || r.RequestURI != "/app/health?x=1" || r.Host != conn.LocalAddr().String() {
					t.Errorf("the probe asks %s of %s: %v", r.RequestURI, r.Host, refusal)
				}
				answer := c.answer(r.Header.Get("Sec-Websocket-Key"))
				if io.WriteString(conn, answer); answer != "" {
					rest, _ := io.ReadAll(in)
					after <- rest
				}
			})
			err := probe(t, "ws://"+address+"/app", config.Health{Probe: "handshake", Path: "/health?x=1", Timeout: 5 * time.Second})
			if c.up != (err == nil) {
				t.Errorf("the probe finds %v", err)
			}
			if strings.HasPrefix(c.name, "a 101") && c.up {
				wantClose(t, <-after)
			}
		})
	}
}

// wantClose checks that a session opened by a probe is closed in good order.
func wantClose(t *testing.T, p []byte) {
	t.Helper()
	ps := ws.Parser{Masked: true}
	piece, err := ps.Next(p)
	if err != nil || piece.N != len(p) || ps.Header.Opcode != ws.CloseFrame {
		t.Fatalf("behind the handshake comes % x: %+v, %v", p, piece, err)
	}
	body := p[piece.Head:]
	ws.Mask(body, ps.Header.Key, 0)
	if code, _, err := ws.ParseClose(body); code != ws.CodeNormal || err != nil {
		t.Errorf("it closes with %d, %v", code, err)
	}
}

func TestProbeOfTheSilent(t *testing.T) {
	address, _ := serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	err := probe(t, "ws://"+address, config.Health{Probe: "handshake", Path: "/", Timeout: 30 * time.Millisecond})
	if Reason(err) != ReasonTimeout {
		t.Errorf("who takes the connection and says nothing is found with %v", err)
	}
}

// running runs a set until the test ends.
func running(t *testing.T, s *Set) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		s.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// TestProbesFollowAnInstance down and up again.
func TestProbesFollowAnInstance(t *testing.T) {
	address, stop := serve(t, func(c net.Conn) {})
	s, w := newSet()
	cfg := &config.Pool{Name: "p", Upstreams: []*config.Upstream{upstreamAt(t, "ws://"+address)},
		Health: config.Health{Probe: "tcp", Interval: 2 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 3}}
	p, err := s.Add(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Ready() {
		t.Error("an instance is not trusted before its first probe")
	}
	stop()
	running(t, s)
	if got := <-w; got != "down ws://"+address || p.Ready() {
		t.Errorf("with nobody there: %q, ready %v", got, p.Ready())
	}
	if v := p.Instances()[0].view(1); !strings.HasPrefix(v.Why, "tcp probe: ") {
		t.Errorf("it is down because of %q", v.Why)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("another has taken the port meanwhile: %v", err)
	}
	defer l.Close()
	if got := <-w; got != "up ws://"+address || !p.Ready() {
		t.Errorf("with somebody there again: %q, ready %v", got, p.Ready())
	}
}

// TestNoProbesOfALeaver: its prober ends with it.
func TestNoProbesOfALeaver(t *testing.T) {
	address, _ := serve(t, func(c net.Conn) {})
	s, w := newSet()
	cfg := &config.Pool{Name: "p", Upstreams: []*config.Upstream{upstreamAt(t, "ws://"+address)},
		Health: config.Health{Probe: "tcp", Interval: time.Hour, Timeout: time.Second, Rise: 2, Fall: 3}}
	p, err := s.Add(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.mu.Lock()
	s.ctx = ctx // as in Run
	s.startProbes(p.Instances()[0], cfg)
	s.mu.Unlock()
	s.change(p, cfg, false, nil)
	s.wg.Wait() // hangs if the prober goes on
	wantHeard(t, w, "leaving", "removed ws://"+address)
}

// TestProbeNone: an instance that is not to be probed stays as it is.
func TestProbeNone(t *testing.T) {
	s, _ := newSet()
	s.ctx = t.Context()
	i := newPool(t, s, "ws://10.0.0.1:9000").Instances()[0]
	for _, h := range []config.Health{{Probe: "none", Interval: time.Second}, {Probe: "tcp"}} {
		if s.startProbes(i, &config.Pool{Health: h}); i.stop != nil {
			t.Errorf("%+v starts a prober", h)
		}
	}
}

// TestProbeNamesTheHost: also of an instance that another pool knew first.
func TestProbeNamesTheHost(t *testing.T) {
	hosts := make(chan string, 1)
	address, _ := serve(t, func(c net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			select {
			case hosts <- r.Host:
			default:
			}
		}
	})
	s, _ := newSet()
	newPool(t, s, "ws://"+address) // not probed
	_, err := s.Add(t.Context(), &config.Pool{Name: "second", Upstreams: []*config.Upstream{upstreamAt(t, "ws://"+address)},
		Health: config.Health{Probe: "handshake", Path: "/", Interval: time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 3}})
	if err != nil {
		t.Fatal(err)
	}
	running(t, s)
	if got := <-hosts; got != address {
		t.Errorf("the probe's Host is %q, want %q", got, address)
	}
}

// TestLocalhostIsOne: its addresses are one server's, and the one that answers
// is taken.
func TestLocalhostIsOne(t *testing.T) {
	address, _ := serve(t, func(c net.Conn) {})
	_, port, _ := net.SplitHostPort(address)
	got, err := lookUp(t.Context(), upstreamAt(t, "ws://localhost:"+port))
	if err != nil {
		t.Skipf("this machine has no localhost: %v", err)
	}
	if len(got) != 1 || got[0] != netip.MustParseAddrPort(address) {
		t.Errorf("localhost is %v, want %s alone", got, address)
	}
}
