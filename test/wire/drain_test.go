package wire_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// An instance that is drained gets no session, not even one that belongs there,
// until it is undrained; a reload does not change that.
func TestDrain(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		one, two := testkit.Listen(t), testkit.Listen(t)
		c := testkit.Config{Upstreams: []string{one.URL(), two.URL()}, Balance: "policy: round_robin, sticky: {cookie: s}"}
		a := testkit.Start(t, tr, c.String())
		client := a.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		leg := one.Connect(t, "a session on the first")
		cookie := "Cookie: " + client.WantUpgraded("is open").Get("Set-Cookie")
		if n, err := a.Drain(one.URL()); n != 1 || err != nil {
			t.Errorf("draining it tells of %d sessions, %v", n, err)
		}
		leg.Want("the instance is told", testkit.Close(1001, ""))
		leg.Send(testkit.Close(1001, ""))
		client.WantClose("the client is to come again", 1012)
		client.Close()
		for range 3 {
			again := a.Dial(t)
			again.SendString(testkit.Upgrade("/", cookie))
			two.Connect(t, "and gets to the other one")
			again.WantUpgraded("though its cookie says where it was")
			c.Limits += "message_size: 1MiB"
			a.Reload(t, c.String())
			c.Limits = ""
		}
		one.WantUnvisited(t, "the drained one is left alone")
		if _, err := a.Drain(two.URL()); err != nil {
			t.Error(err)
		}
		none := a.Dial(t)
		none.SendString(testkit.Upgrade("/"))
		none.WantRefusal("with both drained there is none", 503)
		if _, err := a.Undrain(one.URL()); err != nil {
			t.Error(err)
		}
		back := a.Dial(t)
		back.SendString(testkit.Upgrade("/"))
		one.Connect(t, "one that is undrained is used again")
		back.WantUpgraded("and answers")
	})
}
