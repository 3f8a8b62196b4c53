package relay

import (
	"testing"
	"unsafe"
)

// The budget of an idle session, both connections included, in bytes.
const sessionBudget = 750

func TestAnIdleSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}) + unsafe.Sizeof(side{}); n > sessionBudget {
		t.Fatalf("a session takes %d bytes, %d are allowed", n, sessionBudget)
	}
}
