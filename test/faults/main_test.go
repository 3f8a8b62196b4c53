package faults_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// raceDetector tells that it is built in.
var raceDetector bool

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		echoForEver()
	}
	testkit.Main(m)
}

// streamOnly tells that the raw transport is not built.
var streamOnly = len(testkit.Transports) == 1

// quick are timeouts that a fault trips soon.
const quick = "handshake: 300ms, dial: 300ms, ping: 100ms, pong: 300ms, write: 400ms, frame: 400ms, close: 200ms"

// fault runs f once a transport beside a session that must not feel it, and
// sees that nothing of it is left while the proxy runs on. Not in parallel:
// descriptors and goroutines are counted.
func fault(t *testing.T, c testkit.Config, f func(t *testing.T, b *bench)) {
	for _, tr := range testkit.Transports {
		t.Run(string(tr), func(t *testing.T) {
			in := testkit.Listen(t)
			c := c
			c.Upstreams = append([]string{in.URL()}, c.Upstreams...)
			if c.Timeouts == "" {
				c.Timeouts = quick
			}
			a := testkit.Start(t, tr, c.String())
			b := &bench{a, in}
			b.open(t).end() // what a first session makes once is there
			a.WantNoSessions(t, "the first session is over")
			before := testkit.Now()
			f(t, b)
			a.WantNoSessions(t, "no session is left")
			before.WantBack(t, "no descriptor and no goroutine is left")
		})
	}
}

// bench is a proxy and an instance of the test's own.
type bench struct {
	*testkit.App
	in *testkit.Instance
}

// pair is a session: a client that answers pings, and an instance that echoes
// what it gets.
type pair struct {
	t      *testing.T
	client *testkit.Peer
	got    chan testkit.Frame // what the client gets, save pings; closed at its end
	ended  chan struct{}      // the instance's end
}

// open begins a session with an echo.
func (b *bench) open(t *testing.T) *pair {
	t.Helper()
	client, leg := testkit.Open(t, b.App, b.in)
	p := newPair(t, client)
	go p.echo(leg)
	return p
}

func newPair(t *testing.T, client *testkit.Peer) *pair {
	p := &pair{t: t, client: client, got: make(chan testkit.Frame, 64), ended: make(chan struct{})}
	go p.read()
	return p
}

func (p *pair) read() {
	defer close(p.got)
	for {
		f, err := p.client.Next()
		switch {
		case err != nil:
			return
		case f.Op == ws.Ping:
			_ = p.client.TrySend(p.client.Bytes(testkit.Pong(f.Payload)))
		default:
			p.got <- f
		}
	}
}

func (p *pair) echo(leg *testkit.Peer) {
	defer close(p.ended)
	defer leg.Close()
	for {
		f, err := leg.Next()
		if err != nil {
			return
		}
		if f.Op == ws.Ping {
			f.Op = ws.Pong
		}
		if leg.TrySend(leg.Bytes(f)) != nil || f.Op == ws.CloseFrame {
			return
		}
	}
}

// say sends a message and wants it back.
func (p *pair) say(sentence, text string) {
	p.t.Helper()
	p.client.Send(testkit.Text(text))
	if f := <-p.got; f != testkit.Text(text) {
		p.t.Fatalf("%s: want %q back, got %v", sentence, text, f)
	}
}

// wantClose wants a close, answers it and wants the end.
func (p *pair) wantClose(sentence string, code uint16) {
	p.t.Helper()
	f := <-p.got
	if f.Op != ws.CloseFrame || !strings.HasPrefix(f.Payload, testkit.Close(code, "").Payload) {
		p.t.Fatalf("%s: want a close with %d, got %v", sentence, code, f)
	}
	_ = p.client.TrySend(p.client.Bytes(testkit.Close(code, "")))
	if f, more := <-p.got; more {
		p.t.Fatalf("%s: nothing behind the close: got %v", sentence, f)
	}
	p.client.Close()
}

// end closes the session from the client.
func (p *pair) end() {
	p.t.Helper()
	p.client.Send(testkit.Close(1000, ""))
	p.wantClose("the close comes back", 1000)
	<-p.ended
}
