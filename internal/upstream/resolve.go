package upstream

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
)

// wantedMember is an address that a pool is to have.
type wantedMember struct {
	cfg  *config.Upstream
	addr netip.AddrPort
}

// named tells whether any upstream of the pool is a name, which may come to
// mean other addresses.
func named(cfg *config.Pool) bool {
	for _, u := range cfg.Upstreams {
		if _, err := netip.ParseAddr(u.URL.Hostname()); err != nil && u.URL.Scheme != "ws+unix" {
			return cfg.Resolve > 0
		}
	}
	return false
}

// keepResolved looks cfg's names up until ctx ends.
func (p *Pool) keepResolved(ctx context.Context, cfg *config.Pool) {
	defer p.set.wg.Done()
	t := time.NewTicker(cfg.Resolve)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if wanted, ok := p.resolve(ctx, cfg); ok {
				p.set.change(p, cfg, false, wanted)
			}
		}
	}
}

// resolve looks every name of cfg up. One that can't be looked up keeps the
// addresses that it has in the pool now. It tells whether there was time for
// all.
func (p *Pool) resolve(ctx context.Context, cfg *config.Pool) (wanted []wantedMember, ok bool) {
	for _, u := range cfg.Upstreams {
		addrs, err := lookUp(ctx, u)
		if err != nil {
			if ctx.Err() != nil {
				return nil, false
			}
			p.set.log.Warn("name not resolved", "pool", p.Name(), "upstream", u.URL.String(), "err", err)
			addrs = p.addresses(u)
		}
		for _, a := range addrs {
			wanted = append(wanted, wantedMember{u, a})
		}
	}
	return wanted, true
}

// addresses gives those that u has in the pool now.
func (p *Pool) addresses(u *config.Upstream) (addrs []netip.AddrPort) {
	for _, m := range *p.members.Load() {
		if m.cfg == u || m.cfg.URL.String() == u.URL.String() {
			addrs = append(addrs, m.dial.Addr)
		}
	}
	return addrs
}

const lookUpTimeout = 5 * time.Second

// lookUp gives the addresses of an upstream's host.
func lookUp(ctx context.Context, u *config.Upstream) ([]netip.AddrPort, error) {
	if u.URL.Scheme == "ws+unix" {
		return []netip.AddrPort{{}}, nil
	}
	n, err := strconv.ParseUint(port(u.URL), 10, 16)
	if err != nil {
		return nil, err
	}
	host := u.URL.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a, uint16(n))}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.AddrPort, len(ips))
	for k, ip := range ips {
		addrs[k] = netip.AddrPortFrom(ip.Unmap(), uint16(n))
	}
	if host == "localhost" {
		return []netip.AddrPort{oneOf(ctx, addrs)}, nil
	}
	return addrs, nil
}

// oneOf gives the address that answers. Names of this machine stand for one
// server that listens on 127.0.0.1, on ::1, or on both: that is one instance,
// not two.
func oneOf(ctx context.Context, addrs []netip.AddrPort) netip.AddrPort {
	best := addrs[0]
	for _, a := range addrs {
		if a.Addr().Is4() {
			best = a
		}
	}
	if len(addrs) == 1 {
		return best
	}
	for _, a := range append([]netip.AddrPort{best}, addrs...) {
		d := net.Dialer{Timeout: time.Second}
		if c, err := d.DialContext(ctx, "tcp", a.String()); err == nil {
			c.Close()
			return a
		}
	}
	return best
}
