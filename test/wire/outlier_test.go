package wire_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// seen is what /api says of an instance.
type seen struct{ Name, State, Why, Until string }

// api gives the instances of the first pool, as /api has them.
func api(t *testing.T, a *testkit.App) []seen {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + a.AdminAddress().String() + "/api")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Pools []struct{ Instances []seen } }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Pools[0].Instances
}

// wantEjected wants b's own instance to be ejected for this, and the other one
// to stay.
func (b *bench) wantEjected(t *testing.T, sentence, why, reason string) {
	t.Helper()
	b.WantLog(t, sentence, "instance ejected", b.in.URL(), why)
	is := api(t, b.App)
	if i := is[0]; i.State != "up" || i.Why != "" || i.Until != "" {
		t.Errorf("%s: the other one is up: got %+v", sentence, i)
	}
	if i := is[1]; i.Name != b.in.URL() || i.State != "ejected" || i.Why != why || i.Until == "" {
		t.Errorf("%s: the API says so: got %+v, want %q", sentence, i, why)
	}
	labels := `pool="r",`
	own := `upstream="` + b.in.URL() + `"`
	if up := b.Metric(t, "sluice_upstream_up{"+labels+own+"}"); up != 0 {
		t.Errorf("%s: it is up, as metrics say", sentence)
	}
	if n := b.Metric(t, "sluice_upstream_ejected_total{"+labels+`reason="`+reason+`",`+own+"}"); n != 1 {
		t.Errorf("%s: metrics count %v ejections", sentence, n)
	}
}

const adminOn = `admin: {address: "127.0.0.1:0"}`

// An instance that refuses dials is left alone, though all others are full.
func TestRefusesAndIsEjected(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		other := testkit.Listen(t)
		b := start(t, tr, testkit.Config{
			Top: adminOn, Balance: "policy: round_robin",
			Upstreams: []string{`{url: "` + other.URL() + `", max_sessions: 1}`},
		})
		client, leg := testkit.Open(t, b.App, other)
		b.in.Close()
		for range 3 {
			refused := b.Dial(t)
			refused.SendString(good + "\r\n")
			refused.WantRefusal("the other one is full, this one refuses", 502)
		}
		b.wantEjected(t, "three dials in a row", "3 dial errors in a row: connection refused", "dial_errors")
		refused := b.Dial(t)
		refused.SendString(good + "\r\n")
		refused.WantRefusal("it is not asked any more", 503)

		client.Send(testkit.Text("x"))
		leg.Want("the other one's session goes on", testkit.Text("x"))
	})
}

// So is one that takes connections and never answers.
func TestSilentHandshakesEject(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		other := testkit.Listen(t)
		b := start(t, tr, testkit.Config{
			Top: adminOn, Balance: "policy: round_robin", Timeouts: "handshake: 300ms",
			Upstreams: []string{`{url: "` + other.URL() + `", max_sessions: 1}`},
		})
		testkit.Open(t, b.App, other)
		for range 3 {
			client, _, _ := b.ask(t, good+"\r\n")
			client.WantRefusal("nobody answers", 504)
		}
		b.wantEjected(t, "three handshakes in a row", "3 dial errors in a row: no answer in time: i/o timeout", "dial_errors")
	})
}

// A pong is a sign of life: failures before it don't count.
func TestPongBetweenDials(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		other := testkit.Listen(t)
		b := start(t, tr, testkit.Config{
			Top: adminOn, Balance: "policy: round_robin", Timeouts: "ping: 100ms, pong: 20s",
			Upstreams: []string{`{url: "` + other.URL() + `", max_sessions: 1}`},
		})
		testkit.Open(t, b.App, other)
		client, leg := b.open(t)
		b.in.Close()
		refused := func(times int) {
			for range times {
				client := b.Dial(t)
				client.SendString(good + "\r\n")
				client.WantRefusal("the other one is full, this one refuses", 502)
			}
		}
		refused(2)
		ping := leg.Frame("a ping of ours")
		leg.Send(testkit.Pong(ping.Payload), testkit.Text("x"))
		f := client.Frame("what is behind the pong")
		for f.Op == testkit.Ping("").Op {
			f = client.Frame("what is behind the pong")
		}
		refused(3)
		b.wantEjected(t, "three dials in a row", "3 dial errors in a row: connection refused", "dial_errors")
	})
}

// Abnormal ends that stand out eject; normal ones don't (envoy#24690), nor do
// those that clients cause.
func TestAbnormalEndsEject(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		other := testkit.Listen(t)
		b := start(t, tr, testkit.Config{
			Top: adminOn, Balance: "policy: round_robin", Timeouts: "close: 100ms", Upstreams: []string{other.URL()},
		})
		normal := []func(client, leg *testkit.Peer){
			func(_, leg *testkit.Peer) { leg.Send(testkit.Close(1000, "")) },
			func(_, leg *testkit.Peer) { leg.Send(testkit.Close(4000, "")) },
			func(client, _ *testkit.Peer) { client.Send(testkit.Close(1000, "")) },
			func(client, _ *testkit.Peer) { client.Send(testkit.Close(1011, "")) },
			func(client, leg *testkit.Peer) {
				client.Send(testkit.Close(1000, ""))
				leg.WantClose("the client's close", 1000)
				leg.Reset()
			},
			func(client, _ *testkit.Peer) { client.Reset() },
			func(client, _ *testkit.Peer) { client.Close() },
			func(_, leg *testkit.Peer) { leg.Send(testkit.Close(1001, "")) }, // the last: others are asked first then
		}
		abnormal := []func(leg *testkit.Peer){
			func(leg *testkit.Peer) { leg.Send(testkit.Close(1011, "")) },
			(*testkit.Peer).Reset,
			(*testkit.Peer).Close,
		}
		var legs []*testkit.Peer
		for _, end := range normal {
			client, leg := testkit.Open(t, b.App, other)
			end(client, leg)
			_, leg = b.open(t)
			legs = append(legs, leg)
		}
		b.WantSessions(t, "all of the other one's are over", int64(len(legs)))
		for k, leg := range legs[:5] {
			abnormal[k%len(abnormal)](leg)
		}
		b.wantEjected(t, "five that broke", "5 of 5 sessions ended abnormally (1006 or 1011); the other instances 0 of 8", "closes")
	})
}

// An instance that answers no pings takes no more sessions.
func TestMissedPingsEject(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		other := testkit.Listen(t)
		in := testkit.Listen(t)
		b := &bench{testkit.Start(t, tr, testkit.Config{
			Top: adminOn, Balance: "policy: round_robin", Timeouts: "ping: 100ms, pong: 500ms",
			Upstreams: []string{other.URL(), `{url: "` + in.URL() + `", weight: 1000}`},
		}.String()), in}
		var gone []chan struct{}
		for range 3 {
			client, _ := b.open(t)
			gone = append(gone, answerPings(client))
		}
		for _, g := range gone {
			<-g
		}
		b.wantEjected(t, "three pings in a row", "3 missed pings in a row", "missed_pings")
	})
}
