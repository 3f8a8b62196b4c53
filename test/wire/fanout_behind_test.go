package wire_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A source that is a Sluice and has fewer messages than the last one, or
// repeats some, doubles nothing.
func TestFanoutGoesOnBehindASluiceThatIsBehind(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, from := range []int{5, 0} {
			f := startFeed(t, tr, testkit.Feed{})
			client := f.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			leg := f.source.Connect(t, "the first client opens the stream", "Sluice-Offset: e-0")
			client.WantUpgraded("and is let in")
			say(t, leg, 0, 7, client)
			leg.Reset()
			leg = f.source.Connect(t, "another is dialled", fmt.Sprintf("Sluice-Offset: e-%d", from))
			for n := from; n < 7; n++ {
				leg.Send(testkit.Text(fmt.Sprintf("message %d", n)))
			}
			leg.Send(testkit.Text("new"))
			client.Want("what it has does not come again", testkit.Text("new"))
		}
	})
}

// A client that speaks without a pause, so that each read ends inside a frame, is
// not slow.
func TestFanoutClientsMaySpeakWithoutAPause(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Timeouts: "frame: 200ms"})
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		leg := f.source.Connect(t, "the first client opens the stream")
		client.WantUpgraded("and is let in")
		frame := client.Bytes(testkit.Text("hello there"))
		client.SendBytes(frame[:5])
		pace := time.NewTicker(10 * time.Millisecond) // three times the deadline in all
		defer pace.Stop()
		for n := range 60 {
			client.SendBytes(append(append([]byte(nil), frame[5:]...), frame[:5]...))
			leg.Send(testkit.Ping(fmt.Sprint(n)))
			leg.Want("the source's ping comes round", testkit.Pong(fmt.Sprint(n)))
			<-pace.C
		}
		leg.Send(testkit.Text("still here"))
		client.Want("it is still there", testkit.Text("still here"))
	})
}
