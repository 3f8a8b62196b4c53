package server

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-proxy/sluice/internal/upstream"
)

// TestStormIsSpreadOut: of a thousand at once a second's worth gets in, one
// waits, and the others are told to come when the tokens before theirs are used.
func TestStormIsSpreadOut(t *testing.T) {
	s := paced(100)
	now := time.Minute
	var last time.Duration
	for i := range 200 {
		wait, ok := s.turn(now)
		want := max(0, time.Duration(i-99)) * 10 * time.Millisecond
		if !ok || wait != want {
			t.Fatalf("handshake %d: %v, waits %v; want %v", i+1, ok, wait, want)
		}
	}
	for i := range 800 {
		wait, ok := s.turn(now)
		if ok || wait < time.Second || wait > 10*time.Second || wait <= last {
			t.Fatalf("handshake %d: %v, is to come again in %v, the one before it in %v", i+201, ok, wait, last)
		}
		last = wait
	}
	if last != 9*time.Second+10*time.Millisecond {
		t.Errorf("the last of 800 is to come in %v: with 100 a second that leaves not each a token", last)
	}
	for range 1000 { // more than ten seconds can take
		if wait, ok := s.turn(now); ok || wait > 10*time.Second {
			t.Fatalf("%v, to come in %v", ok, wait)
		}
	}
	if wait, ok := s.turn(now + 2*time.Second); !ok || wait != 0 {
		t.Errorf("when it is over: %v, waits %v", ok, wait)
	}
}

func TestRetryAfterIsSpread(t *testing.T) {
	seen := map[string]int{}
	for range 1000 {
		seen[retryAfter(2500 * time.Millisecond)[0][1]]++
		seen[retryAfter(20 * time.Second)[0][1]]++
		seen["full "+upstream.ComeAgain(3, 8)[0][1]]++
	}
	if len(seen) != 3+6 || seen["3"] < 300 || seen["4"] < 300 || seen["10"] != 1000 {
		t.Errorf("2.5 s, 20 s, and 3 to 8 s are told as %v", seen)
	}
}

// TestPaceWaits: handshakes come through at their pace, in order, and what
// can't wait is told so.
func TestPaceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := paced(2)
		began := time.Now()
		var done sync.WaitGroup
		for i := range 4 {
			done.Go(func() {
				refusal, _ := s.pace(nil, nil)
				if took := time.Since(began); refusal != nil || took != max(0, time.Duration(i-1))*time.Second/2 {
					t.Errorf("handshake %d: %v after %v", i+1, refusal, took)
				}
			})
			synctest.Wait()
		}
		refusal, result := s.pace(nil, nil)
		if refusal == nil || refusal.Status != 503 || result != "storm" {
			t.Fatalf("one too many: %+v, %q", refusal, result)
		}
		if n, err := strconv.Atoi(refusal.Header[0][1]); err != nil || n < 2 || n > 10 {
			t.Errorf("it is told to come after %q seconds", refusal.Header[0][1])
		}
		done.Wait()
	})
}

// TestPaceEnds: who waits does not hold up the end, nor outlives its client.
func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := paced(1)
		s.pace(nil, nil)
		gone := make(chan struct{})
		var done sync.WaitGroup
		done.Go(func() {
			if refusal, result := s.pace(nil, gone); refusal == nil || result != "client_gone" {
				t.Errorf("the client leaves: %v, %q", refusal, result)
			}
		})
		synctest.Wait()
		close(gone)
		done.Wait()
		time.Sleep(time.Second)
		done.Go(func() {
			if refusal, result := s.pace(nil, nil); refusal == nil || result != "going_away" {
				t.Errorf("the server ends: %v, %q", refusal, result)
			}
		})
		synctest.Wait()
		close(s.ending)
		done.Wait()
	})
}

func TestNoPace(t *testing.T) {
	s := paced(0)
	for range 10_000 {
		if refusal, _ := s.pace(nil, nil); refusal != nil {
			t.Fatal("there is no limit, and somebody is refused")
		}
	}
}

func paced(rate int) *storm {
	s := newStorm()
	s.set(rate)
	return s
}
