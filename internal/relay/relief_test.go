package relay

import (
	"testing"
	"time"
)

// TestRespite: instances that take a session and hang up at once are asked less
// and less often, and one that has served it for a while makes that good.
func TestRespite(t *testing.T) {
	k, now := &kept{}, time.Hour
	if got := k.respite(now); got != 0 {
		t.Fatalf("after the first leg another one is asked at once, got %v", got)
	}
	last := time.Duration(0)
	for range 100 {
		k.stood = now
		got := k.respite(now + time.Millisecond)
		if got <= last && got != askAgain || got > askAgain {
			t.Fatalf("each time it is longer, up to %v: %v, then %v", askAgain, last, got)
		}
		last = got
	}
	if last != askAgain {
		t.Fatalf("at last it is %v, got %v", askAgain, last)
	}
	if got := k.respite(now + time.Minute); got != 0 {
		t.Fatalf("after a leg that has served another one is asked at once, got %v", got)
	}
	k.stood = now
	if got := k.respite(now); got != respiteStep {
		t.Fatalf("then it begins anew with %v, got %v", respiteStep, got)
	}
}
