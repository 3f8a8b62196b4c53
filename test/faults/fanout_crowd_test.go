package faults_test

import (
	"bufio"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// way gives the address by which a listener's next life reaches the proxy, and
// the number under which its link finds its script.
func (u *run) way(l *listener) (net.Addr, int) {
	if !u.plan.links {
		return u.addr, 0
	}
	s := draw(l.r, [2]int{300, 100 << 10}, 4)
	if l.witness {
		s.blow = noBlow
	}
	k := 0
	if l.stalls { // what it does not read is to be the proxy's, not the link's
		s, k = clear, 1
	}
	p := newPass(s, func() bool { return true }) // it is to notice by itself
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.passes)
	u.passes[n] = p
	return u.links[k].addr(), n
}

// pass gives a link its script by the request's number.
func (u *run) pass(line string) *pass {
	_, number, _ := strings.Cut(line, "pass=")
	number, _, _ = strings.Cut(number, " ")
	number, _, _ = strings.Cut(number, "&")
	n, err := strconv.Atoi(number)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		return nil
	}
	return u.passes[n]
}

// struck tells whether the blow of a life has fallen.
func (u *run) struck(number int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.passes[number]
	return p != nil && p.struck()
}

// strikes counts the lives on which a blow has fallen.
func (u *run) strikes() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.passes {
		if p.struck() {
			n++
		}
	}
	return n
}

// A crowd is so many at a time, each of whom joins no more than so often.
const (
	crowdWidth = 12
	crowdJoins = 500
)

// crowd joins and leaves as fast as it can, and reads little. It is not judged:
// it is there so that others are, while subscribers come and go.
func (u *run) crowd() {
	r := rand.New(rand.NewPCG(u.feed.seed, 7))
	for range crowdJoins {
		if u.feed.ended() {
			return
		}
		c, err := net.DialTimeout("tcp", u.addr.String(), patience)
		if err != nil {
			u.t.Errorf("one of the crowd: %v", err)
			return
		}
		status, err := visit(c, r.IntN(8)-5)
		_ = c.(*net.TCPConn).SetLinger(0) // no port of it is kept busy
		c.Close()
		if err != nil || status != http.StatusSwitchingProtocols {
			if !u.feed.ended() {
				u.t.Errorf("one of the crowd: status %d, %v", status, err)
			}
			return
		}
		u.joined.Add(1)
	}
}

// visit joins and reads so many times; most only read the answer.
func visit(c net.Conn, reads int) (status int, err error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(testkit.Upgrade("/"))); err != nil {
		return 0, err
	}
	in := bufio.NewReader(c)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	for range reads {
		if _, err := in.Discard(1 + in.Buffered()); err != nil {
			break // the stream may have ended
		}
	}
	return answer.StatusCode, nil
}
