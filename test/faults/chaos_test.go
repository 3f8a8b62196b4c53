package faults_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

var (
	chaosFor  = flag.Duration("faults.for", 0, "how long seeds are played, all in all; 0: a minute, less with -short and where raw is not built")
	chaosSeed = flag.Int64("faults.seed", -1, "the one seed to play; -1: those that are kept, then others")
)

// mode is what a seed is played on.
type mode struct {
	name string
	play func(t *testing.T, tr testkit.Transport, seed uint64)
	kept []uint64
}

var modes = []mode{
	{"balance", runBalanced, keptBalance},
	{"fanout", runFanOut, keptFanOut},
	{"keep", runKept, keptKeep},
	{"scatter", runScattered, keptScatter},
}

// Seeds that are played first: those that have failed once, with what they had
// found.
var (
	keptBalance = []uint64{
		1, // pongs to the proxy's own pings, when more than eight were out, went on to the client
	}
	// Three of them have each slow policy between them, with short histories and
	// longer ones. A quick one stands first, for runs that have little time.
	keptFanOut = []uint64{
		0,
		2567757946, // a source that vanished in its handshake, when it was asked again, was waited for without end
		1, 2,
	}
	// The first are one of each rule for what is unproven.
	keptKeep = []uint64{
		0, 1, 2,
		691838249,  // a leg that stood for a move did not get what the client's opening went on with
		1307189073, // short messages behind a long one were taken for it
	}
)

// One of each way to gather.
var keptScatter = []uint64{0, 1, 2, 3, 4, 5, 6}

// TestChaos plays seeds until its time is up: sessions through links on which
// faults strike, and an oracle for what must have come of them.
func TestChaos(t *testing.T) {
	long := *chaosFor
	switch {
	case long == 0 && (testing.Short() || streamOnly):
		long = 10 * time.Second
	case long == 0:
		long = time.Minute
	}
	end := time.Now().Add(long)
	for turn := 0; ; turn++ {
		played := false
		for _, m := range modes {
			for _, tr := range testkit.Transports {
				seed := m.seed(turn)
				t.Run(fmt.Sprintf("%s/%s/%d", m.name, tr, seed), func(t *testing.T) {
					played = true
					m.play(t, tr, seed)
				})
				if time.Now().After(end) {
					return
				}
			}
		}
		if !played || *chaosSeed >= 0 && *chaosFor == 0 {
			return
		}
	}
}

// seed is the one that a mode plays in a turn.
func (m *mode) seed(turn int) uint64 {
	switch {
	case *chaosSeed >= 0:
		return uint64(*chaosSeed)
	case turn < len(m.kept):
		return m.kept[turn]
	}
	return uint64(rand.Uint32())
}

// again is the command that plays a seed once more.
func again(mode string, tr testkit.Transport, seed uint64) string {
	tags := ""
	if streamOnly {
		tags = "-tags streamonly "
	}
	return fmt.Sprintf("  once more: go test -race -count 1 %s-run 'TestChaos/%s/%s' ./test/faults -faults.seed %d", tags, mode, tr, seed)
}
