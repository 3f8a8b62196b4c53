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
		"masked":                        {string(testkit.Text("masked").Masked()), 1002},
		"reserved opcode":               {"\x83\x00", 1002},
		"RSV1 unasked":                  {"\xc1\x01a", 1002},
		"RSV2":                          {"\xa1\x01a", 1002},
		"a continuation of nothing":     {"\x80\x01a", 1002},
		"a message within another":      {"\x01\x01a\x81\x01b", 1002},
		"a ping in fragments":           {"\x09\x01a", 1002},
		"a ping of 126 bytes":           {"\x89\x7e\x00\x7e" + strings.Repeat("p", 126), 1002},
		"a length with its top bit set": {"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x01", 1002},
		"a close of one byte":           {"\x88\x01\x03", 1002},
		"a close with 1005":             {"\x88\x02\x03\xed", 1002},
		"a reason that is not UTF-8":    {"\x88\x03\x03\xe8\xff", 1002},
		"text that is not UTF-8":        {"\x81\x02a\xff", 1007},
		"text cut within a character":   {"\x01\x01\xc3\x80\x01a", 1007},
		"a message over the limit":      {"\x82\x7e\x10\x01" + strings.Repeat("b", 4097), 1009},
		"fragments over the limit":      {"\x02\x7e\x10\x00" + strings.Repeat("b", 4096) + "\x80\x01b", 1009},
		"a header of 2^62 bytes":        {"\x82\x7f\x40\x00\x00\x00\x00\x00\x00\x00", 1009},
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

// Compressed messages that are none, or too large, are violations too.
func TestFanoutSourceCompressesWrongly(t *testing.T) {
	bomb := (&testkit.Deflater{}).Payload(strings.Repeat("\x00", 4097))
	fits := (&testkit.Deflater{}).Payload(strings.Repeat("\x00", 4096))
	for name, c := range map[string]struct {
		frame testkit.Frame
		code  uint16
	}{
		"not compressed":         {testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: "plain text, really"}, 1007},
		"larger than it may be":  {testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: bomb}, 1009},
		"not UTF-8, when read":   {testkit.Frame{Op: ws.Text, RSV: testkit.Compressed, Payload: (&testkit.Deflater{}).Payload("\xff")}, 1007},
		"RSV1 on a continuation": {testkit.Frame{Op: ws.Continuation, RSV: testkit.Compressed, Payload: "x"}, 1002},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f := startFeed(t, tr, testkit.Feed{Limits: "message_size: {upstream: 4KiB}", Fanout: "source_compress: true"})
				client := f.Dial(t)
				client.SendString(testkit.Upgrade("/"))
				leg := f.source.Connect(t, "the source is dialled", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover")
				client.WantUpgraded("the client is let in")
				leg.Send(testkit.Frame{Op: ws.Binary, RSV: testkit.Compressed, Payload: fits})
				client.Want("as large as it may be", testkit.Binary(strings.Repeat("\x00", 4096)))
				leg.Send(c.frame)
				leg.WantClose("the source is told", c.code)
				leg = f.source.Connect(t, "and dialled again")
				say(t, leg, 0, 2, client)
			})
		})
	}
}
