package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-proxy/sluice/internal/health"
)

// three is a balancer over three instances, each session to the least of them.
func three(t *testing.T, cookie string, options ...string) (*Balancer, []*Instance) {
	t.Helper()
	s, _ := newSet()
	var upstreams []string
	for k := range 3 {
		upstreams = append(upstreams, fmt.Sprintf("ws://10.0.0.%d:9000 %s", k+1, strings.Join(options, " ")))
	}
	p := newPool(t, s, upstreams...)
	return NewBalancer(p, "least_sessions", cookie), p.Instances()
}

func choose(t *testing.T, c *Choice, tried ...*Instance) *Instance {
	t.Helper()
	i, err := c.Instance(tried)
	if err != nil {
		t.Fatalf("nobody is chosen: %v", err)
	}
	return i
}

func wantErr(t *testing.T, what string, c *Choice, want error, tried ...*Instance) {
	t.Helper()
	if i, err := c.Instance(tried); i != nil || err != want {
		t.Errorf("%s: got %v, %v, want %v", what, i, err, want)
	}
}

func setDown(i *Instance) {
	i.judge(context.Background(), health.Failed, "", health.Rules{Rise: 1, Fall: 1})
}

func TestSessionsAreCounted(t *testing.T) {
	b, is := three(t, "")
	for range 30 {
		choose(t, b.For("", ""))
	}
	for _, i := range is {
		if i.Sessions() != 10 {
			t.Errorf("%s has %d of 30 sessions", i.Name(), i.Sessions())
		}
	}
	is[1].Release()
	if got := choose(t, b.For("", "")); got != is[1] {
		t.Errorf("the place that is free at %s is given to %s", is[1].Name(), got.Name())
	}
}

func TestTriedAreNotAskedAgain(t *testing.T) {
	b, is := three(t, "")
	c := b.For("", "")
	var tried []*Instance
	for range is {
		i := choose(t, c, tried...)
		if slices.Contains(tried, i) {
			t.Errorf("%s is asked again", i.Name())
		}
		tried = append(tried, i)
	}
	wantErr(t, "all tried", c, ErrTried, tried...)
	for _, i := range is {
		if i.Sessions() != 1 {
			t.Errorf("%s counts %d sessions, want the one that was chosen", i.Name(), i.Sessions())
		}
	}
}

func TestWhyNobody(t *testing.T) {
	b, is := three(t, "", "max=1")
	c := b.For("", "")
	setDown(is[0])
	first := choose(t, c)
	if first == is[0] {
		t.Error("one that is down is chosen")
	}
	second := choose(t, c, first)
	wantErr(t, "one down, two full", c, ErrFull)
	second.Release()
	wantErr(t, "one down, one full, one tried", c, ErrTried, second)
	if got := choose(t, c); got != second {
		t.Errorf("below its cap again is %s, chosen is %s", second.Name(), got.Name())
	}
	setDown(is[1])
	setDown(is[2])
	wantErr(t, "all down", c, ErrNone)
	resolves(b.Pool())
	wantErr(t, "no members", c, ErrNone)
}

// TestHandshakesAtATime: an instance takes so many at a time; sessions and
// ordinary requests don't count.
func TestHandshakesAtATime(t *testing.T) {
	b, is := three(t, "", "handshakes=2")
	var asking []*Choice
	for range 6 {
		c := b.For("", "")
		choose(t, c)
		asking = append(asking, c)
	}
	late := b.For("", "")
	wantErr(t, "six under way", late, ErrBusy)
	if late.Bound() {
		t.Error("any instance will do, and it is said to wait for one alone")
	}
	if _, err := late.Plain(nil); err != nil {
		t.Errorf("an ordinary request waits for handshakes: %v", err)
	}
	for _, i := range is {
		if i.Handshakes() != 2 || i.view(1).Handshakes != 2 {
			t.Errorf("%s has %d handshakes under way, want 2", i.Name(), i.Handshakes())
		}
	}
	home := asking[3].asked
	asking[3].Settled()
	asking[3].Settled()
	if got := choose(t, late); got != home || home.Handshakes() != 2 {
		t.Errorf("the place that is free at %s is given to %s; the first has %d handshakes", home.Name(), got.Name(), home.Handshakes())
	}
	wantErr(t, "six again", b.For("", ""), ErrBusy)
	for k, i := range is {
		wantErr(t, "two tried, the third busy", b.For("", ""), ErrBusy, is[(k+1)%3], is[(k+2)%3])
		setDown(i)
	}
	wantErr(t, "all down", b.For("", ""), ErrNone)
}

// TestNextHandshakeEndsTheLast: who asks again has given the last one up.
func TestNextHandshakeEndsTheLast(t *testing.T) {
	b, is := three(t, "", "handshakes=1")
	c := b.For("", "")
	var tried []*Instance
	for range is {
		tried = append(tried, choose(t, c, tried...))
	}
	wantErr(t, "all tried", c, ErrTried, tried...)
	for _, i := range is {
		if i.Handshakes() != 0 {
			t.Errorf("%s counts %d handshakes, and all were given up", i.Name(), i.Handshakes())
		}
	}
}

// TestBusyHomeIsWaitedFor: whom a cookie or a key binds to an instance is not
// sent elsewhere because it is busy for a moment.
func TestBusyHomeIsWaitedFor(t *testing.T) {
	sticky, is := three(t, "sluice", "handshakes=1")
	hashed := NewBalancer(sticky.Pool(), "hash", "")
	for name, again := range map[string]func() *Choice{
		"cookie": func() *Choice { return sticky.For("", cookieValue(is[1].id)) },
		"key":    func() *Choice { return hashed.For("user", "") },
	} {
		first, second := again(), again()
		home := choose(t, first)
		wantErr(t, name+": home is busy", second, ErrBusy)
		if !second.Bound() {
			t.Errorf("%s: nobody is told that another client may have room elsewhere", name)
		}
		first.Settled()
		if got := choose(t, second); got != home {
			t.Errorf("%s: the client was on %s and comes to %s", name, home.Name(), got.Name())
		}
		second.Settled()
	}
}

// TestCapUnderPressure: a cap holds when many ask at once.
func TestCapUnderPressure(t *testing.T) {
	b, is := three(t, "", "max=5")
	done := make(chan error)
	for range 50 {
		go func() {
			_, err := b.For("", "").Instance(nil)
			done <- err
		}()
	}
	full := 0
	for range 50 {
		if err := <-done; errors.Is(err, ErrFull) {
			full++
		}
	}
	if full != 35 {
		t.Errorf("%d of 50 are turned away, want 35", full)
	}
	for _, i := range is {
		if i.Sessions() != 5 {
			t.Errorf("%s has %d sessions, over or under its cap of 5", i.Name(), i.Sessions())
		}
	}
}

// valueOf reads a Set-Cookie value as a browser would.
func valueOf(t *testing.T, setCookie string) string {
	t.Helper()
	c, err := http.ParseSetCookie(setCookie)
	if err != nil {
		t.Fatalf("%q: %v", setCookie, err)
	}
	return c.Value
}

func TestSticky(t *testing.T) {
	b, _ := three(t, "sluice", "max=50")
	c := b.For("", "")
	home := choose(t, c)
	value := valueOf(t, c.Cookie(home, false))
	for range 20 {
		again := b.For("", value)
		if got := choose(t, again); got != home {
			t.Fatalf("the client comes back to %s, and was on %s", got.Name(), home.Name())
		}
		if got := again.Cookie(home, false); got != "" {
			t.Fatalf("it is told again what it knows: %q", got)
		}
	}

	if got := choose(t, b.For("", value), home); got == home {
		t.Error("an instance that was tried is asked again because of its cookie")
	}
	home.sessions.Store(50)
	if got := choose(t, b.For("", value)); got == home {
		t.Error("an instance at its cap is given one more because of its cookie")
	}
	home.sessions.Store(0)
	setDown(home)
	moved := b.For("", value)
	now := choose(t, moved)
	if now == home {
		t.Error("an instance that is down is given a session because of its cookie")
	}
	if got := valueOf(t, moved.Cookie(now, false)); got == value {
		t.Error("a client that was moved keeps its old cookie")
	}
	for _, forged := range []string{"x", "0", "-1", strings.Repeat("z", 1000)} {
		choose(t, b.For("", forged))
	}
}

func TestCookie(t *testing.T) {
	b, is := three(t, "sluice")
	c := b.For("", "")
	value := cookieValue(is[0].id)
	for secure, want := range map[bool]string{
		false: "sluice=" + value + "; Path=/; HttpOnly; SameSite=Lax",
		true:  "sluice=" + value + "; Path=/; HttpOnly; SameSite=None; Secure",
	} {
		if got := c.Cookie(is[0], secure); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if strings.Contains(value, "10.0.0") {
		t.Errorf("the cookie %q tells the client an address", value)
	}
	b, is = three(t, "")
	if got := b.For("", "").Cookie(is[0], true); got != "" {
		t.Errorf("without a sticky cookie it is %q", got)
	}
}

// TestUnreachable: for a second others are asked first, and only first.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, is := three(t, "sluice")
		time.Sleep(time.Minute)
		refused := fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
		is[0].Unreachable(refused)
		is[1].sessions.Store(1000)
		is[2].sessions.Store(1000)
		for range 10 {
			if got := choose(t, b.For("", "")); got == is[0] {
				t.Error("one that was not reached a moment ago is asked while others are there")
			}
		}
		if got := choose(t, b.For("", cookieValue(is[0].id))); got == is[0] {
			t.Error("its cookie makes it be asked all the same")
		}
		if got := choose(t, b.For("", ""), is[1], is[2]); got != is[0] {
			t.Errorf("when no other is left %s is asked", got.Name())
		}
		is[0].Release()
		time.Sleep(avoidFor)
		if got := choose(t, b.For("", "")); got != is[0] {
			t.Errorf("a second later the least busy is %s, asked is %s", is[0].Name(), got.Name())
		}

		is[0].Unreachable(refused)
		is[0].Reached()
		if got := choose(t, b.For("", "")); got != is[0] {
			t.Errorf("it has answered, and still %s is asked", got.Name())
		}
		for _, ours := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE} {
			is[0].Unreachable(fmt.Errorf("dial: %w", ours))
			if got := choose(t, b.For("", "")); got != is[0] {
				t.Errorf("%v is our own fault, and %s is asked instead", ours, got.Name())
			}
		}
	})
}

// TestUnreachableAndFullOrDown: being the last resort lifts no other bar.
func TestUnreachableAndFullOrDown(t *testing.T) {
	b, is := three(t, "", "max=1")
	for _, i := range is {
		i.Unreachable(syscall.ECONNREFUSED)
	}
	setDown(is[0])
	choose(t, b.For("", ""), is[2])
	if got := is[1].Sessions(); got != 1 {
		t.Errorf("up, not tried and not full is only the second, which has %d sessions", got)
	}
	wantErr(t, "one down, one full, one tried, all unreachable", b.For("", ""), ErrTried, is[2])
}

func TestHashKeepsAClientOnItsInstance(t *testing.T) {
	b, is := three(t, "")
	b = NewBalancer(b.Pool(), "hash", "")
	homes := map[string]*Instance{}
	for k := range 30 {
		key := fmt.Sprint("user", k)
		homes[key] = choose(t, b.For(key, ""))
	}
	setDown(is[0])
	for key, home := range homes {
		if got := choose(t, b.For(key, "")); got != home && home != is[0] {
			t.Errorf("%s moves from %s to %s, and both are up", key, home.Name(), got.Name())
		}
	}
}

func TestWantsRTT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, is := three(t, "")
		time.Sleep(time.Minute)
		for _, want := range []bool{true, false, false} {
			if got := is[0].WantsRTT(); got != want {
				t.Errorf("a ping is wanted: %v, want %v", got, want)
			}
		}
		time.Sleep(rttFresh + 1)
		if !is[0].WantsRTT() {
			t.Error("the last round trip is old, and no ping is wanted")
		}
	})
}
