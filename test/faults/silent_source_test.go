package faults_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A source that is lost, takes the next connection and never answers on it is
// given up in time and asked again. Its clients stay.
func TestSilentSource(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in := testkit.Listen(t)
		a := testkit.Start(t, tr, testkit.Feed{Sources: []string{in.URL()}, Timeouts: "dial: 100ms, handshake: 400ms"}.String())
		p := a.Dial(t)
		p.SendString(testkit.Upgrade("/"))
		leg := in.Connect(t, "the source is asked")
		p.WantUpgraded("and answers")
		leg.Reset()
		silent := in.Accept(t, "it is lost, and asked again")
		silent.WantGone("it does not answer, and is given up")
		silent.Close()
		leg = in.Connect(t, "it is asked once more")
		leg.Send(testkit.Text("here"))
		p.Want("the client has stayed", testkit.Text("here"))
		p.Close()
		leg.WantGone("the source is let go with its only client")
		leg.Close()
	})
}
