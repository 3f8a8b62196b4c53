package limit

import (
	"testing"
	"time"
)

const second = time.Second

func TestABucketHoldsItsBurstAndFillsAtItsRate(t *testing.T) {
	var b Bucket
	now := second
	for i := range 5 {
		if ok, _ := b.Take(now, 10, 5); !ok {
			t.Fatalf("token %d of a burst of 5 is missing", i+1)
		}
	}
	ok, at := b.Take(now, 10, 5)
	if ok || at != now+second/10 {
		t.Fatalf("after the burst: %v, next at %v; want a tenth of a second later", ok, at-now)
	}
	if ok, _ := b.Take(at, 10, 5); !ok {
		t.Fatal("the token that was promised is not there")
	}
	if ok, _ := b.Take(at, 10, 5); ok {
		t.Fatal("a token too many")
	}
}

func TestTokensToComeAreReservedInOrder(t *testing.T) {
	var b Bucket
	now := second
	for i := range 15 {
		at, ok := b.Reserve(now, 10, 5, second)
		want := now + max(0, time.Duration(i-4))*second/10
		if !ok || at != want {
			t.Fatalf("token %d: %v, in %v; want it in %v", i+1, ok, at-now, want-now)
		}
	}
	if at, ok := b.Reserve(now, 10, 5, second); ok || at != now+second+second/10 {
		t.Fatalf("one that comes after more than a second: %v, in %v", ok, at-now)
	}
	if at, ok := b.Reserve(now+second/10, 10, 5, second); !ok || at != now+second+second/10 {
		t.Fatalf("what was not reserved is not there for the next: %v, in %v", ok, at-now)
	}
	if ok, at := b.Take(now, 10, 5); ok || at != now+second+2*second/10 {
		t.Fatalf("who can't wait: %v, in %v", ok, at-now)
	}
}
