package wire_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// bench is a proxy between a client and one instance.
type bench struct {
	*testkit.App
	in *testkit.Instance
}

// start runs a proxy in front of one instance, which it puts into c.
func start(t *testing.T, tr testkit.Transport, c testkit.Config) *bench {
	t.Helper()
	in := testkit.Listen(t)
	c.Upstreams = append(c.Upstreams, in.URL())
	return &bench{testkit.Start(t, tr, c.String()), in}
}

// open carries out a handshake.
func (b *bench) open(t *testing.T) (client, leg *testkit.Peer) {
	t.Helper()
	return testkit.Open(t, b.App, b.in)
}

// ask sends a request and gives the instance's end, and what the instance was
// asked.
func (b *bench) ask(t *testing.T, request string) (client, leg *testkit.Peer, head *testkit.Head) {
	t.Helper()
	client = b.Dial(t)
	client.SendString(request)
	leg = b.in.Accept(t, "the request reaches the instance")
	return client, leg, leg.Head("the instance is asked")
}
