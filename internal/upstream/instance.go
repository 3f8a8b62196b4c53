package upstream

import (
	"context"
	"crypto/tls"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/balance"
	"github.com/sluice-proxy/sluice/internal/health"
	"github.com/sluice-proxy/sluice/internal/loop"
)

const (
	avoidFor    = time.Second            // after an instance could not be reached, others are asked first
	doubtFor    = 5 * time.Second        // and that much longer no session is moved there for the shares' sake
	rampOver    = 100                    // sessions until one that has come back is trusted with its share
	rttFresh    = 100 * time.Millisecond // a round-trip time is measured at least that often while sessions open
	notRamping  = -1
	sampleEvery = 500 * time.Millisecond
)

// Instance is one address of an upstream. It is shared by all pools that name
// it.
type Instance struct {
	// Set once, then read-only.
	name string // ws://10.0.0.1:9000
	key  string // what makes it one instance: its name, and how it is verified
	id   uint64
	url  *url.URL
	dial loop.Dial
	set  *Set

	sessions atomic.Int64
	leaving  atomic.Int64 // of them, those on their way to another instance
	asking   atomic.Int64 // handshakes under way
	awaited  atomic.Int64 // messages that it was sent and has yet to answer, where they are counted
	down     atomic.Bool
	draining atomic.Bool
	emptied  atomic.Bool // it was told that the drain is over
	going    going
	avoid    atomic.Int64 // the set's time until which others are asked first
	given    atomic.Int64 // sessions since it came back, or notRamping
	asked    atomic.Int64 // the set's time of the last ping sent to know the RTT
	traffic  atomic.Uint64
	ratio    atomic.Uint64
	cells    []trafficCell // a loop each
	signs    signs
	outlier  outlier

	mu       sync.Mutex // guards what follows
	past     balance.Past
	state    health.State
	parts    balance.Parts
	messages uint64 // of all cells at the last sample
	bytes    uint64

	// Guarded by the set's lock.
	pools  int     // that it is in
	stop   func()  // ends its probes; nil: there are none
	prober *prober // who probes it
}

type trafficCell struct {
	messages, bytes atomic.Uint64
	_               [48]byte
}

func newInstance(set *Set, u *url.URL, addr netip.AddrPort, tc *tls.Config) *Instance {
	i := &Instance{url: u, set: set, cells: make([]trafficCell, set.loops)}
	i.name = instanceName(u, addr)
	i.id = balance.Hash(i.name)
	i.dial = loop.Dial{Addr: addr, TLS: tc}
	if u.Scheme == "ws+unix" {
		i.dial = loop.Dial{Unix: u.Path}
	}
	i.ratio.Store(math.Float64bits(1))
	i.given.Store(notRamping)
	return i
}

// instanceName names an address, and the path that stands before every
// client's, as a URL.
func instanceName(u *url.URL, addr netip.AddrPort) string {
	if u.Scheme == "ws+unix" {
		return "ws+unix:" + u.Path
	}
	name := u.Scheme + "://" + addr.String()
	if u.Scheme == "wss" && u.Hostname() != addr.Addr().String() {
		name += "(" + u.Hostname() + ")"
	}
	if u.Path != "" && u.Path != "/" {
		name += u.Path
	}
	return name
}

// Name is what logs and metrics call the instance.
func (i *Instance) Name() string { return i.name }

// Up tells whether the instance takes sessions, by its probes and by whoever
// drains it.
func (i *Instance) Up() bool { return !i.down.Load() && !i.draining.Load() }

// Sessions counts those under way.
func (i *Instance) Sessions() int { return int(i.sessions.Load()) }

// Handshakes counts those under way.
func (i *Instance) Handshakes() int { return int(i.asking.Load()) }

// Target is the request target for a client's: the URL's own path in front.
func (i *Instance) Target(client string) string {
	if i.url.Scheme == "ws+unix" {
		return client
	}
	prefix := i.url.EscapedPath()
	for prefix != "" && prefix[len(prefix)-1] == '/' {
		prefix = prefix[:len(prefix)-1]
	}
	if prefix != "" && (client == "/" || strings.HasPrefix(client, "/?")) {
		return prefix + client[1:] // the URL names the resource itself
	}
	return prefix + client
}

// acquire counts a session in.
func (i *Instance) acquire() {
	i.sessions.Add(1)
	if i.given.Load() != notRamping && i.given.Add(1) >= rampOver {
		i.given.Store(notRamping)
	}
}

// Leaves counts a session, with 1, as being on its way to another instance, and
// with -1 as not.
func (i *Instance) Leaves(n int64) { i.leaving.Add(n) }

// Release counts a session out.
func (i *Instance) Release() { i.sessions.Add(-1) }

// Traffic counts what passed on a loop, both ways.
func (i *Instance) Traffic(loop int, messages, bytes uint64) {
	c := &i.cells[loop]
	if messages > 0 {
		c.messages.Add(messages)
	}
	c.bytes.Add(bytes)
}

// RTT takes the time that the answer to a ping took.
func (i *Instance) RTT(d time.Duration) {
	i.mu.Lock()
	i.past.Add(d, i.set.now())
	i.parts.RTT, i.parts.Usual = i.past.Lately(), i.past.Usual()
	ratio := i.parts.Ratio()
	i.mu.Unlock()
	i.ratio.Store(math.Float64bits(ratio))
}

// WantsRTT tells whether a ping now would tell something new.
func (i *Instance) WantsRTT() bool {
	now, last := int64(i.set.now()), i.asked.Load()
	return (last == 0 || now-last > int64(rttFresh)) && i.asked.CompareAndSwap(last, now)
}

// doubtful tells whether the instance was found unreachable, or going, a moment
// ago, or a little longer: not worth a session that is well where it is.
func (i *Instance) doubtful(now time.Duration) bool {
	at := i.avoid.Load()
	return at != 0 && int64(now) < at+int64(doubtFor)
}

func (i *Instance) avoided(now time.Duration) bool {
	at := i.avoid.Load()
	return at != 0 && int64(now) < at
}

// load is the instance's score with the sessions that it has now, beside
// others of which least is the lowest ratio of round-trip times.
func (i *Instance) load(least float64) float64 {
	return (float64(i.sessions.Load()+i.awaited.Load()) + math.Float64frombits(i.traffic.Load())) * balance.Slowness(i.slow(), least)
}

// slow is the ratio of the instance's round-trip times, lately over usual.
func (i *Instance) slow() float64 { return math.Float64frombits(i.ratio.Load()) }

// ramp is the probability with which an instance that has come back is taken,
// among n.
func (i *Instance) ramp(n int) float64 {
	given := i.given.Load()
	if given == notRamping {
		return 1
	}
	return max(1/float64(n), float64(given)/rampOver)
}

// sample measures the traffic since the last sample.
func (i *Instance) sample(since time.Duration) {
	var messages, bytes uint64
	for k := range i.cells {
		messages += i.cells[k].messages.Load()
		bytes += i.cells[k].bytes.Load()
	}
	i.mu.Lock()
	seconds := since.Seconds()
	i.parts.Messages += (float64(messages-i.messages)/seconds - i.parts.Messages) / 2
	i.parts.Bytes += (float64(bytes-i.bytes)/seconds - i.parts.Bytes) / 2
	i.messages, i.bytes = messages, bytes
	traffic := i.parts.Traffic()
	i.mu.Unlock()
	i.traffic.Store(math.Float64bits(traffic))
}

// judge applies what a probe found, unless ctx has ended: others probe it now.
// It tells whether the verdict changed.
func (i *Instance) judge(ctx context.Context, e health.Event, why string, r health.Rules) (changed bool) {
	i.mu.Lock()
	if ctx.Err() != nil {
		i.mu.Unlock()
		return false
	}
	i.state, changed = i.state.Next(e, why, r, i.set.now())
	down := i.state.Down
	if changed && !down {
		i.Alive()
		i.given.Store(0) // slow start
	}
	i.down.Store(down)
	i.mu.Unlock()
	return changed
}

// trust takes an instance that nobody probes any more for up. It tells whether
// that is news. The caller has ended its probes.
func (i *Instance) trust() (changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	changed = i.state.Down
	i.state = health.State{}
	if changed {
		i.given.Store(0) // slow start
	}
	i.down.Store(false)
	return changed
}

// View is an instance as the API shows it.
type View struct {
	Name     string   `json:"name"`
	State    string   `json:"state"`
	Why      string   `json:"why,omitempty"`
	Until    string   `json:"until,omitempty"` // it comes back: the time left
	Load     LoadView `json:"load"`
	Sessions int      `json:"sessions"`
	// Handshakes are those under way.
	Handshakes int `json:"handshakes"`

	Ejections map[string]uint64 `json:"ejections,omitempty"` // ever, by reason
}

// LoadView is the score of an instance and its parts.
type LoadView struct {
	Score    float64 `json:"score"`
	Sessions int     `json:"sessions"`
	Awaiting int     `json:"messages_awaiting"` // an answer, where answers are paired with messages
	Messages float64 `json:"messages_per_second"`
	Bytes    float64 `json:"bytes_per_second"`
	Traffic  float64 `json:"traffic_as_sessions"`
	RTT      float64 `json:"rtt_ms"`
	Usual    float64 `json:"usual_rtt_ms"`
	Slowness float64 `json:"slowness"`
}

// view gives the instance's present state; least is as for load.
func (i *Instance) view(least float64) View {
	i.mu.Lock()
	parts, state := i.parts, i.state
	i.mu.Unlock()
	parts.Sessions, parts.Awaiting = i.Sessions(), int(i.awaited.Load())
	v := View{Name: i.name, State: "up", Why: state.Why, Sessions: parts.Sessions, Handshakes: i.Handshakes(), Load: LoadView{
		Score: parts.Score(least), Sessions: parts.Sessions, Awaiting: parts.Awaiting, Messages: parts.Messages, Bytes: parts.Bytes,
		Traffic: parts.Traffic(), RTT: parts.RTT.Seconds() * 1e3, Usual: parts.Usual.Seconds() * 1e3, Slowness: balance.Slowness(parts.Ratio(), least),
	}}
	switch {
	case i.draining.Load():
		v.State, v.Why = "draining", "by the API"
	case state.Down:
		v.State = "down"
	case i.given.Load() != notRamping:
		v.State = "starting"
	}
	return v
}

// Address points u at the instance, for ordinary HTTP: scheme, host, and the
// URL's own path in front.
func (i *Instance) Address(u *url.URL) {
	u.Scheme, u.Host = "http", i.dial.Addr.String()
	if i.dial.TLS != nil {
		u.Scheme, u.Host = "https", i.url.Host
	}
	if i.dial.Unix != "" {
		u.Host = "unix"
		return
	}
	if prefix := strings.TrimRight(i.url.Path, "/"); prefix != "" {
		if u.Path == "/" {
			u.Path, u.RawPath = "", ""
		}
		if u.RawPath != "" {
			u.RawPath = strings.TrimRight(i.url.EscapedPath(), "/") + u.RawPath
		}
		u.Path = prefix + u.Path
	}
}

// TLS gives the settings towards the instance; nil where it speaks none.
func (i *Instance) TLS() *tls.Config { return i.dial.TLS }

// DialContext dials the instance, whatever address it is given.
func (i *Instance) DialContext(timeout time.Duration) func(context.Context, string, string) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	network, address := "tcp", i.dial.Addr.String()
	if i.dial.Unix != "" {
		network, address = "unix", i.dial.Unix
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, network, address) }
}
