package scatter

import (
	"testing"
	"unsafe"
)

// The budgets of a session with one leg that stands, and of each leg more, in
// bytes; what is lent by the loop while messages are under way apart.
const (
	sessionBudget = 832
	legBudget     = 480
)

func TestASessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > sessionBudget {
		t.Errorf("a session takes %d bytes, %d are allowed", n, sessionBudget)
	}
}

func TestALegIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(leg{}); n > legBudget {
		t.Errorf("a leg takes %d bytes, %d are allowed", n, legBudget)
	}
}
