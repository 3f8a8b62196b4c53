package bench

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// serve runs a server on a free port and gives its URL.
func serve(t *testing.T, build func(*loop.Group, ServerOptions) *Server, o ServerOptions) string {
	t.Helper()
	g, err := loop.Start(loop.Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = build(g, o).Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done; g.Stop() })
	return "ws://" + l.Addr().String()
}

func TestEchoCountsAgree(t *testing.T) {
	url := serve(t, EchoServer, ServerOptions{})
	for _, o := range []EchoOptions{{Inflight: 1, Size: 8}, {Inflight: 4, Size: 100, Text: true}, {Inflight: 2, Size: 70_000}} {
		o.Options = Options{URL: url, Connections: 5, Duration: 100 * time.Millisecond, Loops: 1}
		r, err := Echo(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Err(); err != nil || r.Count == 0 || r.Latency == nil {
			t.Errorf("%d bytes: %v, %+v", o.Size, err, r)
		}
	}
}

func TestAServerThatDoesNotEchoIsAMismatch(t *testing.T) {
	url := serve(t, Source, ServerOptions{Rate: 100, Size: 20})
	r, err := Echo(t.Context(), EchoOptions{Size: 100, Options: Options{URL: url, Connections: 1, Duration: 100 * time.Millisecond, Loops: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var m *Mismatch
	if !errors.As(r.Err(), &m) || m.ExitCode() != 2 {
		t.Fatalf("a source was taken for an echo server: %v", r.Err())
	}
}

func TestHandshakesAndIdleCountsAgree(t *testing.T) {
	url := serve(t, EchoServer, ServerOptions{Greeting: []byte("hello")})
	o := Options{URL: url, Connections: 4, Duration: 100 * time.Millisecond, Loops: 1}
	r, err := Handshake(t.Context(), HandshakeOptions{Options: o})
	if err != nil || r.Err() != nil || r.Count == 0 {
		t.Errorf("handshakes: %v, %+v", err, r)
	}
	r, err = Idle(t.Context(), IdleOptions{Options: o})
	if err != nil || r.Err() != nil || r.Received != 4 {
		t.Errorf("idle: %v, %+v", err, r)
	}
}

func TestSessionsThatComeAndGoAgree(t *testing.T) {
	url := serve(t, EchoServer, ServerOptions{Greeting: []byte("hello")})
	o := ChurnOptions{Messages: 3, Size: 100, Options: Options{URL: url, Connections: 5, Duration: 200 * time.Millisecond, Loops: 2}}
	r, err := Churn(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil || r.Count <= 5 || r.Latency == nil || r.Handshake == nil {
		t.Errorf("%v, %+v", err, r)
	}
	if r.Expected%3 != 0 || r.Expected < 3*r.Count {
		t.Errorf("%d messages in %d sessions of 3 each", r.Expected, r.Count)
	}
}

func TestASessionThatFailsIsNotOpenedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	o := ChurnOptions{Messages: 1, Size: 8, Options: Options{URL: "ws://" + l.Addr().String(), Connections: 3, Duration: 50 * time.Millisecond, Loops: 1}}
	r, err := Churn(t.Context(), o)
	if err != nil || r.Errors != 3 || r.Err() == nil {
		t.Fatalf("nobody listens to three sessions: %v, %+v", err, r)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Echo(t.Context(), EchoOptions{Size: 8, Options: Options{URL: "ws://" + l.Addr().String(), Connections: 1, Loops: 1}}); err == nil {
		t.Fatal("nobody listens, and no error")
	}
}
