package hostile_test

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// mode is what the Sluice under test does.
type mode string

const (
	balance mode = "balance"
	fanout  mode = "fanout"
	scatter mode = "scatter" // with one instance
)

var (
	transports = testkit.Transports
	modes      = []mode{balance, fanout, scatter}
)

// mostMessage is how large a message may be on every stage, in bytes.
const mostMessage = 4096

// stage is a Sluice with an instance, or a source, and a session that behaves.
type stage struct {
	*testkit.App
	mode mode
	in   *testkit.Instance

	client, leg *testkit.Peer // of the session that behaves
	said        int
	opened      int // hostile sessions so far
}

// settings is YAML that a stage has beside its own; see testkit.Config.
type settings struct {
	top, timeouts string
	most          int // bytes of a message; 0 for mostMessage
}

// newStage begins a stage. In fan-out each path has a source of its own, so
// that a hostile one is not that of the session beside it.
func newStage(t *testing.T, tr testkit.Transport, m mode, c settings) *stage {
	t.Helper()
	s := &stage{mode: m, in: testkit.Listen(t)}
	limits := fmt.Sprintf("message_size: {client: %d, upstream: %[1]d}", cmp.Or(c.most, mostMessage))
	yaml := testkit.Config{Top: c.top, Upstreams: []string{s.in.URL()}, Timeouts: c.timeouts, Limits: limits}.String()
	switch m {
	case scatter:
		yaml = testkit.Scatter{Top: c.top, Upstreams: []string{s.in.URL()}, Timeouts: c.timeouts, Limits: limits}.String()
	case fanout:
		own := "stream_by: {path: true}, client_messages: forward, compress: true, source_compress: true, subprotocols: [a]"
		yaml = testkit.Feed{Top: c.top, Sources: []string{s.in.URL()}, Timeouts: c.timeouts, Limits: limits, Fanout: own}.String()
	}
	s.App = testkit.Start(t, tr, yaml)
	s.client, s.leg = s.enter(t, "/beside")
	s.wantEcho(t)
	return s
}

// enter opens a session at path. Extra lines are added to the request and, where
// the client's is passed on, to the answer.
func (s *stage) enter(t *testing.T, path string, extra ...string) (client, leg *testkit.Peer) {
	t.Helper()
	client = s.Dial(t)
	client.SendString(testkit.Upgrade(path, extra...))
	leg, head := s.in.Asked(t, "the request for "+path, path)
	if s.mode == scatter {
		extra = nil
	}
	leg.SendString(testkit.Answer(head, extra...))
	client.WantUpgraded("the client is let in")
	return client, leg
}

// path is one that no session had before.
func (s *stage) path() string {
	s.opened++
	return fmt.Sprintf("/hostile/%d", s.opened)
}

// wantEcho has the session that behaves say something and hear it back.
func (s *stage) wantEcho(t *testing.T) {
	t.Helper()
	s.said++
	m := testkit.Text(fmt.Sprintf("beside %d", s.said))
	s.client.Send(m)
	s.leg.Want("the session beside it still speaks", m)
	s.leg.Send(m)
	s.client.Want("and still listens", m)
}

// wantAlone wants the session that behaves to be as it was, and the only one.
func (s *stage) wantAlone(t *testing.T) {
	t.Helper()
	s.wantEcho(t)
	s.WantSessions(t, "nothing is left of the hostile session", 1)
}

// everywhere runs f on a stage of every transport and mode, and sees that it
// leaves nothing behind. Not in parallel: descriptors and goroutines are
// counted.
func everywhere(t *testing.T, c settings, f func(t *testing.T, s *stage)) {
	for _, tr := range transports {
		for _, m := range modes {
			if raced && m == scatter && tr == testkit.Stream {
				continue // the portable build has it
			}
			t.Run(string(tr)+" "+string(m), func(t *testing.T) {
				s := newStage(t, tr, m, c)
				before := testkit.Now()
				t.Run("cases", func(t *testing.T) { f(t, s) })
				s.wantAlone(t)
				before.WantBack(t, "no descriptor and no goroutine is left")
			})
		}
	}
}
