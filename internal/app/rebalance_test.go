package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/relay"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// The end of rebalancing is told when the sessions have moved, not when the last
// of them was chosen.
func TestTheEndOfRebalancing(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	b := &rebalancer{pool: new(upstream.Pool), moves: new(relay.Moves)}
	b.shifts.Moving = true
	b.tell(log)
	b.moves.Under.Store(3)
	b.shifts.Moving = false
	b.tell(log)
	if strings.Contains(out.String(), "rebalanced") {
		t.Fatalf("three sessions are on their way still: got %s", &out)
	}
	b.moves.Under.Store(0)
	b.moves.Done.Store(3)
	b.tell(log)
	if !strings.Contains(out.String(), "sessions=3") {
		t.Errorf("want how many have moved, got %s", &out)
	}
}
