package health_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-proxy/sluice/internal/health"
)

// yard is instances in pools, and a clock.
type yard struct {
	all   []*health.Outlier
	pools [][]*health.Outlier
	now   time.Duration
}

// newYard makes n instances in one pool.
func newYard(n int) *yard {
	y := &yard{now: time.Hour}
	for range n {
		y.all = append(y.all, &health.Outlier{})
	}
	y.pools = [][]*health.Outlier{y.all}
	return y
}

// judge lets time pass and judges by these signs, an instance each.
func (y *yard) judge(after time.Duration, signs ...health.Signs) {
	y.now += after
	for k, o := range y.all {
		var s health.Signs
		if k < len(signs) {
			s = signs[k]
		}
		o.Note(s, y.now)
	}
	health.JudgeOutliers(y.pools, y.now)
}

// out writes down who is ejected: x for those who are.
func (y *yard) out() string {
	var s strings.Builder
	for _, o := range y.all {
		if o.Ejected {
			s.WriteByte('x')
		} else {
			s.WriteByte('.')
		}
	}
	return s.String()
}

func wantOut(t *testing.T, sentence string, y *yard, want string) {
	t.Helper()
	if got := y.out(); got != want {
		t.Errorf("%s: %s, want %s", sentence, got, want)
	}
}

func dials(n int) health.Signs { return health.Signs{Dials: n, Fault: "connection refused"} }
func pings(n int) health.Signs { return health.Signs{Pings: n} }
func ends(abnormal, all uint64) health.Signs {
	return health.Signs{Ends: health.Ends{All: all, Abnormal: abnormal}}
}

var down = health.Signs{Down: true}

func TestOutliers(t *testing.T) {
	for _, c := range []struct {
		sentence string
		signs    []health.Signs
		out      string
		why      string // of the first
	}{
		{"nothing is known", []health.Signs{{}, {}}, "..", ""},
		{"two failures are not three", []health.Signs{dials(2), {}}, "..", ""},
		{"three dials in a row", []health.Signs{dials(3), {}}, "x.", "3 dial errors in a row: connection refused"},
		{"three pings in a row", []health.Signs{pings(3), {}}, "x.", "3 missed pings in a row"},
		{"some of both", []health.Signs{{Dials: 1, Pings: 2, Fault: "no route to host"}, {}}, "x.",
			"1 dial error and 2 missed pings in a row: no route to host"},
		{"a pool of one", []health.Signs{dials(100)}, ".", ""},
		{"half of two", []health.Signs{dials(3), dials(3)}, "x.", "3 dial errors in a row: connection refused"},
		{"half of three", []health.Signs{dials(3), dials(3), dials(3)}, "x..", "3 dial errors in a row: connection refused"},
		{"half of four", []health.Signs{dials(3), pings(3), dials(3), {}}, "xx..", "3 dial errors in a row: connection refused"},
		{"one that is down leaves no room in two", []health.Signs{dials(3), down}, "..", ""},
		{"but in four", []health.Signs{dials(3), down, dials(3), {}}, "x...", "3 dial errors in a row: connection refused"},
		{"who fails in a row goes before who stands out", []health.Signs{ends(20, 20), dials(3), ends(0, 20)}, ".x.", ""},

		{"it stands out", []health.Signs{ends(12, 20), ends(1, 20), ends(0, 20)}, "x..",
			"12 of 20 sessions ended abnormally (1006 or 1011); the other instances 1 of 40"},
		{"four are too few", []health.Signs{ends(4, 4), ends(0, 40)}, "..", ""},
		{"five are enough", []health.Signs{ends(5, 5), ends(0, 40)}, "x.",
			"5 of 5 sessions ended abnormally (1006 or 1011); the other instances 0 of 40"},
		{"29 in a hundred are not enough above none", []health.Signs{ends(29, 100), ends(0, 100)}, "..", ""},
		{"30 are", []health.Signs{ends(30, 100), ends(0, 100)}, "x.",
			"30 of 100 sessions ended abnormally (1006 or 1011); the other instances 0 of 100"},
		{"three in ten above, and not twice as much", []health.Signs{ends(90, 100), ends(50, 100)}, "..", ""},
		{"twice as much, and not three in ten above", []health.Signs{ends(40, 100), ends(20, 100)}, "..", ""},
		{"both", []health.Signs{ends(70, 100), ends(35, 100)}, "x.",
			"70 of 100 sessions ended abnormally (1006 or 1011); the other instances 35 of 100"},
		{"all fail alike", []health.Signs{ends(50, 50), ends(50, 50), ends(50, 50)}, "...", ""},
		{"nobody to compare it with", []health.Signs{ends(50, 50), {}, {}}, "...", ""},
		{"none of the others' has ended", []health.Signs{ends(50, 50), {Open: 7}, {Open: 8}}, "x..",
			"50 of 50 sessions ended abnormally (1006 or 1011); the other instances 0 of 15"},
		{"its own that go on say nothing of the others", []health.Signs{{Open: 9, Ends: health.Ends{All: 50, Abnormal: 50}}, {}}, "..", ""},
		{"many ends, none abnormal", []health.Signs{ends(0, 1000), ends(0, 1)}, "..", ""},
	} {
		y := newYard(len(c.signs))
		y.judge(0, c.signs...)
		wantOut(t, c.sentence, y, c.out)
		if got := y.all[0].Why; got != c.why {
			t.Errorf("%s: it says %q, want %q", c.sentence, got, c.why)
		}
	}
}

// TestWhichEndsCount: normal closes and the application's own do not (envoy#24690).
func TestWhichEndsCount(t *testing.T) {
	for code := range uint16(5000) {
		if got, want := health.AbnormalEnd(code), code == 1006 || code == 1011; got != want {
			t.Errorf("%d counts against the instance: %v", code, got)
		}
	}
}

// TestTheWindow: shares are those of the last minute.
func TestTheWindow(t *testing.T) {
	y := newYard(2)
	for range 4 {
		y.judge(10*time.Second, ends(1, 1), ends(0, 1))
	}
	wantOut(t, "four in 40 s", y, "..")
	y.judge(40*time.Second, ends(2, 2), ends(0, 1))
	wantOut(t, "two of them are forgotten when two more come", y, "..")
	y.judge(0, ends(1, 1), ends(0, 1))
	wantOut(t, "the fifth in a minute", y, "x.")

	y = newYard(2)
	y.judge(0, ends(4, 4), ends(0, 9))
	y.judge(time.Hour, ends(4, 4), ends(0, 9))
	wantOut(t, "an hour is between them", y, "..")
}

func TestEjectionDoubles(t *testing.T) {
	y := newYard(2)
	lasts := func() time.Duration {
		y.judge(0, dials(3))
		wantOut(t, "it fails again", y, "x.")
		d := y.all[0].Until - y.now
		y.judge(d-1, dials(3))
		wantOut(t, "until its time is up", y, "x.")
		y.judge(1)
		wantOut(t, "its time is up", y, "..")
		return d
	}
	var got []string
	for range 7 {
		got = append(got, lasts().String())
	}
	if s := fmt.Sprint(got); s != "[10s 20s 40s 1m20s 2m40s 5m0s 5m0s]" {
		t.Errorf("ejections last %s", s)
	}
	y.judge(time.Minute)
	if d := lasts(); d != 5*time.Minute {
		t.Errorf("after a minute of good behaviour it lasts %v, want one doubling less of six", d)
	}
	for range 4 {
		y.judge(time.Minute)
	}
	if d := lasts(); d != 40*time.Second {
		t.Errorf("after four minutes it lasts %v, want four doublings less", d)
	}
	for range 20 {
		y.judge(time.Minute)
	}
	if d := lasts(); d != 10*time.Second {
		t.Errorf("in the end it lasts %v, want all forgotten", d)
	}
}

// TestEvidenceIsUsedOnce: what led to an ejection does not lead to the next.
func TestEvidenceIsUsedOnce(t *testing.T) {
	y := newYard(2)
	y.judge(0, ends(20, 20), ends(0, 20))
	wantOut(t, "it stands out", y, "x.")
	y.judge(5*time.Second, ends(9, 9), ends(0, 20))
	y.judge(5*time.Second, health.Signs{}, ends(0, 20))
	wantOut(t, "its time is up, and it is not judged by the same minute again", y, "..")
	y.judge(time.Second, ends(5, 5), ends(0, 20))
	wantOut(t, "what it does now counts", y, "x.")
}

// TestTheProbeIsStronger: one that a probe takes down is not ejected beside
// that, and starts anew when it is up again.
func TestTheProbeIsStronger(t *testing.T) {
	y := newYard(2)
	y.judge(0, dials(3))
	wantOut(t, "it fails", y, "x.")
	y.judge(time.Second, down)
	wantOut(t, "the probe finds it down", y, "..")
	y = newYard(2)
	y.judge(0, ends(4, 4), ends(0, 20))
	y.judge(time.Second, health.Signs{Down: true, Dials: 9, Ends: health.Ends{All: 50, Abnormal: 50}}, ends(0, 20))
	y.judge(time.Second, ends(4, 4))
	wantOut(t, "up again, it has lost no sessions yet", y, "..")
}

// TestSeveralPools: an instance must be to spare, and stand out, in each.
func TestSeveralPools(t *testing.T) {
	y := newYard(4)
	y.pools = [][]*health.Outlier{y.all[:3], y.all[2:]}
	y.judge(0, dials(3), health.Signs{}, dials(3))
	wantOut(t, "no room beside the first", y, "x...")
	y = newYard(3)
	y.pools = [][]*health.Outlier{y.all[:2], y.all[:1], y.all}
	y.judge(0, dials(3))
	wantOut(t, "it is alone in the second pool", y, "...")

	y = newYard(3)
	y.pools = [][]*health.Outlier{{y.all[0], y.all[1]}, {y.all[0], y.all[2]}}
	y.judge(0, ends(20, 20), ends(20, 20), ends(0, 20))
	wantOut(t, "it fails as all do in the first pool", y, "...")
	y.judge(time.Minute, ends(20, 20), health.Signs{}, ends(0, 20))
	wantOut(t, "in the first pool there is nothing to compare it with", y, "x..")
}

// TestPoolShrinks: who is ejected comes back when too few are left.
func TestPoolShrinks(t *testing.T) {
	y := newYard(4)
	y.judge(0, dials(3))
	y.judge(time.Second, dials(3), dials(3))
	wantOut(t, "half of four", y, "xx..")
	y.pools = [][]*health.Outlier{y.all[:3]}
	y.judge(time.Second)
	wantOut(t, "of three one may be, and the first was to be back first", y, ".x..")
	y.pools = [][]*health.Outlier{y.all[1:2]}
	y.judge(time.Second)
	wantOut(t, "of one none", y, "....")
}

// drawYard gives instances in pools that overlap.
func drawYard(t *rapid.T) *yard {
	y := newYard(rapid.IntRange(1, 8).Draw(t, "instances"))
	y.pools = nil
	for range rapid.IntRange(1, 3).Draw(t, "pools") {
		var pool []*health.Outlier
		for _, o := range y.all {
			if rapid.Bool().Draw(t, "in it") {
				pool = append(pool, o)
			}
		}
		y.pools = append(y.pools, pool)
	}
	return y
}

func drawSigns(t *rapid.T, abnormal bool) health.Signs {
	s := health.Signs{Ends: health.Ends{All: rapid.Uint64Range(0, 50).Draw(t, "ended")}}
	if abnormal {
		s.Down = rapid.IntRange(0, 5).Draw(t, "down") == 0
		s.Dials, s.Pings = rapid.IntRange(0, 4).Draw(t, "dials"), rapid.IntRange(0, 4).Draw(t, "pings")
		s.Abnormal = rapid.Uint64Range(0, s.All).Draw(t, "abnormal")
	}
	return s
}

func drawAll(t *rapid.T, y *yard, abnormal bool) (all []health.Signs) {
	for range y.all {
		all = append(all, drawSigns(t, abnormal))
	}
	return all
}

// TestNeverMoreThanHalf of any pool, whatever happens and whoever leaves; and
// who is ejected is back within five minutes.
func TestNeverMoreThanHalf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := drawYard(t)
		for range 30 {
			y.judge(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds"))*time.Second, drawAll(t, y, true)...)
			for k, pool := range y.pools {
				ejected := 0
				for _, o := range pool {
					if o.Ejected {
						ejected++
					}
					if left := o.Until - y.now; o.Ejected && (left <= 0 || left > 5*time.Minute) {
						t.Fatalf("an ejection has %v left", left)
					}
				}
				if ejected > len(pool)/2 {
					t.Fatalf("%d of %d are ejected", ejected, len(pool))
				}
				if len(pool) > 0 && rapid.IntRange(0, 9).Draw(t, "one leaves") == 0 {
					y.pools[k] = pool[1:]
				}
			}
		}
		y.pools = [][]*health.Outlier{y.all}
		y.judge(5 * time.Minute)
		if strings.Contains(y.out(), "x") {
			t.Fatalf("five minutes later, without a failure: %s", y.out())
		}
	})
}

// TestNormalEndsNeverEject, however many more one has than others.
func TestNormalEndsNeverEject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := drawYard(t)
		for range 20 {
			y.judge(time.Second, drawAll(t, y, false)...)
			if strings.Contains(y.out(), "x") {
				t.Fatalf("for normal ends: %s", y.out())
			}
		}
	})
}

// TestEqualSharesNeverEject, whatever their share is and however many sessions
// each has had.
func TestEqualSharesNeverEject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := drawYard(t)
		of := rapid.Uint64Range(1, 20).Draw(t, "of")
		bad := rapid.Uint64Range(0, of).Draw(t, "abnormal")
		for range 20 {
			var all []health.Signs
			for range y.all {
				n := rapid.Uint64Range(0, 10).Draw(t, "times")
				all = append(all, ends(n*bad, n*of))
			}
			y.judge(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds"))*time.Second, all...)
			if strings.Contains(y.out(), "x") {
				t.Fatalf("with %d of %d each: %s", bad, of, y.out())
			}
		}
	})
}

// TestOneThatStandsOutIsFound, in a pool of any size, if all others are well.
func TestOneThatStandsOutIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := newYard(rapid.IntRange(2, 8).Draw(t, "instances"))
		which := rapid.IntRange(0, len(y.all)-1).Draw(t, "which")
		signs := make([]health.Signs, len(y.all))
		for k := range signs {
			signs[k] = ends(0, rapid.Uint64Range(1, 100).Draw(t, "ended"))
		}
		bad := rapid.Uint64Range(5, 100).Draw(t, "abnormal")
		signs[which] = ends(bad, bad*rapid.Uint64Range(1, 3).Draw(t, "one in"))
		y.judge(0, signs...)
		want := strings.Repeat(".", which) + "x" + strings.Repeat(".", len(y.all)-which-1)
		if got := y.out(); got != want {
			t.Fatalf("%s, want %s of %+v", got, want, signs)
		}
	})
}
