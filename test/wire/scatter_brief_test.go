package wire_test

import (
	"sync/atomic"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Instances that welcome a session, say something and go away at once are not
// asked as fast as they answer, for as long as the client stays.
func TestScatterInstancesThatGoAtOnce(t *testing.T) {
	const most = 150 // as fast as can be it is a thousand or more
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		var asked atomic.Int32
		f, a := scattering(t, tr, 2, testkit.Scatter{Timeouts: "age: 1s", Scatter: "send: round_robin"})
		f.Answer(func(_ int, h *testkit.Head) string {
			asked.Add(1)
			return testkit.Answer(h) + string(testkit.Text("welcome").Plain()) + string(testkit.Close(1012, "").Plain())
		})
		client := a.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		client.WantUpgraded("the client is upgraded")
		for client.Frame("it is welcome, until it is too old").Op != ws.CloseFrame {
			continue
		}
		if n := asked.Load(); n > most {
			t.Errorf("instances want to be asked at most %d times, and were asked %d times", most, n)
		}
	})
}
