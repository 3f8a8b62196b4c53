package faults_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// trial is a session that is over, and what speaks for and against it.
type trial struct {
	*session
	leg                   *leg   // whose 101 the client got; nil for none
	told                  *actor // of it
	clientFault, legFault bool   // a blow has struck
	late                  bool   // the machine stood still: timeouts strike without one
	wrong                 []string
}

// judge holds a session against the promises: what arrives is what was sent, in
// its order, and once; what ends it is an end of its own or is named by the
// code that the fault has.
func (b *balanced) judge(s *session, stuck string) {
	v := &trial{session: s, late: b.watch.late(s.lost)}
	v.clientFault = v.late || s.path.struck()
	if stuck != "" {
		v.accuse("%s", stuck)
	} else {
		v.all()
	}
	b.count(v)
	if v.wrong == nil {
		return
	}
	text := fmt.Sprintf("session %d: %s\n  its end: %v\n  the client's link: %v\n", s.id, strings.Join(v.wrong, "\n    and "), s.end, s.path)
	for n, g := range s.legs {
		text += fmt.Sprintf("  the instance's, try %d: %v\n", n, g.path)
	}
	b.t.Errorf("seed %d, %s%s", b.seed, text, again("balance", b.tr, b.seed))
}

func (v *trial) accuse(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

func (v *trial) all() {
	heard := 0
	for n, g := range v.legs {
		if g.actor == nil {
			continue
		}
		v.wrong = append(v.wrong, g.actor.wrong...)
		if g.actor.at > 0 {
			heard++
		}
		if n == v.try {
			v.leg, v.told = g, g.actor
			v.legFault = v.late || g.path.struck()
		}
	}
	if v.actor != nil {
		v.wrong = append(v.wrong, v.actor.wrong...)
	}
	if heard > 1 {
		v.accuse("%d instances got something of the client's", heard)
	}
	switch {
	case v.status != 101:
		v.refused()
	case v.told == nil:
		v.accuse("the client was upgraded, no instance did it")
	default:
		v.clientEnd()
		v.instanceEnd()
		v.complete()
	}
}

// refused judges a session that was not opened.
func (v *trial) refused() {
	tried, answered := false, false
	for _, g := range v.legs {
		tried = tried || g.path.struck()
		answered = answered || g.actor != nil && (g.path.struck() || g.actor.acted && v.end.by == instance && v.end.torn())
	}
	switch {
	case v.clientFault:
	case v.status != 0 && v.status == v.refusal:
	case v.status >= 502 && v.status <= 504 && tried:
	case v.status == 0 && answered: // a reset may overtake the 101
	default:
		v.accuse("the handshake ends with status %d, %v", v.status, v.err)
	}
}

// legLost tells that the proxy had to find that its instance is lost.
func (v *trial) legLost() bool {
	return v.legFault || v.told.acted && v.end.by == instance && (v.end.abrupt() || v.end.loss())
}

// clientLost tells the same of its client.
func (v *trial) clientLost() bool {
	return v.clientFault || v.actor.acted && v.end.by == client && v.end.abrupt()
}

// clientEnd judges what the client was told at the end.
func (v *trial) clientEnd() {
	c, i := v.actor, v.told
	code, reason, _ := ws.ParseClose([]byte(c.gotClose))
	switch {
	case !c.closed && (v.clientLost() || v.legLost() && (c.inFrame || v.legFault || v.end.torn())):
	case !c.closed:
		v.accuse("the client is not told why it ends: %s", c.ended())
	case i.closing && i.sentClose == c.gotClose && !(v.end.loss() && i.acted): // the instance's own
	case c.acted && c.sentClose == c.gotClose && v.legLost(): // answered for it
	case code == ws.CodeRestart && v.legLost() && !c.within:
	case code == ws.CodeInternal && v.legLost() && c.within:
	case code == ws.CodePolicy && v.clientFault && string(reason) == "frame too slow":
	default:
		v.accuse("the client is told %d %q, inside a message: %v", code, reason, c.within)
	}
}

// instanceEnd judges what the instance was told.
func (v *trial) instanceEnd() {
	c, i := v.actor, v.told
	code, reason, _ := ws.ParseClose([]byte(i.gotClose))
	cut := v.legFault || v.clientLost() || i.acted && v.end.by == instance && v.end.abrupt()
	switch {
	case !i.closed && (cut || v.end.loss() && i.acted && !v.end.waits): // the client may have been inside a frame
	case !i.closed:
		v.accuse("the instance is not told why it ends: %s", i.ended())
	case c.closing && c.sentClose == i.gotClose:
	case code == ws.CodeGoingAway && v.clientLost():
	case i.acted && i.closing && (v.clientLost() || v.end.loss()) && len(i.sentClose) >= 2 && i.gotClose == i.sentClose[:2]: // answered for the client
	case i.acted && i.closing && v.clientLost() && i.sentClose == "" && i.gotClose == "":
	default:
		v.accuse("the instance is told %d %q", code, reason)
	}
}

// complete wants, where nothing struck, that the session came to its own end
// and that all arrived that was said before it.
func (v *trial) complete() {
	if v.clientFault || v.legFault {
		return
	}
	from, to := v.actor, v.told
	if v.end.by == instance {
		from, to = to, from
	}
	all := len(v.says[v.end.by])
	switch {
	case !from.acted:
		v.accuse("the %s could not make its end: it had said %d frames of %d and got close %q, %s", sides[v.end.by], from.said, all, from.gotClose, from.ended())
	case v.end.torn():
	case to.at != all:
		v.accuse("the %s got %d frames of %d", sides[1-v.end.by], to.at, all)
	case v.end.how == byClose && !v.end.loss() && to.gotClose != v.end.close:
		v.accuse("the %s got close %q, not %q", sides[1-v.end.by], to.gotClose, v.end.close)
	}
	if from.at > to.said+1 || to.at > from.said+1 {
		v.accuse("more was heard than said")
	}
}

// count adds a session to the run's sums.
func (b *balanced) count(v *trial) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := &b.sums
	n.sessions++
	if v.status == 101 {
		n.upgraded++
	}
	if v.late {
		n.excused++
	}
	struck := v.path.struck()
	for _, g := range v.legs {
		struck = struck || g.path.struck()
	}
	if struck {
		n.struck++
	}
	if c := v.actor; c != nil {
		// What it was about to say may have arrived all the same.
		n.said[client] += messages(v.says[client][:min(c.said+1, len(v.says[client]))])
		n.heard[instance] += messages(v.says[instance][:min(c.at, len(v.says[instance]))])
		code, _, _ := ws.ParseClose([]byte(c.gotClose))
		switch {
		case v.status != 101:
			n.ends[fmt.Sprint("status ", v.status)]++
		case !c.closed:
			n.ends["cut"]++
		case code < 3000:
			n.ends[fmt.Sprint(code)]++
		}
	}
	for _, g := range v.legs {
		if i := g.actor; i != nil {
			n.answered++
			n.said[instance] += messages(v.says[instance][:min(i.said+1, len(v.says[instance]))])
			n.heard[client] += messages(v.says[client][:min(i.at, len(v.says[client]))])
		}
	}
}

// summary tells what a run has tried.
func (b *balanced) summary() string {
	n := &b.sums
	text := fmt.Sprintf("%d sessions, %d upgraded, %d struck, %d late; messages: %d of clients', %d of instances'; clients' ends:",
		n.sessions, n.upgraded, n.struck, n.excused, n.heard[client], n.heard[instance])
	for _, name := range slices.Sorted(maps.Keys(n.ends)) {
		text += fmt.Sprintf(" %s×%d", name, n.ends[name])
	}
	return text
}

// heapNow gives the bytes that are in use.
func heapNow() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first has finalized
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// heapRoom is what a run may leave, in bytes: buffers that loops keep for the
// next, and the log. What a session leaves is for the soaks of test/load.
const heapRoom = 12 << 20

func wantHeapBack(t *testing.T, before uint64) {
	t.Helper()
	if now := heapNow(); now > before+heapRoom {
		t.Errorf("%d bytes are in use, %d before", now, before)
	}
}
