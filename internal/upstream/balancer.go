package upstream

import (
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/balance"
	"github.com/sluice-proxy/sluice/internal/loop"
)

// Why no instance can be chosen.
var (
	ErrNone  = errors.New("no instance is up")
	ErrFull  = errors.New("every instance is at its session cap")
	ErrTried = errors.New("every instance that is up has been tried")
	ErrBusy  = errors.New("every instance has as many handshakes under way as it takes")
)

// Balancer chooses instances of a pool for one route.
type Balancer struct {
	mu     sync.Mutex // guards what follows
	pool   *Pool
	cookie string // the sticky cookie's name, or ""
	hashed bool   // a key has an instance of its own
	kind   string // of policy
	policy balance.Policy
	rng    *rand.Rand
	cs     []balance.Candidate // room for a snapshot, and
	bars   []bar               // for what stands against each
	own    []*Instance         // that the session at hand has already; see Message
}

// NewBalancer makes a balancer; policy is one that balance.New knows, cookie
// the sticky cookie's name or "".
func NewBalancer(p *Pool, policy, cookie string) *Balancer {
	var seed [32]byte
	crand.Read(seed[:])
	return &Balancer{pool: p, cookie: cookie, kind: policy, hashed: policy == "hash", policy: balance.New(policy), rng: rand.New(rand.NewChaCha8(seed))}
}

// Change has choices made in another way from here on, those of clients that
// came before too. A policy that stays goes on where it was.
func (b *Balancer) Change(p *Pool, policy, cookie string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pool, b.cookie = p, cookie
	if b.kind != policy {
		b.kind, b.hashed, b.policy = policy, policy == "hash", balance.New(policy)
	}
}

// Pool is the one that is chosen from.
func (b *Balancer) Pool() *Pool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pool
}

// CookieName is the sticky cookie's name, or "".
func (b *Balancer) CookieName() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cookie
}

// Choice is one client's claim on an instance: it remembers where the client
// was before and what its key is. It belongs to whoever serves the client.
type Choice struct {
	b      *Balancer
	key    uint64
	cookie string    // as the client sent it
	asked  *Instance // the handshake with it is under way; nil: none is
	bound  bool      // the last ErrBusy was about the client's own instance
}

// For makes the choice for a client whose hash key and sticky cookie are these.
func (b *Balancer) For(key, cookie string) *Choice {
	return &Choice{b: b, key: balance.Hash(key), cookie: strings.Clone(cookie)} // the request is not kept for it
}

// Instance chooses one that is not among tried for a handshake, and counts a
// session in; the caller releases it. The handshake counts towards the
// instance's max_handshakes until Settled is called, or Instance again. ErrBusy
// says that there will be room: the caller may ask again, with the same tried.
func (c *Choice) Instance(tried []*Instance) (*Instance, error) {
	c.Settled()
	m, err := c.pick(tried, true)
	if err != nil {
		return nil, err
	}
	c.asked = m.Instance
	return m.Instance, nil
}

// Plain chooses as Instance does, for what is no handshake.
func (c *Choice) Plain(tried []*Instance) (*Instance, error) {
	m, err := c.pick(tried, false)
	return m.Instance, err
}

// Settled tells that the handshake with the instance that was chosen last is
// over, whatever came of it. It may be called again.
func (c *Choice) Settled() {
	if c.asked != nil {
		c.asked.asking.Add(-1)
		c.asked = nil
	}
}

// Bound tells whether the last ErrBusy was about one instance alone: the one
// that the client's cookie names, or its key. Others may have room for others.
func (c *Choice) Bound() bool { return c.bound }

// pick chooses a member and counts a session in, and a handshake if it is for
// one.
func (c *Choice) pick(tried []*Instance, handshake bool) (member, error) {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	members := *b.pool.members.Load()
	err := b.snapshot(members, tried)
	if err != nil {
		return member{}, err
	}
	k := c.own()
	if c.bound = handshake && k >= 0 && members[k].busy(); c.bound {
		return member{}, ErrBusy // elsewhere nobody knows the client
	}
	if k < 0 {
		if handshake && !b.withoutBusy(members) {
			return member{}, ErrBusy
		}
		k = b.policy.Pick(b.cs, c.key, b.rng)
	}
	if k < 0 {
		return member{}, ErrNone
	}
	members[k].acquire()
	if handshake {
		members[k].asking.Add(1)
	}
	return members[k], nil
}

// own gives the usable candidate that the client belongs to, by its cookie or
// its key, or -1 when any will do.
func (c *Choice) own() int {
	k := c.sticky()
	if k < 0 && c.b.hashed {
		k = c.b.policy.Pick(c.b.cs, c.key, c.b.rng)
	}
	return k
}

// withoutBusy leaves those usable in b.cs that have room for a handshake, and
// tells whether there are any.
func (b *Balancer) withoutBusy(members []member) bool {
	room := false
	for k := range b.cs {
		c := &b.cs[k]
		c.Usable = c.Usable && !members[k].busy()
		room = room || c.Usable
	}
	return room
}

// Keeps tells whether sessions may stay on an instance: it is one of the pool's,
// and up.
func (c *Choice) Keeps(i *Instance) bool {
	for _, m := range *c.b.Pool().members.Load() {
		if m.Instance == i {
			return i.Up()
		}
	}
	return false
}

// This is Instance for one that is chosen already.
func (c *Choice) This(i *Instance, tried []*Instance) (*Instance, error) {
	c.Settled()
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	members := *b.pool.members.Load()
	if err := b.snapshot(members, tried); err != nil {
		return nil, err
	}
	for k, m := range members {
		switch {
		case m.Instance != i || !b.cs[k].Usable:
		case m.busy():
			return nil, ErrBusy
		default:
			i.acquire()
			i.asking.Add(1)
			c.asked = i
			return i, nil
		}
	}
	return nil, ErrTried
}

// Stays tells whether sessions may stay on an instance that some are to leave:
// the pool keeps it, and it does not seem to go.
func (c *Choice) Stays(i *Instance) bool { return c.Keeps(i) && !i.avoided(i.set.now()) }

// bar is what stands against an instance for one client, the least first: where
// none is free, those that could not be reached a moment ago are taken, and where
// every other one is down or was tried in vain, those that are ejected.
type bar uint8

const (
	free bar = iota
	avoided
	full
	ejected
	fullEjected
	asked // by this client
	down
)

// against tells what stands against m.
func (b *Balancer) against(m member, tried []*Instance, now time.Duration) bar {
	isFull := m.cfg.MaxSessions != 0 && m.Sessions() >= m.cfg.MaxSessions && !slices.Contains(b.own, m.Instance)
	isEjected := b.pool.ejected(m)
	switch {
	case !m.Up():
		return down
	case slices.Contains(tried, m.Instance):
		return asked
	case isFull && isEjected:
		return fullEjected
	case isFull:
		return full
	case isEjected:
		return ejected
	case m.avoided(now):
		return avoided
	}
	return free
}

// snapshot fills b.cs from the members. It tells why none is usable.
func (b *Balancer) snapshot(members []member, tried []*Instance) error {
	b.cs, b.bars = b.cs[:0], b.bars[:0]
	now := b.pool.set.now()
	least, lowest := leastRatio(members), down
	for _, m := range members {
		against := b.against(m, tried, now)
		lowest = min(lowest, against)
		b.bars = append(b.bars, against)
		b.cs = append(b.cs, balance.Candidate{ID: m.id, Weight: max(m.cfg.Weight, 1), Sessions: m.Sessions(), Load: m.load(least),
			Ramp: m.ramp(len(members))})
	}
	switch {
	case lowest == down:
		return ErrNone
	case lowest == asked, lowest.isFull() && len(tried) > 0:
		return ErrTried
	case lowest.isFull():
		return ErrFull
	}
	for k := range b.cs {
		b.cs[k].Usable = b.bars[k] == lowest
	}
	return nil
}

func (a bar) isFull() bool { return a == full || a == fullEjected }

// sticky gives the usable candidate that the client's cookie names, or -1.
func (c *Choice) sticky() int {
	if c.cookie == "" {
		return -1
	}
	for k := range c.b.cs {
		if c.b.cs[k].Usable && cookieValue(c.b.cs[k].ID) == c.cookie {
			return k
		}
	}
	return -1
}

func cookieValue(id uint64) string { return strconv.FormatUint(id, 36) }

// Cookie is the Set-Cookie value that keeps the client on i, or "" when there
// is nothing to say. A page on another site may need it, so over TLS it is
// sent across sites.
func (c *Choice) Cookie(i *Instance, secure bool) string {
	value := cookieValue(i.id)
	name := c.b.CookieName()
	if name == "" || c.cookie == value {
		return ""
	}
	var s strings.Builder
	s.WriteString(name + "=" + value + "; Path=/; HttpOnly; SameSite=")
	if secure {
		s.WriteString("None; Secure")
	} else {
		s.WriteString("Lax")
	}
	return s.String()
}

// Dial says how to connect to i.
func (c *Choice) Dial(i *Instance) *loop.Dial { return c.b.Pool().dial(i) }

// Sources tells from how many addresses connections to instances are made; 0
// leaves it to the system.
func (c *Choice) Sources() int { return len(c.b.Pool().cfg.Load().SourceAddresses) }

// Host is the Host header for i, for a client that wrote host.
func (c *Choice) Host(i *Instance, host string) string { return c.b.Pool().host(i, host) }
