package upstream

import (
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-proxy/sluice/internal/balance"
	"github.com/sluice-proxy/sluice/internal/loop"
)

// Why no instance can be chosen.
var (
	ErrNone  = errors.New("no instance is up")
	ErrFull  = errors.New("every instance is at its session cap")
	ErrTried = errors.New("every instance that is up has been tried")
)

// Balancer chooses instances of a pool for one route.
type Balancer struct {
	mu     sync.Mutex // guards what follows
	pool   *Pool
	cookie string // the sticky cookie's name, or ""
	kind   string // of policy
	policy balance.Policy
	rng    *rand.Rand
	cs     []balance.Candidate // room for a snapshot
}

// NewBalancer makes a balancer; policy is one that balance.New knows, cookie
// the sticky cookie's name or "".
func NewBalancer(p *Pool, policy, cookie string) *Balancer {
	var seed [32]byte
	crand.Read(seed[:])
	return &Balancer{pool: p, cookie: cookie, kind: policy, policy: balance.New(policy), rng: rand.New(rand.NewChaCha8(seed))}
}

// Change has choices made in another way from here on, those of clients that
// came before too. A policy that stays goes on where it was.
func (b *Balancer) Change(p *Pool, policy, cookie string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pool, b.cookie = p, cookie
	if b.kind != policy {
		b.kind, b.policy = policy, balance.New(policy)
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
// was before and what its key is.
type Choice struct {
	b      *Balancer
	key    uint64
	cookie string // as the client sent it
}

// For makes the choice for a client whose hash key and sticky cookie are these.
func (b *Balancer) For(key, cookie string) *Choice {
	return &Choice{b: b, key: balance.Hash(key), cookie: cookie}
}

// Instance chooses one that is not among tried and counts a session in; the
// caller releases it.
func (c *Choice) Instance(tried []*Instance) (*Instance, error) {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	members := *b.pool.members.Load()
	err := b.snapshot(members, tried)
	if err != nil {
		return nil, err
	}
	k := c.sticky()
	if k < 0 {
		k = b.policy.Pick(b.cs, c.key, b.rng)
	}
	if k < 0 {
		return nil, ErrNone
	}
	members[k].acquire()
	return members[k].Instance, nil
}

// snapshot fills b.cs from the members. Instances that could not be reached a
// moment ago are usable only when no other is. It tells why none is.
func (b *Balancer) snapshot(members []member, tried []*Instance) error {
	b.cs = b.cs[:0]
	now := b.pool.set.now()
	usable, up, free := 0, 0, 0
	least := leastRatio(members)
	avoided := false
	for _, m := range members {
		ok := m.Up()
		if ok {
			up++
		}
		if ok = ok && (m.cfg.MaxSessions == 0 || m.Sessions() < m.cfg.MaxSessions); ok {
			free++
		}
		ok = ok && !slices.Contains(tried, m.Instance)
		if ok && m.avoided(now) {
			ok, avoided = false, true
		}
		if ok {
			usable++
		}
		b.cs = append(b.cs, balance.Candidate{ID: m.id, Weight: max(m.cfg.Weight, 1), Sessions: m.Sessions(), Load: m.load(least),
			Ramp: m.ramp(len(members)), Usable: ok})
	}
	switch {
	case usable > 0:
		return nil
	case avoided:
		for k, m := range members {
			b.cs[k].Usable = m.avoided(now) && m.Up() && !slices.Contains(tried, m.Instance) &&
				(m.cfg.MaxSessions == 0 || m.Sessions() < m.cfg.MaxSessions)
		}
		return nil
	case up == 0:
		return ErrNone
	case free == 0:
		return ErrFull
	}
	return ErrTried
}

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
