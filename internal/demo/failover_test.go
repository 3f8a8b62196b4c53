package demo

import (
	"encoding/json"
	"errors"
	"syscall"
	"testing"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// alone is a show without Sluice: its sessions go through the right panel's
// proxy.
func alone(t *testing.T) *failover {
	t.Helper()
	f, err := openFailover(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	f.restart, f.pause, f.left = 0, 0, f.right
	return f
}

// visit opens a session.
func visit(t *testing.T, addr string) *talk {
	t.Helper()
	c, err := dial(t.Context(), addr, leftPath)
	if err != nil {
		t.Fatalf("a session at %s: %v", addr, err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// calls sends a number and gives the answer.
func calls(t *testing.T, c *talk, n uint64) (r reply) {
	t.Helper()
	text, _ := json.Marshal(reply{N: n})
	err := c.send(ws.Text, text)
	if err == nil {
		text, err = c.next()
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || r.N != n {
		t.Fatalf("%d is answered with %+v, %v", n, r, err)
	}
	return r
}

func wantClosed(t *testing.T, c *talk, code uint16) {
	t.Helper()
	var over closed
	if _, err := c.next(); !errors.As(err, &over) || over.code != code {
		t.Fatalf("the session ends with %v, want %d", err, code)
	}
}

func TestAKilledInstanceResetsItsSessionsAndComesBack(t *testing.T) {
	t.Parallel()
	a := alone(t).instances[0]
	c, raw := visit(t, a.addr), visit(t, a.addr)
	if r := calls(t, c, 7); r.Instance != "a" || r.Version != 1 {
		t.Fatalf("a's first version answers: %+v", r)
	}
	a.kill()
	a.kill()
	wantClosed(t, c, ws.CodeAbnormal)
	if err := raw.read(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a killed process's connections are reset; here: %v", err)
	}
	if _, err := dial(t.Context(), a.addr, leftPath); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens any more; dialling: %v", err)
	}
	if err := errors.Join(a.start(), a.start()); err != nil {
		t.Fatal(err)
	}
	if r := calls(t, visit(t, a.addr), 8); r.Version != 1 {
		t.Fatalf("the same version is back: %+v", r)
	}
	a.end()
	if err := a.start(); err != nil || a.running() {
		t.Fatalf("it runs after its end: %v", err)
	}
}

func TestADeployTakesLeaveAndStartsTheNextVersion(t *testing.T) {
	t.Parallel()
	f := alone(t)
	f.instances[1].kill()
	sessions := map[string]*talk{}
	for range 3 { // in turn; b's share goes to the next
		c := visit(t, f.right)
		sessions[calls(t, c, 1).Instance] = c
	}
	if len(sessions) != 2 || sessions["b"] != nil {
		t.Fatalf("a and c are there to be given sessions: %v", sessions)
	}
	f.roll()
	for _, c := range sessions {
		wantClosed(t, c, ws.CodeGoingAway)
	}
	versions := map[string]int{}
	for range 3 {
		r := calls(t, visit(t, f.right), 2)
		versions[r.Instance] = r.Version
	}
	if len(versions) != 3 || versions["a"] != 2 || versions["b"] != 2 || versions["c"] != 2 {
		t.Fatalf("three second versions take turns: %v", versions)
	}
}

func TestNothingStartsAfterTheEndOfTheShow(t *testing.T) {
	t.Parallel()
	f := alone(t)
	f.begin()
	f.close()
	f.begin()
	f.deploy()
	if err := f.again(); err != nil {
		t.Fatal(err)
	}
	for _, i := range f.view(began).Instances {
		if i.Running || i.Version != 1 {
			t.Errorf("after the end: %+v", i)
		}
	}
}

func TestPanelsHaveRoomForFiles(t *testing.T) {
	for _, c := range []struct{ files, want int }{{1 << 20, 200}, {2500, 200}, {1700, 100}, {1024, 15}, {256, 10}} {
		if n := tilesFor(c.files); n != c.want {
			t.Errorf("%d files are enough for %d tiles, want %d", c.files, n, c.want)
		}
	}
}

// settled tells that every session of both panels has been answered by an
// instance that is not the one named.
func settled(v *failoverView, less string) bool {
	for _, p := range v.Panels {
		for _, t := range p.Tiles {
			if !t.Open || t.Code != 0 || t.Instance == "" || t.Instance == less {
				return false
			}
		}
	}
	return len(v.Panels[0].Tiles) > 0
}

func (p *panelView) at(name string) (n int) {
	for _, t := range p.Tiles {
		if t.Instance == name {
			n++
		}
	}
	return n
}

func TestTheFailoverShowsAKill(t *testing.T) {
	at, _ := show(t, 0)
	w := watch[failoverView](t, at, "failover")
	before := w.until("all sessions are answered", func(v *failoverView) bool { return settled(v, "") })
	for side, p := range before.Panels {
		if p.Open != tilesMost || len(p.Closes) != 0 || p.Missing+p.Repeated != 0 || p.at("a") == 0 {
			t.Fatalf("side %d begins without a flaw, and with a: %+v", side, p.counts)
		}
	}
	w.press("kill/a")
	v := w.until("all have gone to others", func(v *failoverView) bool { return settled(v, "a") })
	if n := before.Panels[1].at("a"); len(v.Panels[1].Closes) != 1 || v.Panels[1].Closes[ws.CodeAbnormal] != n {
		t.Errorf("behind ReverseProxy %d sessions break with 1006: %v", n, v.Panels[1].Closes)
	}
	left := v.Panels[0]
	switch n := before.Panels[0].at("a"); v.Client {
	case "keep":
		if len(left.Closes) != 0 || left.Missing != 0 {
			t.Errorf("behind Sluice clients are kept: %+v", left.counts)
		}
	default:
		if len(left.Closes) != 1 || left.Closes[ws.CodeRestart] != n {
			t.Errorf("behind Sluice %d sessions are closed with 1012: %v", n, left.Closes)
		}
	}
	w.press("again")
	w.until("all begins again", func(v *failoverView) bool {
		return settled(v, "") && v.Instances[0].Running && len(v.Panels[0].Closes)+len(v.Panels[1].Closes) == 0
	})
}
