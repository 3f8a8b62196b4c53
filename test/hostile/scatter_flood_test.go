package hostile_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// number reads the id of a message of these tests.
func number(f testkit.Frame) (id int) {
	_, _ = fmt.Sscanf(f.Payload, `{"id":%d`, &id)
	return id
}

// A client that uses one id ten thousand times has as many messages under way as
// outstanding.messages says, and an answer to each in the end.
func TestOneIDManyTimes(t *testing.T) {
	const flood, most = 10_000, 1024
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		waits := 0
		holds := func(at int, leg *testkit.Peer, f testkit.Frame) {
			if !strings.Contains(f.Payload, "same") {
				echo(at, leg, f)
				return
			}
			if waits++; waits >= most { // more don't come while those are unanswered
				for ; waits > 0; waits-- {
					echo(at, leg, f)
				}
			}
			if f.Payload == `{"id":1,"key":"same","last":1}` {
				for ; waits > 0; waits-- {
					echo(at, leg, f)
				}
			}
		}
		s := perform(t, tr, 1, testkit.Scatter{Scatter: `send: {hash: key}, gather: {id: id, timeout: 0s, unsolicited: drop}`}, holds)
		client := s.enter(t)
		one := client.Bytes(testkit.Text(`{"id":1,"key":"same"}`))
		poured := pour(client, append(bytes.Repeat(one, flood-1), client.Bytes(testkit.Text(`{"id":1,"key":"same","last":1}`))...))
		s.wantBeside(t)
		for k := range flood {
			if f := client.Frame("each is answered"); number(f) != 1 {
				t.Fatalf("answer %d wants the id, got %v", k, f)
			}
		}
		<-poured
		s.wantBeside(t)
		client.Send(testkit.Text(`{"id":2}`))
		client.Want("once", testkit.Text(`{"id":2}`))
	})
}

// babbles answers an honest message once, and any other a thousand times, among
// as many answers that nobody asked it for.
func babbles(at int, leg *testkit.Peer, f testkit.Frame) {
	if !strings.Contains(f.Payload, "babble") {
		echo(at, leg, f)
		return
	}
	id, more := number(f), 0
	_, _ = fmt.Sscanf(f.Payload, `{"id":%d,"babble":%d`, &id, &more)
	var b []byte
	for k := range 1000 {
		b = append(b, leg.Bytes(
			testkit.Text(fmt.Sprintf(`{"id":%d}`, -1-k)),
			testkit.Text(fmt.Sprintf(`{"id":"%d"}`, id)),
			testkit.Text(fmt.Sprintf(`{"id":%d}`, id+more)),
			testkit.Text(fmt.Sprintf(`{"id":%d,"ok":1}`, id)),
		)...)
	}
	_ = leg.TrySend(b)
}

// An instance that says more than it was asked answers each message once: it
// answers no id that nobody asked, no other instance's, and none a thousand times.
func TestInstancesThatBabble(t *testing.T) {
	for _, c := range []struct {
		scatter, answer string
		more            int // the id of a message that was asked of another, or of nobody
	}{
		{`send: round_robin, gather: {id: id, timeout: 0s, unsolicited: drop}`, `{"id":%d,"ok":1}`, 2},
		{`send: all, gather: {policy: first, id: id, timeout: 0s, unsolicited: drop}`, `{"id":%d,"ok":1}`, 1},
		{`send: all, gather: {policy: collect, id: id, timeout: 0s, unsolicited: drop}`,
			`{"id":%d,"replies":[{"id":%[1]d,"ok":1},{"id":%[1]d,"ok":1},{"id":%[1]d,"ok":1}],"missing":[]}`, 1},
	} {
		everyTransport(t, func(t *testing.T, tr testkit.Transport) {
			s := rehearse(t, tr, 3, testkit.Scatter{Scatter: c.scatter}, babbles)
			client := s.enter(t)
			for id := 10; id < 40; id += 2 {
				client.Send(testkit.Text(fmt.Sprintf(`{"id":%d,"babble":%d}`, id, c.more)))
				client.Want("one answer", testkit.Text(fmt.Sprintf(c.answer, id)))
			}
			client.Send(testkit.Close(1000, ""))
			client.WantClose("and then nothing else", 1000)
		})
	}
}

// A client that does not read is not read either, whether instances answer it or
// Sluice does: what waits for it is bounded, and timeouts.write ends it.
func TestClientsThatNeverRead(t *testing.T) {
	const flood = 32 << 20 // bytes; far more than sockets hold
	for name, asks := range map[string]string{
		"answers": `{"id":1,"key":"` + strings.Repeat("k", 1000) + `"}`,
		"errors":  `{`,
	} {
		everyTransport(t, func(t *testing.T, tr testkit.Transport) {
			s := perform(t, tr, 2, testkit.Scatter{Timeouts: "write: 1s, close: 200ms",
				Scatter: `send: {hash: key}, on_invalid: error, gather: {id: id}`}, echo)
			client := s.enter(t)
			one := client.Bytes(testkit.Text(asks))
			all := bytes.Repeat(one, flood/len(one))
			wantCheap(t, name+" that wait are bounded, those that went out cost garbage", 3*flood, func() {
				poured := pour(client, all)
				s.wantBeside(t)
				s.WantLog(t, "the session ends by timeouts.write", "session close", "the client does not read")
				<-poured
			})
			client.Close()
			s.wantBeside(t)
		})
	}
}
