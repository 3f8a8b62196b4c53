package wire_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// scattering starts a Sluice that scatters over so many instances.
func scattering(t *testing.T, tr testkit.Transport, n int, c testkit.Scatter) (*testkit.Fleet, *testkit.App) {
	t.Helper()
	f := testkit.NewFleet(t, n)
	c.Upstreams = f.URLs()
	return f, testkit.Start(t, tr, c.String())
}

// keyed is message n, about a key.
func keyed(n, key int) testkit.Frame { return testkit.Text(fmt.Sprintf(`{"id":%d,"k":%d}`, n, key)) }

// numbers reads what keyed wrote.
func numbers(t *testing.T, m testkit.Frame) (n, key int) {
	t.Helper()
	var q struct{ ID, K int }
	if err := json.Unmarshal([]byte(m.Payload), &q); err != nil {
		t.Fatalf("only whole messages arrive: got %v: %v", m, err)
	}
	return q.ID, q.K
}

// Messages about one thing go to one instance, whether it is a number or a
// string; the instance sees the client's own handshake and the message as it came.
func TestScatterByHash(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: `send: {hash: "user.id"}`})
		client, _ := f.Enter(t, a)
		legs := map[int]*testkit.Peer{}
		for k := range 20 {
			one := testkit.Text(fmt.Sprintf(`{"user": {"id": %d}}`, k))
			client.Send(one)
			to := f.Want(t, "a message comes as it was sent", one)
			legs[to.At] = to.Leg
			same := testkit.Text(fmt.Sprintf(`{"user":{"name":"x","id":"%d"}}`, k))
			client.Send(same)
			if also := f.Want(t, "so does the next", same); also.Leg != to.Leg {
				t.Errorf("%s wants the leg that %s took", same, one)
			}
		}
		if len(legs) != 3 {
			t.Errorf("twenty keys want three instances, got %d", len(legs))
		}
		for _, leg := range legs {
			leg.Send(testkit.Text(`{"answer": 1}`))
			client.Want("what each says comes", testkit.Text(`{"answer": 1}`))
		}
	})
}

// What all instances answer is collected into one message, in the order of the
// pool; one that is lost meanwhile is missing.
func TestScatterCollects(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: `send: all, gather: {policy: collect, id: id, timeout: 10s}`})
		client, _ := f.Enter(t, a)
		ask := func(id string) (legs [3]*testkit.Peer) {
			t.Helper()
			m := testkit.Text(`{"id":` + id + `}`)
			client.Send(m)
			for range legs {
				to := f.Want(t, "each is asked", m)
				legs[to.At] = to.Leg
			}
			return legs
		}
		legs := ask("1")
		for k := 2; k >= 0; k-- {
			legs[k].Send(testkit.Text(fmt.Sprintf(`{"id":1, "n":%d}`, k)))
		}
		client.Want("the answers come as one", testkit.Text(`{"id":1,"replies":[{"id":1, "n":0},{"id":1, "n":1},{"id":1, "n":2}],"missing":[]}`))
		legs = ask(`"1"`)
		legs[0].Send(testkit.Text(`{"id":1}`))
		client.Want("a number is not that string", testkit.Text(`{"id":1}`))
		legs[0].Send(testkit.Text(`{"id":"1"}`))
		legs[2].Send(testkit.Text(`{"id":"1"}`))
		legs[1].Reset()
		client.Want("who is lost is missing", testkit.Text(`{"id":"1","replies":[{"id":"1"},{"id":"1"}],"missing":["`+f.URLs()[1]+`"]}`))
	})
}

// The first answer is the client's, later ones are dropped.
func TestScatterFirst(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: `send: round_robin, gather: {policy: first, id: id, timeout: 10s}`})
		client, _ := f.Enter(t, a)
		m := testkit.Text(`{"id":"a"}`)
		client.Send(m)
		one := f.Want(t, "a message goes to an instance", m)
		two := f.Want(t, "and to another", m)
		if one.At == two.At {
			t.Errorf("two copies want two instances")
		}
		two.Leg.Send(testkit.Text(`{"id":"a","from":2}`))
		client.Want("the first answer comes", testkit.Text(`{"id":"a","from":2}`))
		one.Leg.Send(testkit.Text(`{"id":"a","from":1}`), testkit.Text(`{"id":"b"}`))
		client.Want("the other one does not, what is behind it does", testkit.Text(`{"id":"b"}`))
	})
}

// What a lost instance has not answered is answered with an error.
func TestScatterLost(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: `send: round_robin, gather: {id: id, timeout: 10s}`})
		client, _ := f.Enter(t, a)
		m := testkit.Text(`{"id":7}`)
		client.Send(m)
		f.Want(t, "a message goes to an instance", m).Leg.Reset()
		client.Want("its loss is told", testkit.Text(`{"id":7,"error":"the instance's connection broke"}`))
	})
}

// Or it is asked of another.
func TestScatterResends(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: `send: round_robin, gather: {id: id, timeout: 10s}, on_lost: resend`})
		client, _ := f.Enter(t, a)
		m := testkit.Text(`{"id":7}`)
		client.Send(m)
		one := f.Want(t, "a message goes to an instance", m)
		one.Leg.Reset()
		for {
			h := f.Next(t, "it goes to another")
			if h.Ended || h.Head != nil {
				continue
			}
			if h.Frame != m || h.At == one.At {
				t.Fatalf("the other instance wants %v, instance %d of %d got %v", m, h.At, one.At, h.Frame)
			}
			h.Leg.Send(testkit.Text(`{"id":7,"ok":true}`))
			break
		}
		client.Want("whose answer comes", testkit.Text(`{"id":7,"ok":true}`))
	})
}

// An instance of which sessions think twice is asked all the same, where all are:
// it is up.
func TestScatterAsksAllThatAreUp(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 2, testkit.Scatter{Scatter: `send: all, gather: {policy: collect, id: id, timeout: 10s}`})
		client, _ := f.Enter(t, a)
		m := testkit.Text(`{"id":1}`)
		client.Send(m)
		one := f.Want(t, "an instance is asked", m)
		two := f.Want(t, "so is the other", m)
		one.Leg.Send(testkit.Close(1001, ""))
		two.Leg.Send(m)
		client.Want("one goes away", testkit.Text(`{"id":1,"replies":[{"id":1}],"missing":["`+f.URLs()[one.At]+`"]}`))
		m = testkit.Text(`{"id":2}`)
		client.Send(m)
		asked := map[int]bool{}
		for len(asked) < 2 {
			h := f.Next(t, "both are asked again")
			if h.Head != nil || h.Ended || h.Frame != m {
				continue
			}
			asked[h.At] = true
			h.Leg.Send(m)
		}
		client.Want("and both answer", testkit.Text(`{"id":2,"replies":[{"id":2},{"id":2}],"missing":[]}`))
	})
}

// A client whose last instance is lost, and that none of the others takes, is
// closed, so that it comes again: it would wait for nothing.
func TestScatterLosesAll(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, a := scattering(t, tr, 3, testkit.Scatter{Scatter: `send: round_robin, gather: {id: id}`})
		client, home := f.Enter(t, a)
		for _, in := range f.Instances {
			in.Close()
		}
		home.Leg.Reset()
		client.WantClose("no instance is left", 1012)
	})
}
