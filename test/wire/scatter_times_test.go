package wire_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A leg that does not answer pings is lost, whatever others do; so is one that does
// not go on with a frame.
func TestScatterSilentLeg(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := pooled(t, tr, testkit.Scatter{Timeouts: "ping: 20ms, pong: 150ms", Scatter: byPool + ", gather: {id: id, timeout: 0s}"}, "p1", "p2", "p3", "p4")
		client, home := f.Enter(t, a)
		client.Send(keyed(1, 1))
		stop := make(chan struct{})
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			for {
				select {
				case <-stop:
					return
				default:
				}
				f.Until(t, "home is pinged again and again", func(h testkit.Heard) bool {
					if h.Leg == home.Leg && h.Frame.Op == testkit.Ping("").Op {
						_ = h.Leg.TrySend(h.Leg.Bytes(testkit.Pong(h.Frame.Payload)))
						return true
					}
					return false
				})
			}
		}()
		lost := testkit.Text(`{"id":1,"error":"the instance does not answer pings"}`)
		for got := client.Frame("the client is pinged"); got != lost; got = client.Frame("until the loss is told") {
			if got.Op != testkit.Ping("").Op {
				t.Fatalf("want %v, got %v", lost, got)
			}
			client.Send(testkit.Pong(got.Payload))
		}
		close(stop)
		<-answered
	})
}

// An instance that stops amid a frame is lost.
func TestScatterSlowFrame(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Timeouts: "frame: 50ms", Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"})
		client, _ := f.Enter(t, a)
		by := asked(t, f, client, keyed(1, 0), keyed(2, 0))
		by[keyed(1, 0).Payload].Leg.SendString("\x81\x05abc")
		client.Want("what it owes is told", testkit.Text(`{"id":1,"error":"the instance sent a frame too slowly"}`))
		by[keyed(2, 0).Payload].Leg.Send(keyed(2, 0))
		client.Want("others go on", keyed(2, 0))
	})
}

// A leg whose instance takes the connection and does not answer the request is
// none, in time.
func TestScatterLegDoesNotAnswer(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Timeouts: "handshake: 100ms", Scatter: "send: round_robin, gather: {id: id, timeout: 0s}"})
		client, home := f.Enter(t, a)
		f.Answer(func(int, *testkit.Head) string { return "HTTP/1.1 101" })
		client.Send(keyed(1, 0), keyed(2, 0))
		for range 2 {
			h := f.Message(t, "messages go where they are taken")
			if h.At != home.At {
				t.Errorf("%v wants home, came to %d", h.Frame, h.At)
			}
			h.Leg.Send(h.Frame)
			client.Frame("and are answered")
		}
	})
}

// The API and the metrics tell of a route that scatters as of any other.
func TestScatterShows(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Top: `admin: {address: "127.0.0.1:0"}`, Scatter: "send: round_robin, gather: {id: id, timeout: 20s, unsolicited: drop}"})
		client, _ := f.Enter(t, a)
		by := asked(t, f, client, keyed(1, 0), keyed(2, 0))
		for _, h := range by {
			h.Leg.Send(testkit.Text("dropped"), h.Frame)
			client.Want("each is answered", h.Frame)
		}
		for name, want := range map[string]float64{
			`sluice_sessions{route="r"}`:                                        1,
			`sluice_sessions_total{route="r"}`:                                  1,
			`sluice_messages_total{direction="to_client",route="r"}`:            2,
			`sluice_messages_total{direction="to_upstream",route="r"}`:          2,
			`sluice_handshakes_total{result="101",route="r"}`:                   1,
			`sluice_scatter_events_total{event="unsolicited",route="r"}`:        2,
			`sluice_upstream_sessions{pool="r",upstream="` + f.URLs()[0] + `"}`: 1,
			`sluice_upstream_sessions{pool="r",upstream="` + f.URLs()[1] + `"}`: 1,
		} {
			a.WantMetric(t, "metrics tell of it", name, want)
		}
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Get("http://" + a.AdminAddress().String() + "/api")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out struct {
			Routes []struct {
				Name, Mode string
				Sessions   int
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || len(out.Routes) != 1 || out.Routes[0].Name != "r" || out.Routes[0].Sessions != 1 {
			t.Errorf("the API wants to tell of the route and its session, got %+v, %v", out, err)
		}
		by[keyed(1, 0).Payload].Leg.Reset()
		a.WantMetric(t, "a loss is counted", `sluice_failovers_total{reason="broken",result="kept",route="r"}`, 1)
		client.Send(testkit.Close(4000, ""))
		client.Want("it ends", testkit.Close(4000, ""))
		a.WantMetric(t, "and its end", `sluice_closes_total{code="4xxx",route="r",side="client"}`, 1)
		a.WantMetric(t, "there is no session any more", `sluice_sessions{route="r"}`, 0)
	})
}
