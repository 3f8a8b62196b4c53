package hostile_test

import (
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// role is where a hostile peer of open sessions stands.
type role uint8

const (
	clients role = 1 << iota // of an instance
	instances
	subscribers // clients of a fan-out
	sources
	askers  // clients of a scatter
	workers // instances of one

	reads    = subscribers | sources // where Sluice looks into messages
	inflates = reads | askers
)

func (r role) server() bool { return r&(instances|sources|workers) != 0 }

// roles are those that a peer can have in a mode.
func roles(m mode) []role {
	switch m {
	case fanout:
		return []role{subscribers, sources}
	case scatter:
		return []role{askers, workers}
	}
	return []role{clients, instances}
}

func (r role) String() string {
	return map[role]string{clients: "client", instances: "instance", subscribers: "subscriber", sources: "source", askers: "asker", workers: "worker"}[r]
}

// violation is what a hostile peer sends once a session is open.
type violation struct {
	name  string
	about string // the clause, or whose mistake it was
	// opens are the peer's frames before it that break no rule and begin a
	// message.
	opens []testkit.Frame
	// head is two bytes and the extended length, without the mask bit, which
	// is put where the role has it. payload is plain.
	head, payload string
	wrong         bool // the mask is as the other side has it
	cut           bool // nothing follows
	deflate       bool // permessage-deflate was negotiated
	code          uint16
	at            role // 0: anywhere
}

// by tells whether a peer in this role can break the rule. A worker is not asked
// for compression.
func (v *violation) by(r role) bool {
	return (v.at == 0 || v.at&r != 0) && (!v.deflate || r != workers)
}

// bytes gives the violation as a peer in this role sends it.
func (v *violation) bytes(r role) []byte {
	b := []byte(v.head)
	if r.server() == v.wrong {
		b[1] |= 0x80
		if v.cut && v.payload == "" && len(b) == 2 {
			return b // two bytes say it all
		}
		key := [4]byte{1, 2, 3, 4}
		b = append(b, key[:]...)
		at := len(b)
		b = append(b, v.payload...)
		ws.Mask(b[at:], key, 0)
		return b
	}
	return append(b, v.payload...)
}

// A peer that breaks a rule of the frames is told so by a close with the code
// for it. What came before still counts; of the violation, and of what stands
// behind it, nothing reaches the other side.
func TestViolations(t *testing.T) {
	everywhere(t, settings{}, func(t *testing.T, s *stage) {
		for _, r := range roles(s.mode) {
			for _, v := range violations() {
				if !v.by(r) {
					continue
				}
				t.Run(r.String()+" "+v.name, func(t *testing.T) {
					s.violate(t, &v, r)
					s.wantAlone(t)
				})
			}
		}
	})
}

// deflateLine asks for compression, and agrees to it.
const deflateLine = "Sec-WebSocket-Extensions: permessage-deflate"

// violate opens a session and has the peer in role r break a rule.
func (s *stage) violate(t *testing.T, v *violation, r role) {
	t.Helper()
	var extra []string
	if v.deflate {
		extra = []string{deflateLine}
	}
	client, leg := s.enter(t, s.path(), extra...)
	hostile, other := client, leg
	if r.server() {
		hostile, other = leg, client
	}
	if v.deflate {
		client.Deflate()
		leg.Deflate()
	}
	before := append([]testkit.Frame{testkit.Text("before")}, v.opens...)
	bytes := append(hostile.Bytes(before...), v.bytes(r)...)
	if !v.cut {
		bytes = append(bytes, hostile.Bytes(testkit.Text("behind"), testkit.Ping("behind"))...)
	}
	_ = hostile.TrySend(bytes)
	if s.mode != balance {
		before = before[:1] // a message goes on when it is whole
	}
	other.Want("what came before it arrives", before...)
	s.told(t, r, v, client, leg)
}

// told wants both ends to learn how a peer in this role has ended the session.
func (s *stage) told(t *testing.T, r role, v *violation, client, leg *testkit.Peer) {
	t.Helper()
	switch r {
	case clients, askers:
		s.clientTold(t, v, client, leg)
	case instances:
		s.instanceTold(t, v, client, leg)
	case subscribers:
		s.subscriberTold(t, v, client, leg)
	case sources:
		s.sourceTold(t, v, client, leg)
	case workers:
		s.workerTold(t, v, client, leg)
	}
}

// honest are closes that break no rule: they go on as they came.
func (v *violation) honest() bool { return v.code == 1000 }

func (s *stage) clientTold(t *testing.T, v *violation, client, leg *testkit.Peer) {
	t.Helper()
	told := uint16(1001)
	if v.honest() {
		told = v.code
	}
	leg.WantClose("the instance is told that the client goes, and nothing else", told)
	leg.Send(testkit.Close(told, ""))
	client.WantClose("the client is told what it did", v.code)
	client.Close()
	leg.CloseWrite()
	leg.WantEnd("and the end")
}

func (s *stage) instanceTold(t *testing.T, v *violation, client, leg *testkit.Peer) {
	t.Helper()
	client.WantClose("the client gets a close, and nothing else", v.code)
	client.Send(testkit.Close(v.code, ""))
	leg.WantClose("the instance is told what it did", v.code)
	leg.CloseWrite()
	client.WantEnd("and the end")
	client.Close()
	leg.WantEnd("on both sides")
}

func (s *stage) subscriberTold(t *testing.T, v *violation, client, leg *testkit.Peer) {
	t.Helper()
	client.WantClose("the client is told what it did", v.code)
	_ = client.TrySend(client.Bytes(testkit.Close(v.code, "")))
	client.WantEnd("and the end")
	client.Close()
	leg.WantClose("the source hears nothing of it, but that it is not needed", 1000)
	leg.CloseWrite()
	leg.WantEnd("and the end")
}

func (s *stage) sourceTold(t *testing.T, v *violation, client, leg *testkit.Peer) {
	t.Helper()
	leg.WantClose("the source is told what it did", v.code)
	client.Send(testkit.Close(1000, ""))
	client.WantClose("its client stays, and gets nothing else", 1000)
	client.Close()
	leg.CloseWrite()
	leg.WantEnd("and the end")
}

func (s *stage) workerTold(t *testing.T, v *violation, client, leg *testkit.Peer) {
	t.Helper()
	if v.honest() {
		s.instanceTold(t, v, client, leg)
		return
	}
	leg.WantClose("the instance is told what it did", v.code)
	leg.CloseWrite()
	leg.WantEnd("and the end")
	again, head := s.in.Asked(t, "its client stays, and gets another leg", fmt.Sprintf("/hostile/%d", s.opened))
	again.SendString(testkit.Answer(head))
	client.Send(testkit.Text("still"))
	again.Want("which goes on", testkit.Text("still"))
	again.Send(testkit.Text("here"))
	client.Want("both ways, and nothing else came", testkit.Text("here"))
	s.end(client, again)
}
