package relay

import (
	"testing"
	"unsafe"

	"github.com/sluice-proxy/sluice/internal/upstream"
)

// The budget of an idle session, both connections included, in bytes.
const sessionBudget = 750

func TestAnIdleSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}) + unsafe.Sizeof(side{}); n > sessionBudget {
		t.Fatalf("a session takes %d bytes, %d are allowed", n, sessionBudget)
	}
}

// What keeping the client adds, while nothing is under way, in bytes; the
// request's head apart.
const keptBudget = 224

func TestAKeptSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(kept{}) + unsafe.Sizeof(upstream.Choice{}); n > keptBudget {
		t.Fatalf("keeping a client takes %d bytes, %d are allowed", n, keptBudget)
	}
}
