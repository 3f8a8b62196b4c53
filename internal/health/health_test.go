package health_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-proxy/sluice/internal/health"
)

// tell tells a state of events, p passed and f failed, a second each, and
// writes down a verdict for each: u or d, in upper case when it has changed.
func tell(s health.State, events string, r health.Rules) (verdicts string, end health.State) {
	for k, e := range events {
		event := health.Passed
		if e == 'f' {
			event = health.Failed
		}
		var changed bool
		s, changed = s.Next(event, "no answer", r, time.Duration(k+1)*time.Second)
		v := "u"
		if s.Down {
			v = "d"
		}
		if changed {
			v = map[string]string{"u": "U", "d": "D"}[v]
		}
		verdicts += v
	}
	return verdicts, s
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name           string
		rise, fall     int
		events, expect string
	}{
		{"up from the start", 2, 3, "ppp", "uuu"},
		{"three failures take it down, two successes bring it back", 2, 3, "fffpp", "uuDdU"},
		{"failures must come in a row", 2, 3, "ffpffpff", "uuuuuuuu"},
		{"successes must come in a row", 2, 3, "fffpfpfpp", "uuDdddddU"},
		{"down, more failures say nothing new", 2, 3, "ffffffpp", "uuDddddU"},
		{"after each change the count begins anew", 2, 3, "fffppffpfff", "uuDdUuuuuuD"},
		{"one of each is enough", 1, 1, "fpfp", "DUDU"},
		{"none asked for is one", 0, 0, "fpfp", "DUDU"},
	} {
		if got, _ := tell(health.State{}, c.events, health.Rules{Rise: c.rise, Fall: c.fall}); got != c.expect {
			t.Errorf("%s: %s gives %s, want %s", c.name, c.events, got, c.expect)
		}
	}
}

func TestWhyAndSince(t *testing.T) {
	rules := health.Rules{Rise: 2, Fall: 3}
	_, s := tell(health.State{}, "pfff", rules)
	if s.Why != "no answer" || s.Since != 4*time.Second {
		t.Errorf("down, it says %q since %v", s.Why, s.Since)
	}
	s, _ = s.Next(health.Failed, "another reason", rules, time.Minute)
	if s.Why != "no answer" || s.Since != 4*time.Second {
		t.Errorf("a later failure changes that to %q since %v", s.Why, s.Since)
	}
	if _, s = tell(s, "pp", rules); s.Why != "" || s.Since != 2*time.Second {
		t.Errorf("up again, it says %q since %v", s.Why, s.Since)
	}
}

// TestChangeTakesARow: the verdict changes at that event, and only then, which
// is the last of so many in a row that speak against it, counted from the last
// change.
func TestChangeTakesARow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := health.Rules{Rise: rapid.IntRange(1, 4).Draw(t, "rise"), Fall: rapid.IntRange(1, 4).Draw(t, "fall")}
		var s health.State
		var since []health.Event // the last change
		for k := range rapid.IntRange(0, 40).Draw(t, "events") {
			e := rapid.SampledFrom([]health.Event{health.Passed, health.Failed}).Draw(t, "event")
			since = append(since, e)
			against, need := health.Failed, r.Fall
			if s.Down {
				against, need = health.Passed, r.Rise
			}
			due := len(since) >= need
			for _, e := range since[max(0, len(since)-need):] {
				due = due && e == against
			}
			next, changed := s.Next(e, "", r, time.Duration(k))
			if changed != due || changed != (next.Down != s.Down) {
				t.Fatalf("down %v, behind %v: changed is %v, want %v", s.Down, since, changed, due)
			}
			if s = next; changed {
				since = nil
			}
		}
	})
}

// TestWait: within a tenth of the interval, either way, all of it used.
func TestWait(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "interval"))
		got := health.Wait(interval, rapid.Uint64().Draw(t, "random"))
		if tenth := interval / 10; got < interval-tenth || got > interval+tenth {
			t.Fatalf("every %v gives %v", interval, got)
		}
	})
	seen := map[time.Duration]bool{}
	for k := range uint64(100) {
		seen[health.Wait(5*time.Second, k*0x9E3779B97F4A7C15).Round(100*time.Millisecond)] = true
	}
	for d := 4600 * time.Millisecond; d <= 5400*time.Millisecond; d += 100 * time.Millisecond {
		if !seen[d] {
			t.Errorf("of 100 probes every 5s none waits about %v", d)
		}
	}
}
