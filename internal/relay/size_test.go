package relay

import (
	"testing"
	"time"
	"unsafe"
)

// The budget of an idle session, both connections included, in bytes.
const sessionBudget = 750

func TestAnIdleSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > sessionBudget {
		t.Fatalf("a session takes %d bytes, %d are allowed", n, sessionBudget)
	}
}

func TestABucketHoldsItsBurstAndFillsAtItsRate(t *testing.T) {
	var b bucket
	now := time.Duration(second)
	for i := range 5 {
		if ok, _ := b.take(now, 10, 5); !ok {
			t.Fatalf("token %d of a burst of 5 is missing", i+1)
		}
	}
	ok, at := b.take(now, 10, 5)
	if ok || at != now+second/10 {
		t.Fatalf("after the burst: %v, next at %v; want a tenth of a second later", ok, at-now)
	}
	if ok, _ := b.take(at, 10, 5); !ok {
		t.Fatal("the token that was promised is not there")
	}
	if ok, _ := b.take(at, 10, 5); ok {
		t.Fatal("a token too many")
	}
}

const second = 1_000_000_000
