package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// keptSums are of a whole run, for its summary.
type keptSums struct {
	sessions, legs, read, doubled, missed int
	ends                                  map[string]int
}

// readBy holds a message that an instance has read against what the client said.
func (s *keptTalk) readBy(k *keptSide, n int, m []frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n < 1 || n > len(s.said):
		k.complain("message %d, and the client has said %d", n, len(s.said))
	case !same(m, s.said[n-1]):
		k.complain("message %d is another than the client's", n)
	default:
		k.leg.read = append(k.leg.read, n)
		s.big = s.big || exceeds(m, s.run.rules.buffer)
	}
}

// shown holds a message that the client gets against what its leg said, and its
// place against those before it.
func (s *keptTalk) shown(k *keptSide, leg, n int, m []frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if leg >= len(s.legs) || n >= len(s.legs[leg].said) || !same(m, s.legs[leg].said[n]) {
		k.complain("message %d of leg %d is none of its", n, leg)
		return
	}
	first := s.run.rules.unshown(s.seen)
	switch {
	case leg == s.at && n == s.next:
	case leg > s.at && (n == first || s.run.rules.moves && n > first):
	default:
		k.complain("message %d of leg %d follows leg %d, of which %d was to come; another leg begins with %d", n, leg, s.at, s.next, first)
	}
	s.at, s.next = leg, n+1
	s.seen++
}

// keptTrial is a session that is over, and what speaks against it.
type keptTrial struct {
	*keptTalk
	struck, own, refused, big bool // what befell its legs
	late                      bool
	read, doubled, missed     int
	wrong                     []string
}

func (v *keptTrial) accuse(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// trouble tells of a reason for which a leg may be lost.
func (v *keptTrial) trouble() bool { return v.struck || v.refused || v.late }

// judge holds a session against what is promised of it.
func (b *keptRun) judge(s *keptTalk, stuck string) {
	v := &keptTrial{keptTalk: s, late: b.watch.late(s.lost)}
	if stuck != "" {
		v.accuse("%s", stuck)
	} else {
		v.all()
	}
	b.count(v)
	if v.wrong == nil {
		return
	}
	text := fmt.Sprintf("session %d: %s\n  %d messages said of %d, waits %v, its end %d; late %v\n", s.id, strings.Join(v.wrong, "\n    and "), len(s.said), s.messages, s.waits, s.end, v.late)
	for _, g := range s.legs {
		text += fmt.Sprintf("  leg %d: status %d, end %+v, read %v, said %d; %v\n", g.n, g.status, g.end, g.read, len(g.said), g.path)
	}
	b.t.Errorf("seed %d, %+v, %s%s", b.seed, b.rules, text, again("keep", b.tr, b.seed))
}

func (v *keptTrial) all() {
	for _, g := range v.legs {
		v.struck = v.struck || g.path.struck() || g.status == 0
		v.refused = v.refused || g.status == 403 || g.status == 503
		for _, m := range g.said {
			v.big = v.big || exceeds(m, v.run.rules.buffer)
		}
		if g.side == nil {
			continue
		}
		v.wrong = append(v.wrong, g.side.wrong...)
		v.own = v.own || g.side.acted && g.end.how == legOwnCode
		v.struck = v.struck || g.side.acted
		v.legRead(g)
	}
	if v.client != nil {
		v.wrong = append(v.wrong, v.client.wrong...)
	}
	switch {
	case v.status == 101:
		v.ends()
	case v.status == 403 && v.refused, v.status >= 502 && v.status <= 504 && v.trouble():
	case v.status == 0 && v.trouble():
	default:
		v.accuse("the handshake ends with status %d, %v", v.status, v.err)
	}
}

// legRead wants what a leg has read to be in order, and to go on where the legs
// before it ended: behind the opening, which it is sent again.
func (v *keptTrial) legRead(g *keptLeg) {
	rest, r := g.read, &v.run.rules
	for n := 1; n <= r.opening && len(rest) > 0 && rest[0] == n; n++ {
		rest = rest[1:]
		v.read = max(v.read, n)
	}
	if len(rest) == 0 {
		return
	}
	first := rest[0]
	switch {
	case first <= r.opening || len(rest) < len(g.read) && len(rest) != len(g.read)-r.opening:
		v.accuse("leg %d is sent the opening in part or out of order: %v", g.n, g.read)
	case first <= v.read && r.unproven != "resend":
		v.accuse("leg %d reads %d, which was read before: up to %d", g.n, first, v.read)
	case first > v.read+1 && r.unproven != "drop":
		v.accuse("leg %d reads %d, and up to %d was read before", g.n, first, v.read)
	}
	v.missed += max(0, first-v.read-1)
	for k, n := range rest {
		if k > 0 && !v.follows(rest[k-1], n) {
			v.accuse("leg %d reads %d behind %d", g.n, n, rest[k-1])
		}
		if n <= v.read {
			v.doubled++
		}
	}
	v.read = max(v.read, rest[len(rest)-1])
}

// follows tells whether message n may be read behind another: as the next, or
// past some that were read before and are too long to be sent again.
func (v *keptTrial) follows(before, n int) bool {
	for before++; before < n && before <= v.read && exceeds(v.said[before-1], v.run.rules.buffer); before++ {
	}
	return n == before
}

// ends judges how the client's session ended.
func (v *keptTrial) ends() {
	c := v.client
	code, reason, _ := ws.ParseClose([]byte(c.gotClose))
	why, r := string(reason), &v.run.rules
	switch {
	case v.end != endCloses && c.acted:
	case !c.closed:
		if !v.big || !v.trouble() {
			v.accuse("the client is not told why it ends: %s", c.ended())
		}
	case c.acted && c.gotClose == c.sentClose:
		v.complete()
	case v.own && code == ownCode:
	case code == ws.CodeRestart && v.trouble() && v.may(why):
	case code == ws.CodeRestart && strings.Contains(why, "the session can't be moved") && r.moves && v.tooLong():
	case code == ws.CodeTryLater && v.trouble():
	case code == ws.CodeInternal && v.trouble() && v.big && c.within:
	default:
		v.accuse("the client is told %d %q, inside a message: %v; unproven %s", code, why, c.within, r.unproven)
	}
}

// may tells whether a client may be closed for that reason.
func (v *keptTrial) may(why string) bool {
	switch {
	case strings.Contains(why, "may not have read"):
		return v.run.rules.unproven == "close"
	case strings.Contains(why, "longer than failover.buffer"):
		return v.tooLong()
	case strings.Contains(why, "the session is ending"):
		return v.client.acted || v.client.within || v.big
	case strings.Contains(why, "no instance takes the session over: answered 403"):
		return v.refused
	case strings.Contains(why, "the session can't be moved"): // its moves came to grief until the deadline
		return v.run.rules.moves
	case strings.Contains(why, "in the middle of a message"):
		return v.big
	}
	return false
}

// tooLong tells whether the client's opening, or a message, may be longer than what
// is kept.
func (v *keptTrial) tooLong() bool {
	for _, m := range v.said {
		v.big = v.big || exceeds(m, v.run.rules.buffer)
	}
	return v.big || v.run.rules.opening > 0
}

// complete wants all that the client said to have been read, now that it has
// closed the session itself.
func (v *keptTrial) complete() {
	if v.run.rules.unproven == "drop" && v.trouble() {
		return
	}
	// The leg may be lost behind the close, which nobody makes good.
	if v.read != v.messages && (v.client.acked.Load() == int64(v.messages) || !v.trouble()) {
		v.accuse("%d messages of %d were read", v.read, v.messages)
	}
	if n := v.client.acked.Load(); n < int64(v.messages) && !v.trouble() {
		v.accuse("%d messages of %d were answered", n, v.messages)
	}
}

// count adds a session to the run's sums.
func (b *keptRun) count(v *keptTrial) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := &b.sums
	n.sessions++
	n.legs += len(v.legs)
	n.read, n.doubled, n.missed = n.read+v.read, n.doubled+v.doubled, n.missed+v.missed
	name := fmt.Sprint("status ", v.status)
	if c := v.client; c != nil {
		code, _, _ := ws.ParseClose([]byte(c.gotClose))
		if name = fmt.Sprint(code); !c.closed {
			name = "cut"
		}
	}
	n.ends[name]++
}

func (b *keptRun) summary() string {
	n := &b.sums
	text := fmt.Sprintf("%d sessions on %d legs; %d messages read, %d of them twice, %d missed; clients' ends:", n.sessions, n.legs, n.read, n.doubled, n.missed)
	for _, name := range slices.Sorted(maps.Keys(n.ends)) {
		text += fmt.Sprintf(" %s×%d", name, n.ends[name])
	}
	return text
}
