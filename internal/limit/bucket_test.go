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
