package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// Length is judged at the header: the payload never comes, and need not.
func TestMessageSize(t *testing.T) {
	cases := []struct {
		name, limit string
		before      []testkit.Frame
		header      string // unmasked; the payload is not sent
	}{
		{"the default", "", nil, "\x82\x7F\x00\x00\x00\x00\x01\x00\x00\x01"},
		{"2^62 bytes", "", nil, "\x82\x7F\x40\x00\x00\x00\x00\x00\x00\x00"},
		{"the largest there is", "", nil, "\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"},
		{"one too many", "message_size: {client: 1000}", nil, "\x81\x7E\x03\xE9"},
		{"one too many in fragments", "message_size: {client: 1000}", []testkit.Frame{testkit.Begin(strings.Repeat("x", 600)), testkit.Ping("p")}, "\x80\x7E\x01\x91"},
		{"fragments that overflow a sum", "message_size: {client: 1000}", []testkit.Frame{testkit.Begin("x")}, "\x80\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"},
		{"the second message", "message_size: {client: 1000}", []testkit.Frame{testkit.Begin(strings.Repeat("x", 600)), testkit.End(strings.Repeat("x", 400)),
			testkit.Text(strings.Repeat("y", 1000)), testkit.Text("")}, "\x81\x7E\x03\xE9"},
	}
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b := start(t, tr, testkit.Config{Limits: c.limit})
				client, leg := b.open(t)
				client.SendBytes(append(client.Bytes(c.before...), masked(c.header, "")...))
				leg.Want("what was in the limit arrives", c.before...)
				leg.WantClose("the instance is told that the client goes", 1001)
				leg.Send(testkit.Close(1001, ""))
				leg.CloseWrite()
				client.WantClose("the client is told", 1009)
			})
		}
	})
}

// The instance has a limit of its own.
func TestMessageSizeOfInstances(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Limits: "message_size: {client: 10, upstream: 1000}"})
		client, leg := b.open(t)
		fits := []testkit.Frame{testkit.Text(strings.Repeat("x", 1000)), testkit.Begin(strings.Repeat("x", 999)), testkit.End("x")}
		leg.Send(fits...)
		client.Want("what fits passes", fits...)
		leg.SendString("\x82\x7F\x00\x00\x00\x00\x00\x10\x00\x00")
		leg.WantClose("the instance is told", 1009)
		client.WantClose("and the client", 1009)
	})
}

// A flood of pings ends the session, a few do not.
func TestPingFlood(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Limits: "pings_per_second: 5"})
		client, leg := b.open(t)
		var flood []testkit.Frame
		for range 30 {
			flood = append(flood, testkit.Ping("p"))
		}
		client.Send(flood...)
		leg.Want("five pass", flood[:5]...)
		leg.WantClose("then the instance is told that the client goes", 1001)
		leg.Send(testkit.Close(1001, ""))
		leg.CloseWrite()
		client.WantClose("and the client what it did", 1008)
	})
}

// With 0 there is no limit on pings, and none on an instance's.
func TestManyPings(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Limits: "pings_per_second: 0"})
		client, leg := b.open(t)
		var many []testkit.Frame
		for range 200 {
			many = append(many, testkit.Ping("p"))
		}
		client.Send(many...)
		leg.Want("all pass", many...)
		leg.Send(many...)
		client.Want("both ways", many...)
	})
}

// over: close ends a session that sends too many messages.
func TestMessageRateCloses(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Limits: "messages: {rate: 0.01, burst: 2, over: close}"})
		client, leg := b.open(t)
		fits := []testkit.Frame{testkit.Text("1"), testkit.Begin("2"), testkit.Go("2"), testkit.Ping("p"), testkit.End("2")}
		client.Send(append(fits, testkit.Text("3"), testkit.Text("4"))...)
		leg.Want("messages count, not frames", fits...)
		leg.WantClose("the third is not passed on", 1001)
		leg.Send(testkit.Close(1001, ""))
		leg.CloseWrite()
		client.WantClose("the client is told", 1008)
	})
}

// over: wait delays messages, loses none, and holds up nobody else.
func TestMessageRateWaits(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Limits: "messages: {rate: 20, burst: 1, over: wait}"})
		client, leg := b.open(t)
		began := time.Now()
		frames := []testkit.Frame{testkit.Text("1"), testkit.Text("2"), testkit.Begin("3"), testkit.End("3"), testkit.Text("4"), testkit.Text("5"), testkit.Close(1000, "")}
		client.Send(frames...)
		leg.Want("the first comes", frames[0])
		leg.Send(testkit.Text("down"))
		client.Want("the other direction is open", testkit.Text("down"))
		leg.Want("the others come in order", frames[1:]...)
		if took := time.Since(began); took < 150*time.Millisecond {
			t.Errorf("five messages at 20 a second take 200 ms: took %v", took)
		}
	})
}
