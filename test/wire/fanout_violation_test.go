package wire_test

import (
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// A source that breaks a rule is told so and dialled again. What it said wrong
// reaches nobody; what it said right before does.
func TestFanoutSourceBreaksRules(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string
		code  uint16
	}{
		"reserved opcode":          {"\x83\x00", 1002},
		"text that is not UTF-8":   {"\x81\x02a\xff", 1007},
		"a message over the limit": {"\x82\x7e\x10\x01" + strings.Repeat("b", 4097), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f := startFeed(t, tr, testkit.Feed{Limits: "message_size: {upstream: 4KiB}", Top: `admin: {address: "127.0.0.1:0"}`})
				client, leg := f.open(t)
				leg.SendString(string(testkit.Text("right").Plain()) + c.bytes)
				client.Want("what came before arrives", testkit.Text("right"))
				leg.WantClose("the source is told", c.code)
				leg.WantGone("and left")
				leg = f.source.Connect(t, "and dialled again")
				say(t, leg, 0, 2, client)
				if lost := f.Metric(t, `sluice_fanout_lost_total{reason="too_big",route="r"}`); (lost == 1) != (c.code == 1009) {
					t.Errorf("a message that was too big is counted as lost: got %v", lost)
				}
			})
		})
	}
}

// What a source goes on sending does not eat the close that it is told.
func TestFanoutSourceTalksOnWhileItIsClosed(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Limits: "message_size: {upstream: 4KiB}"})
		client, leg := f.open(t)
		large := testkit.Binary(strings.Repeat("b", 3<<20)).Plain()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_ = leg.TrySend(large)
		}()
		leg.WantClose("the source is told, whatever it is about to send", 1009)
		next := f.source.Connect(t, "the next connection waits for nothing")
		say(t, next, 0, 2, client)
		leg.Close()
		<-sent
	})
}

// A compressed message may be as large as a plain one.
func TestFanoutSourceCompressesUpToTheLimit(t *testing.T) {
	fits := strings.Repeat("\x00", 4096)
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Limits: "message_size: {upstream: 4KiB}", Fanout: "source_compress: true"})
		client := f.Dial(t)
		client.SendString(testkit.Upgrade("/"))
		leg := f.source.Connect(t, "the source is dialled", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover")
		client.WantUpgraded("the client is let in")
		leg.Send(testkit.Frame{Op: ws.Binary, RSV: testkit.Compressed, Payload: (&testkit.Deflater{}).Payload(fits)})
		client.Want("as large as it may be", testkit.Binary(fits))
		leg.Send(testkit.Frame{Op: ws.Binary, RSV: testkit.Compressed, Payload: (&testkit.Deflater{}).Payload(fits + "\x00")})
		leg.WantClose("one byte more, and the source is told", 1009)
		leg = f.source.Connect(t, "and dialled again")
		say(t, leg, 0, 2, client)
	})
}
