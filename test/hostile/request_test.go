package hostile_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

const (
	getLine = "GET /hostile HTTP/1.1\r\n"
	host    = "Host: sluice.test\r\n"
	upgrade = "Upgrade: websocket\r\n"
	connect = "Connection: Upgrade\r\n"
	version = "Sec-WebSocket-Version: 13\r\n"
	keyLine = "Sec-WebSocket-Key: " + testkit.ClientKey + "\r\n"
	good    = getLine + host + upgrade + connect + version + keyLine
)

// without takes a line from the good request; with puts one in its place.
func without(line string) string       { return strings.Replace(good, line, "", 1) + "\r\n" }
func with(line, instead string) string { return strings.Replace(good, line, instead, 1) + "\r\n" }
func plus(lines string) string         { return good + lines + "\r\n" }

// smuggled stands behind every request that is refused.
const smuggled = "GET /smuggled HTTP/1.1\r\n" + host + "X-Smuggled: yes\r\n\r\n"

// request is what a hostile client sends to be let in.
type request struct {
	name  string
	about string // the clause, or whose mistake it was
	bytes string
	// status answers it: 101 or 200 where it is let in, cleaned.
	status int
	fanout int      // in fan-out, where that differs
	sees   []string // what the instance is asked, where it is let in
	never  []string // what no instance and no source is asked
}

// What a client sends in place of a handshake is refused, and nothing of it
// reaches an instance, nor does a request behind it; or it is let in as the
// rules have it, and what it tried to smuggle is gone.
func TestRequests(t *testing.T) {
	everywhere(t, settings{}, func(t *testing.T, s *stage) {
		for _, r := range requests() {
			t.Run(r.name, func(t *testing.T) {
				status := r.status
				if s.mode == fanout && r.fanout != 0 {
					status = r.fanout
				}
				switch status {
				case 101:
					s.letIn(t, &r)
				case 200:
					s.passOn(t, &r)
				default:
					s.wantRefused(t, r.bytes, status)
				}
				s.wantAlone(t)
			})
		}
	})
}

// wantRefused sends a request, with another behind it, and wants one refusal.
func (s *stage) wantRefused(t *testing.T, bytes string, status int) {
	t.Helper()
	client := s.Dial(t)
	_ = client.TrySend([]byte(bytes + smuggled)) // it may be refused in the middle
	h := client.Head("it is refused")
	if h.Status() != status {
		t.Errorf("it is refused with %d: got %q", status, h.Raw)
	}
	if status == 426 && h.Get("Sec-WebSocket-Version") != "13" {
		t.Errorf("426 names the version: got %q", h.Raw)
	}
	if h.Get("Connection") != "close" && h.Get("Connection") != "close, Upgrade" && h.Get("Connection") != "close | Upgrade" {
		t.Errorf("the connection is not used again: got %q", h.Raw)
	}
	if rest := client.Last("and that is the end"); strings.Contains(rest, "HTTP/1.1 ") || strings.Contains(rest, "HTTP/1.0 ") {
		t.Errorf("one answer and no more: got %q behind it", rest)
	}
	client.Close()
	s.in.WantUnvisited(t, "nothing of it goes further")
}

// letIn has a request upgraded, and sees what was asked for it.
func (s *stage) letIn(t *testing.T, r *request) {
	t.Helper()
	client := s.Dial(t)
	client.SendString(r.bytes)
	leg := s.in.Accept(t, "the request is let in")
	head := leg.Head("the instance is asked")
	s.wantClean(t, r, head)
	leg.SendString(testkit.Answer(head))
	client.WantUpgraded("it is upgraded")
	client.Send(testkit.Text("there"))
	leg.Want("nothing stands before the first message", testkit.Text("there"))
	s.end(client, leg)
}

// end closes a session in good order, and wants no other byte.
func (s *stage) end(client, leg *testkit.Peer) {
	client.Send(testkit.Close(1000, ""))
	if s.mode == fanout {
		client.WantClose("the client's close comes back", 1000)
		client.Close() // then nobody needs the source
	}
	leg.WantClose("then the end", 1000)
	leg.Send(testkit.Close(1000, ""))
	if s.mode != fanout {
		client.WantClose("on both sides", 1000)
		client.Close()
	}
	leg.CloseWrite()
	leg.WantGone("and the connection is not used again")
}

// passOn has a request answered as ordinary HTTP, and sees that the instance
// was asked it and nothing else.
func (s *stage) passOn(t *testing.T, r *request) {
	t.Helper()
	client := s.Dial(t)
	client.SendString(r.bytes)
	leg := s.in.Accept(t, "the request is passed on")
	head := leg.Head("the instance is asked")
	s.wantClean(t, r, head)
	if n := len(r.sees); n > 0 {
		leg.Until("with its body", r.sees[n-1])
	}
	leg.SendString("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	if rest := leg.Last("the instance is asked no more"); rest != "" {
		t.Errorf("the instance is asked once: got %q behind it", rest)
	}
	if _, body := client.WantAnswer("it is answered", 200); body != "ok" {
		t.Errorf("want ok, got %q", body)
	}
	client.Close()
	s.in.WantUnvisited(t, "on no connection")
}

// wantClean holds what an instance was asked against what it may be.
func (s *stage) wantClean(t *testing.T, r *request, head *testkit.Head) {
	t.Helper()
	sees := r.sees
	switch {
	case s.mode == fanout:
		sees = nil // a source is asked for nothing that a client says
	case r.status == 200:
		sees = sees[:len(sees)-1] // the last is the body
	}
	for _, want := range sees {
		if !strings.Contains(head.Raw, want) {
			t.Errorf("the instance sees %q: got %q", want, head.Raw)
		}
	}
	for _, unwanted := range append(r.never, testkit.ClientKey, "\nX-Smuggled") {
		if strings.Contains(strings.ToLower(head.Raw), strings.ToLower(unwanted)) {
			t.Errorf("the instance does not see %q: got %q", unwanted, head.Raw)
		}
	}
	for _, once := range []string{"Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"} {
		if n := len(head.Values(once)); n != 1 && r.status == 101 {
			t.Errorf("%s is there once: got %q", once, head.Raw)
		}
	}
}
