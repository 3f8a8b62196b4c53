package faults_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// orderRounds is how often requests about one thing are asked together.
const orderRounds = 1000

// An instance is cut off behind, between or before its answers to requests about
// one thing, which are asked of another: they come in their order all the same.
func TestScatterOrder(t *testing.T) {
	for _, tr := range []testkit.Transport{testkit.Raw, testkit.Stream} {
		t.Run(string(tr), func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			if *chaosSeed >= 0 {
				seed = uint64(*chaosSeed)
			}
			var urls []string
			for n := range uint64(3) {
				urls = append(urls, newCutter(t, seed<<2|n))
			}
			a := testkit.Start(t, tr, testkit.Scatter{Upstreams: urls, Timeouts: size{}.timeouts(), Limits: "pings_per_second: 0",
				Scatter: `send: {hash: key}, on_lost: resend, gather: {id: id, timeout: 10s}`}.String())
			o := newOrder(t, a.Addr(), seed)
			for range orderRounds {
				o.round()
			}
			o.out.hold(testkit.Close(ws.CodeNormal, ""))
			o.out.write(nil)
			if op, _, err := o.ear.next(); op != ws.CloseFrame {
				t.Errorf("the close comes back: got opcode %x, %v", op, err)
			}
			a.WantNoSessions(t, "no session is left, and no message is awaited")
			t.Logf("%d requests, %d of them answered with an error", o.next, o.errors)
			if o.errors*10 > o.next {
				t.Errorf("so many errors tell little of the order")
			}
			if t.Failed() {
				t.Logf("  once more: go test -race -count 1 -run 'TestScatterOrder/%s' ./test/faults -faults.seed %d", tr, seed)
			}
		})
	}
}

// order is a client whose requests are all about one thing.
type order struct {
	t            *testing.T
	r            *rand.Rand
	ear          ear
	out          writer
	next, errors int
}

func newOrder(t *testing.T, addr net.Addr, seed uint64) *order {
	conn, err := net.DialTimeout("tcp", addr.String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := rand.New(rand.NewPCG(seed, 1))
	o := &order{t: t, r: r, ear: ear{conn: conn}, out: writer{conn: conn, r: r, masked: true}}
	_, _ = io.WriteString(conn, testkit.Upgrade("/"))
	if head, err := o.ear.head(); err != nil || !strings.Contains(head, " 101 ") {
		t.Fatalf("the client is upgraded: %q, %v", head, err)
	}
	return o
}

// round asks a few requests and wants an answer to each, those of instances in
// order.
func (o *order) round() {
	first, n := o.next, 2+o.r.IntN(4)
	for range n {
		o.out.message(fmt.Appendf(nil, `{"id":%d,"key":"k","q":%d}`, o.next, o.next))
		o.next++
	}
	o.out.write(nil)
	_ = o.ear.conn.SetReadDeadline(time.Now().Add(patience))
	answered, latest := map[int]bool{}, -1
	for len(answered) < n {
		op, payload, err := o.ear.next()
		switch {
		case err != nil:
			o.t.Fatalf("of requests %d to %d are answered %v: %v", first, o.next-1, answered, err)
		case op == ws.Ping:
			o.out.write(testkit.Pong(string(payload)).Masked())
			continue
		case op == ws.Pong:
			continue
		}
		var x struct {
			ID    int
			Error string
		}
		if err := json.Unmarshal(payload, &x); err != nil || op != ws.Text || x.ID < first || answered[x.ID] {
			o.t.Fatalf("requests %d to %d are asked, %v answered, and there comes %q", first, o.next-1, answered, payload)
		}
		answered[x.ID] = true
		if x.Error != "" {
			o.errors++
			continue
		}
		if x.ID < latest {
			o.t.Fatalf("request %d is answered behind %d", x.ID, latest)
		}
		latest = x.ID
	}
}

// newCutter starts an instance that cuts its legs off, and gives its URL.
func newCutter(t *testing.T, seed uint64) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for n := uint64(0); ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { cutOff(c.(*net.TCPConn), rand.New(rand.NewPCG(seed, n))) })
		}
	})
	return "ws://" + l.Addr().String()
}

// cutOff serves a leg, and ends it somewhere about an answer.
func cutOff(c *net.TCPConn, r *rand.Rand) {
	defer c.Close()
	e := &ear{conn: c}
	e.in.Masked = true
	head, err := e.head()
	if err != nil {
		return
	}
	_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	_, _ = io.WriteString(c, testkit.AnswerTo(key))
	for {
		op, payload, err := e.next()
		if err != nil || op == ws.CloseFrame {
			return
		}
		answer := testkit.Pong(string(payload)).Plain()
		if op == ws.Text {
			answer = testkit.Text(string(payload)).Plain()
		}
		if op != ws.Text || r.IntN(8) > 0 {
			_, _ = c.Write(answer)
			continue
		}
		_, _ = c.Write(answer[:r.IntN(len(answer)+1)])
		if r.IntN(2) == 0 {
			_ = c.SetLinger(0)
		}
		return
	}
}
