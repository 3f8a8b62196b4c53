package wire_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// quote is the numbered message n, about a key.
func quote(n int, key string, size int) testkit.Frame {
	return testkit.Text(fmt.Sprintf(`{"n":%d,"key":%q,"pad":%q}`, n, key, strings.Repeat("p", size)))
}

// quoted reads a quote, or a notice of lost ones.
type quoted struct {
	N    int
	Key  string
	Lost *uint64
}

func unquote(t *testing.T, m testkit.Frame) (q quoted) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.Payload), &q); err != nil || m.Op != ws.Text || m.More || m.RSV != 0 {
		t.Fatalf("only whole messages arrive: got %v: %v", m, err)
	}
	return q
}

const (
	flood = 400    // messages
	large = 20_000 // bytes of each: more than the system has room for
)

// stalled has a source send a flood to a client that reads all of it and to one
// that reads nothing.
func stalled(t *testing.T, tr testkit.Transport, slow, extension string, size int, key func(n int) string) (f *feed, fast, stuck, leg *testkit.Peer) {
	t.Helper()
	f = startFeed(t, tr, testkit.Feed{Top: `admin: {address: "127.0.0.1:0"}`, Timeouts: "close: 1m, write: 1m", Fanout: "compress: true, slow: {after: {bytes: 64KiB}, " + slow + "}"})
	fast, leg = f.open(t)
	stuck = f.Dial(t)
	stuck.Narrow()
	stuck.SendString(testkit.Upgrade("/", extension))
	stuck.WantUpgraded("a client joins that will not read")
	together := large / size
	for n := 0; n < flood*together; n += together {
		var ms []testkit.Frame
		for k := range together {
			ms = append(ms, quote(n+k, key(n+k), size))
		}
		leg.Send(ms...)
		fast.Want("others get everything meanwhile", ms...)
	}
	return f, fast, stuck, leg
}

func one(int) string { return "one" }

// close: what arrives is whole and without a gap, then the client is told.
func TestFanoutSlowIsClosed(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f, fast, stuck, leg := stalled(t, tr, "policy: close", "X-Plain: 1", large, one)
		got := 0
		for {
			m := stuck.Frame("what arrives is whole")
			if m.Op == ws.CloseFrame {
				if !strings.HasPrefix(m.Payload, testkit.Close(1013, "").Payload) || len(m.Payload) < 4 {
					t.Errorf("then it is told that it is too slow: got %v", m)
				}
				break
			}
			if q := unquote(t, m); q.N != got {
				t.Fatalf("and without a gap: got %d, want %d", q.N, got)
			}
			got++
		}
		stuck.Send(testkit.Close(1013, ""))
		stuck.WantEOF("and nothing follows")
		stuck.Close()
		f.WantSessions(t, "it is counted out", 1)
		lost := f.Metric(t, `sluice_fanout_lost_total{reason="slow_closed",route="r"}`)
		if lost <= 0 || lost > flood-float64(got) {
			t.Errorf("what it lost until then is counted: got %v of %d", lost, flood-got)
		}
		f.WantLog(t, "and logged", "session close", fmt.Sprintf("messages=%d ", got), fmt.Sprintf("lost=%v ", lost), "code=1013")
		if v := f.Metric(t, `sluice_closes_total{code="1013",route="r",side="proxy"}`); v != 1 {
			t.Errorf("so is the close: got %v", v)
		}
		say(t, leg, 0, 2, fast)
	})
}

// skip: whole messages, a notice of how many are missing, and the live ones.
func TestFanoutSlowSkips(t *testing.T) {
	for name, extension := range map[string]string{"plain": "X-Plain: 1", "negotiated": "Sec-WebSocket-Extensions: permessage-deflate"} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				f, fast, stuck, leg := stalled(t, tr, `policy: skip, notice: '{"lost":{{.Lost}},"why":{{json .Reason}},"next":{{json .Offset}}}'`, extension, large, one)
				got, next, lost := drain(t, f, fast, stuck, leg, flood, func(q quoted, next int) int {
					if q.N != next {
						t.Fatalf("the next one is what the notice says: got %d, want %d", q.N, next)
					}
					return q.N + 1
				})
				if lost == 0 || next != flood+1 || got+lost != flood+1 {
					t.Errorf("received and lost are what was sent: %d and %d of %d", got, lost, flood+1)
				}
				stuck.Close()
				f.WantSessions(t, "it is counted out", 1)
				if v := f.Metric(t, `sluice_fanout_lost_total{reason="slow_skipped",route="r"}`); v != float64(lost) {
					t.Errorf("the loss is counted: got %v, want %d", v, lost)
				}
				f.WantLog(t, "and logged", "session close", fmt.Sprintf("messages=%d ", got), fmt.Sprintf("lost=%d ", lost))
				say(t, leg, 0, 2, fast)
			})
		})
	}
}

// drain has a client read again, up to one message more, and counts.
func drain(t *testing.T, f *feed, fast, stuck, leg *testkit.Peer, flood int, judge func(q quoted, next int) int) (got, next, lost int) {
	t.Helper()
	last := quote(flood, "one", large)
	leg.Send(last)
	fast.Want("others get everything meanwhile", last)
	stuck.Deflate()
	for next <= flood {
		m := stuck.Frame("it reads again")
		if m.RSV == testkit.Compressed {
			m.Payload, m.RSV = testkit.Inflate(t, m.Payload), 0
		}
		q := unquote(t, m)
		if q.Lost != nil {
			lost += int(*q.Lost)
			next += int(*q.Lost)
			continue
		}
		got++
		next = judge(q, next)
	}
	return got, next, lost
}

// latest: each key's last message arrives, none behind a newer one of its key,
// and the notices' numbers add up.
func TestFanoutSlowGetsTheLatest(t *testing.T) {
	for name, c := range map[string]struct{ keys, size int }{"few keys": {2, large}, "many keys": {30, 1000}} {
		t.Run(name, func(t *testing.T) {
			testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
				latest, flood := map[string]int{}, flood*large/c.size
				r := rand.New(rand.NewPCG(1, 2))
				f, fast, stuck, leg := stalled(t, tr, `policy: latest, key: key, notice: '{"lost":{{.Lost}}}'`, "X-Plain: 1", c.size, func(n int) string {
					key := fmt.Sprint("k", r.IntN(c.keys))
					latest[key] = n
					return key
				})
				latest["one"] = flood
				seen, before := map[string]int{}, -1
				got, _, lost := drain(t, f, fast, stuck, leg, flood, func(q quoted, next int) int {
					if q.N <= before {
						t.Fatalf("messages keep their order: got %d behind %d", q.N, before)
					}
					seen[q.Key], before = q.N, q.N
					return q.N + 1
				})
				for key, n := range latest {
					if seen[key] != n {
						t.Errorf("the latest of %s arrives: got %d, want %d", key, seen[key], n)
					}
				}
				// The last notice comes behind what it is about.
				leg.Send(testkit.Text(`{"n":-1}`))
				for {
					q := unquote(t, stuck.Frame("the end"))
					if q.Lost == nil {
						break
					}
					lost += int(*q.Lost)
				}
				if lost == 0 || got+lost != flood+1 {
					t.Errorf("received and lost are what was sent: %d and %d of %d", got, lost, flood+1)
				}
				stuck.Close()
				f.WantSessions(t, "it is counted out", 1)
				if v := f.Metric(t, `sluice_fanout_lost_total{reason="slow_latest",route="r"}`); v != float64(lost) {
					t.Errorf("the loss is counted: got %v, want %d", v, lost)
				}
				f.WantLog(t, "and logged", "session close", fmt.Sprintf("messages=%d ", got+1), fmt.Sprintf("lost=%d ", lost))
			})
		})
	}
}

// Pings are answered and closes sent between messages, never within one, also
// to a client that reads late.
func TestFanoutPingsAmidAMessage(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Fanout: "answers: [{match: ping, send: pong}]"})
		fast, leg := f.open(t)
		large := testkit.Binary(strings.Repeat("l", 3<<20))
		stuck := f.Dial(t)
		stuck.Narrow()
		stuck.SendString(testkit.Upgrade("/"))
		stuck.WantUpgraded("a client joins that reads late")
		leg.Send(large)
		fast.Want("others get the message", large)
		stuck.Send(testkit.Ping("one"), testkit.Text("ping"), testkit.Ping("two"))
		leg.Send(testkit.Ping("sync"))
		leg.Want("the source is read on", testkit.Pong("sync"))
		stuck.Want("the message comes whole", large)
		for wanted := map[testkit.Frame]bool{testkit.Pong("two"): true, testkit.Text("pong"): true}; len(wanted) > 0; {
			m := stuck.Frame("then answers, to the latest ping and to the text")
			if !wanted[m] && m != testkit.Pong("one") {
				t.Fatalf("and nothing else: got %v", m)
			}
			delete(wanted, m)
		}
		say(t, leg, 0, 2, fast, stuck)
		stuck.Send(testkit.Close(1000, "done"))
		stuck.WantClose("the close is answered", 1000)
		stuck.WantEOF("and the end")
	})
}
