package health

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBackoffDoublesAndStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Backoff
		want := backoffLeast
		for range rapid.IntRange(1, 20).Draw(t, "failures") {
			if d := b.Next(rapid.Uint64().Draw(t, "random")); d < want/2 || d >= want {
				t.Fatalf("the wait is %v, want %v to %v", d, want/2, want)
			}
			want = min(2*want, backoffMost)
		}
		b.Reset()
		if d := b.Next(0); d != 50*time.Millisecond {
			t.Fatalf("after a success the wait is %v", d)
		}
	})
}
