package server

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/limit"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

const (
	queueFor    = time.Second // how long a handshake waits for its token at most; so no more wait than a second has
	longestAway = 10          // seconds after which a client that was sent away comes again at the latest
)

// storm spreads handshakes out when many clients come at once: the process
// takes so many a second, and a second's worth at once. Of those for whom there
// is no token a second's worth waits. The others are sent away, each until a
// time at which the tokens before it have been used up.
type storm struct {
	// Set once, then read-only.
	began  time.Time
	ending chan struct{} // closed when the server is told to end

	rate atomic.Int64 // handshakes a second; 0: no bound

	mu     sync.Mutex // guards what follows
	tokens limit.Bucket
	away   time.Duration // when the last of those sent away is to come, after began
}

func newStorm() *storm {
	return &storm{began: time.Now(), ending: make(chan struct{})}
}

// set has another rate hold for who comes from here on.
func (s *storm) set(rate int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rate.Swap(int64(rate)) != int64(rate) {
		s.tokens, s.away = limit.Bucket{}, 0 // counted by the old rate
	}
}

// pace waits for a handshake's token. If there is none it gives the answer, and
// what metrics call it. gone ends the wait, as the server's end does.
func (s *storm) pace(c *conn, gone <-chan struct{}) (refusal *handshake.Refusal, result string) {
	if s.rate.Load() == 0 {
		return nil, ""
	}
	wait, ok := s.turn(time.Since(s.began))
	switch {
	case !ok:
		return &handshake.Refusal{Status: 503, What: "too many handshakes", Header: retryAfter(wait)}, "storm"
	case wait == 0:
		return nil, ""
	}
	if c != nil {
		c.leaveGate() // who waits here keeps nobody from being heard
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil, ""
	case <-gone:
		return &handshake.Refusal{Status: 503, What: "the client left"}, "client_gone"
	case <-s.ending:
		return goingAway(), "going_away"
	}
}

// turn tells how long a handshake has to wait for its token or, if that is too
// long, after which time its client should come again.
func (s *storm) turn(now time.Duration) (wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := int(s.rate.Load())
	if rate == 0 {
		return 0, true
	}
	at, ok := s.tokens.Reserve(now, float64(rate), rate, queueFor)
	if ok {
		return at - now, true
	}
	s.away = max(s.away, at) + time.Second/time.Duration(rate)
	if last := now + longestAway*time.Second; s.away > last {
		s.away = last
		return rand.N(longestAway * time.Second), false // there is no better time: any
	}
	return s.away - now, false
}

// retryAfter is the field that has a client come again no earlier than after
// wait. Its seconds are whole, so one more or less by chance keeps those apart
// who were told at the same time.
func retryAfter(wait time.Duration) [][2]string {
	seconds := 1 + int((wait+rand.N(time.Second))/time.Second)
	return [][2]string{{"Retry-After", strconv.Itoa(min(seconds, longestAway))}}
}

func goingAway() *handshake.Refusal {
	return upstream.Unavailable(503, "going away")
}
