package faults_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// Messages are scattered over instances that die and come back: every request is
// answered once, or has its error; answers about one thing keep the order of the
// requests. Two seeds of each way to gather, the second with moments in which all
// instances are dead; TestChaos plays others.
func TestScatter(t *testing.T) {
	for k, how := range gatherings {
		for n, tr := range []testkit.Transport{testkit.Raw, testkit.Stream} {
			if tr == testkit.Raw && streamOnly {
				continue
			}
			t.Run(how.name+"/"+string(tr), func(t *testing.T) {
				runScattered(t, tr, uint64(k+(n+k)%2*len(gatherings)))
			})
		}
	}
}

// A crowd asks much more: a small one where the race detector would take minutes.
func TestScatterCrowd(t *testing.T) {
	crowd := size{100, 1000}
	if raceDetector || testing.Short() {
		crowd = size{40, 100}
	}
	tr := testkit.Raw
	if streamOnly {
		tr = testkit.Stream
	}
	for k, how := range gatherings {
		if how.name == "error" || how.name == "hedged" || how.name == "collect" {
			t.Run(how.name, func(t *testing.T) { scatter(t, tr, uint64(k), crowd) })
		}
	}
}
