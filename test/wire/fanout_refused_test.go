package wire_test

import (
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A client that is closed for what it said need not wait for an answer to its
// answer.
func TestFanoutHangsUpOnWhoIsClosedForWhatItSaid(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for name, c := range map[string]struct {
			feed testkit.Feed
			say  testkit.Frame
			code uint16
		}{
			"a message where none is wanted": {testkit.Feed{Fanout: "client_messages: reject"}, testkit.Text("hello"), ws.CodePolicy},
			"a message that is too big":      {testkit.Feed{Limits: "message_size: {client: 10}"}, testkit.Text("hello there"), ws.CodeTooBig},
			"an opcode that is reserved":     {testkit.Feed{}, testkit.Frame{Op: 3}, ws.CodeProtocolError},
		} {
			c.feed.Timeouts = "close: 60s" // longer than a test waits
			f := startFeed(t, tr, c.feed)
			client := f.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			f.source.Connect(t, "the first client opens the stream")
			client.WantUpgraded("and is let in")
			client.Send(c.say)
			client.WantClose(name+" ends it", c.code)
			client.Send(testkit.Close(c.code, ""))
			client.WantEOF("and the server hangs up")
		}
	})
}

// A parameter of ours that there is not is a mistake, not a wish.
func TestFanoutRefusesParametersThatThereAreNot(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{})
		for _, target := range []string{"/?sluice_form=oldest", "/?sluice_announce=yes"} {
			client := f.Dial(t)
			client.SendString(testkit.Upgrade(target))
			client.WantAnswer(target+" is refused", 400)
		}
	})
}
