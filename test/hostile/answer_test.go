package hostile_test

import (
	"net"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// answer is what a hostile instance, or source, says to a handshake.
type answer struct {
	name  string
	about string // the clause, or whose mistake it was
	bytes string // ACCEPT stands for the right value
	end   bool   // FIN follows; else a frame that must reach nobody
	// status is what the client of an instance gets, 502 where it is 0; that
	// of a source always gets 502. With 101 the session is open.
	status int
	body   string   // of a refusal that is passed on
	never  []string // what no client gets
	none   mode     // where the answer is no lie
}

// leaked is a frame behind an answer that opens nothing.
const leaked = "\x81\x06LEAKED"

// An instance that answers what is no handshake makes its client's 502, or a
// refusal that says no more than it declared. Nothing is tunnelled, either way,
// and neither connection is used again.
func TestAnswers(t *testing.T) {
	everywhere(t, settings{}, func(t *testing.T, s *stage) {
		for _, a := range answers() {
			if a.none == s.mode {
				continue
			}
			t.Run(a.name, func(t *testing.T) {
				s.answered(t, &a)
				s.wantAlone(t)
			})
		}
	})
}

// answered has a client ask, and the other side lie.
func (s *stage) answered(t *testing.T, a *answer) {
	t.Helper()
	path := s.path()
	client := s.Dial(t)
	client.SendString(testkit.Upgrade(path, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Extensions: permessage-deflate"))
	client.Send(testkit.Text("early"))
	leg, head := s.in.Asked(t, "the request reaches the other side", path)
	bytes := strings.ReplaceAll(a.bytes, "ACCEPT", testkit.AcceptFor(head.Get("Sec-WebSocket-Key")))
	if a.status == 101 && s.mode != fanout {
		s.opens(t, a, client, leg, bytes)
		return
	}
	if !a.end {
		bytes += leaked
	}
	_ = leg.TrySend([]byte(bytes)) // it may be cut off in the middle
	if a.end {
		_ = leg.Conn().(*net.TCPConn).CloseWrite() // likewise
	}
	status := a.status
	if s.mode == fanout || status == 0 {
		status = 502
	}
	h, body := client.WantRefusal("the client is refused", status)
	switch {
	case status == 502 && h.Get("Retry-After") == "":
		t.Errorf("and told when to come again: got %q", h.Raw)
	case status != 502 && body != a.body:
		t.Errorf("with the body that was declared: want %q, got %q", a.body, body)
	}
	for _, unwanted := range append(a.never, "LEAKED", "101 Switching", "Sec-WebSocket-Accept") {
		if strings.Contains(h.Raw+body, unwanted) {
			t.Errorf("the client does not see %q: got %q", unwanted, h.Raw+body)
		}
	}
	client.Close()
	leg.WantEnd("what the client sent early stays away")
	if s.mode != fanout { // a source may be asked again
		s.in.WantUnvisited(t, "the instance is not asked again")
	}
}

// opens has an instance answer what is a handshake after all, and sees what the
// client gets of it.
func (s *stage) opens(t *testing.T, a *answer, client, leg *testkit.Peer, bytes string) {
	t.Helper()
	leg.SendString(bytes)
	h := client.WantUpgraded("the client is upgraded")
	for _, unwanted := range a.never {
		if strings.Contains(h.Raw, unwanted) {
			t.Errorf("the client does not see %q: got %q", unwanted, h.Raw)
		}
	}
	leg.Want("what the client sent early arrives", testkit.Text("early"))
	s.end(client, leg)
}
