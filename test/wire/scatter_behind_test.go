package wire_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// An instance that owes more late answers than are remembered is let go: what it
// said then would come twice.
func TestScatterTooFarBehind(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: "send: all, gather: {policy: first, id: id, timeout: 10s, outstanding: {messages: 4}}"})
		client, _ := f.Enter(t, a)
		var slow *testkit.Peer
		for n := range 5 {
			client.Send(keyed(n, 0))
			one, other := f.Want(t, "one is asked", keyed(n, 0)).Leg, f.Want(t, "and the other", keyed(n, 0)).Leg
			if slow == nil {
				slow = one
			}
			if one == slow {
				one = other
			}
			one.Send(keyed(n, 0))
			client.Want("the quick one answers", keyed(n, 0))
		}
		f.Until(t, "the other is let go", func(h testkit.Heard) bool { return h.Ended && h.Leg == slow })
		for n := range 5 {
			_ = slow.TrySend(slow.Bytes(keyed(n, 0)))
		}
		client.Send(keyed(5, 0))
		one, other := f.Message(t, "both are asked again").Leg, f.Message(t, "both are").Leg
		one.Send(keyed(5, 0))
		other.Send(keyed(5, 0), testkit.Text("news"))
		client.Want("nothing of it comes twice", keyed(5, 0), testkit.Text("news"))
		a.WantLog(t, "the reason is told", "instance lost", "too far behind")
	})
}
