//go:build !race

package load_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

const (
	mib     = 1 << 20
	history = 1 * mib
	behind  = 1 * mib
	stalled = 100
	size    = 10 << 10
	// perRound is how many messages are sent before the reader is read.
	perRound = 20
)

// TestALogIsBounded feeds a hundred clients that do not read, and one that does,
// two hundred times what the history holds, and looks at the heap meanwhile.
// The bounds are those of docs/fanout.md.
func TestALogIsBounded(t *testing.T) {
	loops := runtime.GOMAXPROCS(0) // one is for handshakes, if a Group was here before
	for policy, logs := range map[string]float64{
		"{policy: close, after: {bytes: 1MiB}}":                               1.07,
		"{policy: skip, after: {bytes: 1MiB}, notice: none}":                  1.07,
		"{policy: latest, key: k, after: {bytes: 1MiB}, notice: '{{.Lost}}'}": 2.07 + 3*float64(loops),
	} {
		t.Run(policy, func(t *testing.T) {
			in := testkit.Listen(t)
			a := testkit.Start(t, testkit.Raw, testkit.Feed{
				Sources: []string{in.URL()}, Timeouts: "write: 60s",
				Fanout: "history: {bytes: 1MiB}, slow: " + policy,
			}.String())
			reader := a.Dial(t)
			reader.SendString(testkit.Upgrade("/"))
			source := in.Connect(t, "the first client opens the stream")
			reader.WantUpgraded("and is in")
			for range stalled {
				c := a.Dial(t)
				c.Narrow()
				c.SendString(testkit.Upgrade("/"))
				c.WantUpgraded("another client is in")
			}
			base := heap()
			// Each client that is too slow may have the rest of a message copied.
			bound := 1.13*(history+logs*behind+size+128<<10) + stalled*66<<10 + mib
			most := 0.0
			for round := range 1000 { // a fifth of what a client may be behind, so that the reader never is
				source.SendBytes(messages(round))
				if _, err := io.CopyN(io.Discard, reader.Conn(), perRound*(size+4)); err != nil {
					t.Fatal(err)
				}
				if round%50 != 49 {
					continue
				}
				used := float64(heap()) - float64(base)
				most = max(most, used)
				if used > bound {
					t.Fatalf("after %d MiB the heap has grown by %.1f MiB, the bound is %.1f", round*perRound*size/mib, used/mib, bound/mib)
				}
			}
			t.Logf("the heap grew by %.1f MiB at the most, %.1f are allowed", most/mib, bound/mib)
		})
	}
}

// messages are the frames of a round, about twenty things in turn.
func messages(round int) (b []byte) {
	for i := range perRound {
		text := fmt.Sprintf(`{"k":"K%d","n":%d,"pad":"`, i, round*perRound+i)
		b = append(b, testkit.Text(text+strings.Repeat("x", size-len(text)-2)+`"}`).Plain()...)
	}
	return b
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
