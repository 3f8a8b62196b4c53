package upstream

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-proxy/sluice/internal/health"
)

// watched is a pool of n instances whose outliers are ejected.
func watched(t *testing.T, n int, options ...string) (*Pool, []*Instance) {
	t.Helper()
	s, _ := newSet()
	p := watchedIn(t, s, n, options...)
	return p, p.Instances()
}

func watchedIn(t *testing.T, s *Set, n int, options ...string) *Pool {
	t.Helper()
	var ups []string
	for k := range n {
		ups = append(ups, fmt.Sprintf("ws://10.0.0.%d:9000 %s", k+1, strings.Join(options, " ")))
	}
	p := newPool(t, s, ups...)
	p.cfg.Load().Health.Outliers = true
	return p
}

// fails has dials to i refused, so often.
func fails(i *Instance, n int) {
	for range n {
		i.Unreachable(fmt.Errorf("dial 10.0.0.1:9000: %w", syscall.ECONNREFUSED))
	}
}

// eject has i ejected.
func eject(t *testing.T, i *Instance) {
	t.Helper()
	fails(i, 3)
	i.set.judgeOutliers(i.set.now())
	if !i.outlier.ejected.Load() {
		t.Fatalf("%s is not ejected", i.Name())
	}
}

func wantView(t *testing.T, sentence string, p *Pool, state, why, until string) {
	t.Helper()
	if v := p.Views()[0]; v.State != state || v.Why != why || v.Until != until {
		t.Errorf("%s: it is %s %q for %q, want %s %q for %q", sentence, v.State, v.Why, v.Until, state, why, until)
	}
}

// TestEjectedAndBack is an ejection, from the first failure to the slow start,
// as the set's own sampling carries it out.
func TestEjectedAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, is := watched(t, 2)
		var log bytes.Buffer
		p.set.log = slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.set.Run(ctx); close(done) }()
		defer func() { cancel(); <-done }()
		b := NewBalancer(p, "least_sessions", "sluice")
		is[1].sessions.Store(1000)

		fails(is[0], 2)
		time.Sleep(2*time.Second + sampleEvery/2)
		wantView(t, "two failures", p, "up", "", "")
		fails(is[0], 1)
		time.Sleep(sampleEvery / 2)
		synctest.Wait()
		wantView(t, "the third", p, "ejected", "3 dial errors in a row: connection refused", "10s")
		time.Sleep(4 * time.Second)
		wantView(t, "later on", p, "ejected", "3 dial errors in a row: connection refused", "6s")
		for _, cookie := range []string{"", cookieValue(is[0].id)} {
			if got := choose(t, b.For("", cookie)); got != is[1] {
				t.Errorf("with cookie %q a session goes to the one that is ejected", cookie)
			}
		}
		if n := p.Views()[0].Ejections[health.OutlierDials]; n != 1 {
			t.Errorf("%d ejections for dials are counted", n)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		wantView(t, "its time is up", p, "starting", "", "")
		if got := choose(t, b.For("", cookieValue(is[0].id))); got != is[0] {
			t.Error("back again, it gets no session")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		wantView(t, "long after", p, "starting", "", "")
		for _, line := range []string{`level=WARN msg="instance ejected" instance=ws://10.0.0.1:9000 why="3 dial errors in a row: connection refused" for=10s`,
			`level=INFO msg="instance comes back" instance=ws://10.0.0.1:9000`} {
			if strings.Count(log.String(), line) != 1 {
				t.Errorf("not once in the log: %s\n%s", line, log.String())
			}
		}
	})
}

// TestSignsOfLife end a run of failures; faults of our own, and of one that is
// down, are none.
func TestSignsOfLife(t *testing.T) {
	for _, c := range []struct {
		sentence string
		do       func(i *Instance)
		ejected  bool
	}{
		{"three dials", func(i *Instance) { fails(i, 3) }, true},
		{"two dials, one ping", func(i *Instance) { fails(i, 2); i.Silent() }, true},
		{"three pings", func(i *Instance) { i.Silent(); i.Silent(); i.Silent() }, true},
		{"an answer between dials", func(i *Instance) { fails(i, 2); i.Reached(); fails(i, 2) }, false},
		{"a pong between pings", func(i *Instance) { i.Silent(); i.Silent(); i.Alive(); i.Silent(); i.Silent() }, false},
		{"a pong between dials", func(i *Instance) { fails(i, 2); i.Alive(); fails(i, 1) }, false},
		{"our own ports and files", func(i *Instance) {
			for range 5 {
				i.Unreachable(syscall.EADDRNOTAVAIL)
				i.Unreachable(syscall.EMFILE)
			}
		}, false},
		{"down, and up again", func(i *Instance) {
			fails(i, 2)
			setDown(i)
			fails(i, 9)
			i.Silent()
			i.judge(t.Context(), health.Passed, "", health.Rules{Rise: 1, Fall: 1})
			fails(i, 2)
		}, false},
	} {
		p, is := watched(t, 2)
		c.do(is[0])
		p.set.judgeOutliers(time.Second)
		if got := is[0].outlier.ejected.Load(); got != c.ejected {
			t.Errorf("%s: it is ejected: %v", c.sentence, got)
		}
	}
}

// TestEnds: abnormal ends that stand out eject, normal ones never (envoy#24690).
func TestEnds(t *testing.T) {
	p, is := watched(t, 2)
	end := func(i *Instance, n int, codes ...uint16) {
		for k := range n {
			i.Ended(codes[k%len(codes)])
		}
	}
	end(is[0], 1000, 1000, 1001, 1005, 1008, 1012, 3000, 4999)
	end(is[1], 40, 1000)
	p.set.judgeOutliers(time.Second)
	wantView(t, "a thousand ends of all other codes", p, "up", "", "")

	p, is = watched(t, 2)
	end(is[0], 20, 1006, 1000, 1011, 1000)
	end(is[1], 40, 1000)
	p.set.judgeOutliers(time.Second)
	p.set.judgeOutliers(time.Second) // the same ends count once
	wantView(t, "half of them abnormal", p, "ejected", "10 of 20 sessions ended abnormally (1006 or 1011); the other instances 0 of 40", "11s")
}

// TestWhereOutliersAreOff nothing is ejected, and an ejection by another pool
// is not obeyed.
func TestWhereOutliersAreOff(t *testing.T) {
	p, is := watched(t, 2)
	off := watchedIn(t, p.set, 2)
	off.cfg.Load().Health.Outliers = false
	eject(t, is[0])
	wantView(t, "where they are off", off, "up", "", "")
	is[1].sessions.Store(1000)
	is[0].avoid.Store(0)
	if got := choose(t, NewBalancer(off, "least_sessions", "").For("", "")); got != is[0] {
		t.Error("the pool obeys the other's ejection")
	}
	p, is = watched(t, 2)
	p.cfg.Load().Health.Outliers = false
	fails(is[0], 5)
	p.set.judgeOutliers(time.Second)
	wantView(t, "nothing is ejected", p, "up", "", "")
}

// TestEjectedAsALastResort: one that is ejected is taken rather than nobody,
// and not because others are full.
func TestEjectedAsALastResort(t *testing.T) {
	p, is := watched(t, 3, "max=1")
	b := NewBalancer(p, "least_sessions", "")
	eject(t, is[0])
	c := b.For("", "")
	first := choose(t, c)
	second := choose(t, c)
	if first == is[0] || second == is[0] {
		t.Error("it is taken while others are there")
	}
	wantErr(t, "the others are full", c, ErrFull)
	first.Release()
	second.Release()
	if got := choose(t, c, is[1], is[2]); got != is[0] {
		t.Errorf("the others were tried, and %s is taken", got.Name())
	}
	is[0].Release()
	setDown(is[1])
	setDown(is[2])
	if got := choose(t, c); got != is[0] {
		t.Errorf("the others are down, and %s is taken", got.Name())
	}
	wantErr(t, "it is full itself", c, ErrFull)
	is[0].Release()
	resolves(p, "10.0.0.1:9000")
	if got := choose(t, c); got != is[0] {
		t.Errorf("the others are gone, and %s is taken", got.Name())
	}
	p.set.judgeOutliers(time.Second)
	wantView(t, "alone, it is not ejected any more", p, "starting", "", "")
}

// TestAliveIsFree: a pong from one that is well costs next to nothing.
func TestAliveIsFree(t *testing.T) {
	_, is := watched(t, 1)
	if n := testing.AllocsPerRun(100, func() { is[0].Alive(); is[0].Ended(1006); is[0].Silent() }); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// TestManyLoops tell of an instance at once, while it is judged and shown.
func TestManyLoops(t *testing.T) {
	const loops, each = 4, 2000
	p, is := watched(t, 2)
	b := NewBalancer(p, "round_robin", "")
	done := make(chan struct{})
	for range loops {
		go func() {
			for range each {
				fails(is[0], 1)
				is[0].Silent()
				is[0].Alive()
				is[0].Ended(1006)
				if i, err := b.For("", "").Instance(nil); err == nil {
					i.Release()
				}
			}
			done <- struct{}{}
		}()
	}
	for ended := 0; ended < loops; {
		select {
		case <-done:
			ended++
		default:
			p.set.judgeOutliers(p.set.now())
			p.Views()
		}
	}
	p.set.judgeOutliers(p.set.now())
	if o := &is[0].outlier; o.ended != loops*each || o.abnormal != loops*each {
		t.Errorf("%d sessions and %d abnormal ends were judged, want %d of each", o.ended, o.abnormal, loops*each)
	}
}
