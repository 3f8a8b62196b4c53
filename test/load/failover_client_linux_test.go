//go:build !race

package load_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Every fifth client asks seldom: what it has asked is proven read most of the
// time. Every other one has a few requests under way at a time.
const (
	askEvery  = 50 * time.Millisecond
	askSeldom = 300 * time.Millisecond
	askAtOnce = 3
)

// callers are clients that ask and are answered, while their instances come to
// grief.
type callers struct {
	// Set once, then read-only.
	addr   net.Addr
	twice  bool // an answer may come twice, when the session has another leg
	closes bool // a session may be closed with 1012; its client opens another
	over   chan struct{}

	laps    []atomic.Int64 // that each client has behind it
	at      []atomic.Int64 // the instance that answered it last
	ids     atomic.Uint32
	done    sync.WaitGroup
	failure atomic.Pointer[error] // the first

	mu    sync.Mutex // guards calls
	calls []*call    // that are over
}

// call is a session, as its client sees it.
type call struct {
	wire
	id             uint32
	sent, answered int
	leg, last      int  // of the latest answer
	again          int  // answers that came again
	instance       int  // that gave the latest; -1: there was none
	moved          bool // what comes next is the first of another leg that is new
	closed         time.Time
	asked          []time.Time     // when those under way were
	took           []time.Duration // of each request
	outages        []time.Duration // of the first that another leg has answered
}

// newCallers makes n clients; start has them call.
func newCallers(addr net.Addr, n int) *callers {
	return &callers{addr: addr, over: make(chan struct{}), laps: make([]atomic.Int64, n), at: make([]atomic.Int64, n)}
}

// start has all clients call.
func (c *callers) start() {
	for n := range c.laps {
		c.at[n].Store(-1)
		c.done.Go(func() { c.client(n) })
	}
}

// client lives sessions until all is over.
func (c *callers) client(n int) {
	for {
		s := &call{id: c.ids.Add(1), instance: -1}
		again, err := c.live(s, n)
		if s.conn != nil {
			s.conn.Close()
		}
		c.mu.Lock()
		c.calls = append(c.calls, s)
		c.mu.Unlock()
		if err != nil {
			err = fmt.Errorf("client %d, session %d, %d sent, %d answered, leg %d, instance %d: %w", n, s.id, s.sent, s.answered, s.leg, s.instance, err)
			c.failure.CompareAndSwap(nil, &err)
		}
		if !again {
			return
		}
	}
}

// live is the life of a session. again tells that it was closed and there is
// to be another.
func (c *callers) live(s *call, n int) (again bool, err error) {
	if err := c.open(s); err != nil {
		return false, err
	}
	every, burst := askEvery, 1
	switch {
	case n%5 == 4:
		every = askSeldom
	case n%2 == 1:
		burst = askAtOnce
		every *= askAtOnce
	}
	wait := time.NewTimer(time.Duration(rand.Int64N(int64(every))))
	defer wait.Stop()
	for {
		select {
		case <-c.over:
			_ = s.conn.SetDeadline(time.Now().Add(late))
			if err := s.send(ws.CloseFrame, "\x03\xe8bye"); err != nil {
				return false, err
			}
			return false, s.wantClose(ws.CodeNormal, false)
		case <-wait.C:
		}
		wait.Reset(every)
		if again, err := c.lap(s, burst); again || err != nil {
			return again, err
		}
		c.at[n].Store(int64(s.instance))
		c.laps[n].Add(1)
	}
}

func (c *callers) open(s *call) error {
	conn, err := net.DialTimeout("tcp", c.addr.String(), late)
	if err != nil {
		return err
	}
	s.begin(conn, false)
	if _, err := io.WriteString(conn, testkit.Upgrade("/s/"+strconv.Itoa(int(s.id)))); err != nil {
		return err
	}
	return s.wantHead("101")
}

// lap asks so much at once, and waits until all is answered.
func (c *callers) lap(s *call, burst int) (closed bool, err error) {
	now := time.Now()
	_ = s.conn.SetDeadline(now.Add(late))
	s.asked = s.asked[:0]
	var all []byte
	for range burst {
		s.sent++
		s.asked = append(s.asked, now)
		h := ws.Header{Fin: true, Opcode: ws.Text, Masked: true, Key: [4]byte{1, 2, 3, 4}}
		all = ws.AppendFrame(all, h, strconv.AppendInt(nil, int64(s.sent), 10))
	}
	_, _ = s.conn.Write(all) // an end is read
	for s.answered < s.sent {
		op, p, err := s.next()
		if err != nil {
			return false, fmt.Errorf("%d requests are not answered: %w", s.sent-s.answered, err)
		}
		if op == ws.CloseFrame {
			return c.wasClosed(s, p)
		}
		if err := c.heard(s, string(p)); err != nil {
			return false, err
		}
	}
	return false, nil
}

// heard judges an answer: each leg's are in order, and another leg's go on where
// they must.
func (c *callers) heard(s *call, text string) error {
	f := strings.Fields(text)
	if len(f) != 3 {
		return fmt.Errorf("an answer %q", text)
	}
	n, _ := strconv.Atoi(f[0])
	leg, _ := strconv.Atoi(f[1])
	s.instance, _ = strconv.Atoi(f[2])
	switch {
	case n > s.sent || n == 0:
		return fmt.Errorf("request %d is answered and was not sent", n)
	case leg == s.leg && n == s.last+1:
	case leg > s.leg && (n == s.answered+1 || c.twice && n <= s.answered):
	default:
		return fmt.Errorf("answer %d on leg %d follows %d on leg %d", n, leg, s.last, s.leg)
	}
	s.moved = s.moved || leg > s.leg
	if s.leg, s.last = leg, n; n <= s.answered {
		s.again++
		return nil
	}
	s.answered = n
	took := time.Since(s.asked[len(s.asked)-1-(s.sent-n)])
	if s.took = append(s.took, took); s.moved {
		s.outages, s.moved = append(s.outages, took), false
	}
	return nil
}

// wasClosed takes a close of the session.
func (c *callers) wasClosed(s *call, payload []byte) (closed bool, err error) {
	code, reason, err := ws.ParseClose(payload)
	if err != nil || code != ws.CodeRestart || !c.closes {
		return false, fmt.Errorf("closed with %d %q, %v", code, reason, err)
	}
	s.closed = time.Now()
	_ = s.send(ws.CloseFrame, string(payload))
	return true, s.wantEnd()
}

// quantiles tells of times.
func quantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(part float64) time.Duration {
		return all[int(part*float64(len(all)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d: p50 %v, p99 %v, most %v", len(all), at(.5), at(.99), at(1))
}
