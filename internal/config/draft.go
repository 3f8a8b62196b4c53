package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// draft is a configuration in the making, with the places to point at when two
// of its parts don't go together.
type draft struct {
	src       *source
	cfg       *Config
	listeners []place // of cfg.Listen
	adminAt   place
	routes    []*routeDraft
}

// routeDraft is a route in the making.
type routeDraft struct {
	*Route
	at, name, match, strip, pool place
	own                          *Pool   // its upstreams in place
	named                        []named // pools that its messages go to
	clientSize, upstreamSize     place   // of limits.message_size; without src where it is not given
	legs                         place   // of max_legs, or of the mode that could have it
	sound                        bool    // every part of it was right
}

// named is the name of a pool, where it is written.
type named struct {
	place
	pool string
}

// home is the pool where the route's sessions begin; nil for a fan-out.
func (r *routeDraft) home() *string {
	switch {
	case r.Balance != nil:
		return &r.Balance.Pool
	case r.Scatter != nil:
		return &r.Scatter.Pool
	}
	return nil
}

func newDraft(src *source) *draft {
	return &draft{src: src, cfg: defaults(), adminAt: place{src: src, line: 1, col: 1, key: "admin"}}
}

// listen adds a listener, unless its address is taken.
func (d *draft) listen(at place, l Listener) {
	for i, other := range d.cfg.Listen {
		if overlap(l.Address, other.Address) {
			at.errorf("%s is taken already by %s (%v)", l.Address, other.Address, d.listeners[i])
			return
		}
	}
	d.cfg.Listen = append(d.cfg.Listen, l)
	d.listeners = append(d.listeners, at)
}

// check judges the parts together and completes the configuration.
func (d *draft) check() {
	d.checkAdmin()
	for i, r := range d.routes {
		d.cfg.Routes = append(d.cfg.Routes, r.Route)
		d.checkName(r, d.routes[:i])
		if r.sound {
			r.checkStrip()
			r.checkReach(d.routes[:i])
		}
	}
	// In-place pools come last: they are no pools that routes can name.
	for _, r := range d.routes {
		d.checkPools(r)
	}
	for _, r := range d.routes {
		d.adopt(r)
		d.checkLegs(r)
	}
}

// checkLegs refuses a message for all that could not go to all.
func (d *draft) checkLegs(r *routeDraft) {
	s := r.Scatter
	if s == nil || !r.sound || s.Send.Kind != "all" && s.Send.Within != "all" {
		return
	}
	for _, name := range r.Pools() {
		if p := d.cfg.Pools[name]; p != nil && len(p.Upstreams) > s.MaxLegs {
			r.legs.errorf("a message for all goes to %d upstreams of %s, and there may be %d legs; write max_legs: %d", len(p.Upstreams), name, s.MaxLegs, len(p.Upstreams))
			return
		}
	}
}

func (d *draft) checkAdmin() {
	admin := d.cfg.Admin.Address
	for i, l := range d.cfg.Listen {
		if admin != "" && overlap(admin, l.Address) {
			d.adminAt.errorf("%s is taken already by %s (%v)", admin, l.Address, d.listeners[i])
		}
	}
}

func (d *draft) checkName(r *routeDraft, earlier []*routeDraft) {
	if r.Name == "" && len(d.routes) == 1 {
		r.Name = "default"
	}
	if r.Name == "" {
		if r.name == r.at { // else the name is there, and wrong
			r.at.errorf("needs a name; only a single route may go without")
		}
		return
	}
	for _, e := range earlier {
		if e.Name == r.Name {
			r.name.errorf("%q is the name of another route (%v)", r.Name, e.name)
			return
		}
	}
}

func (r *routeDraft) checkStrip() {
	if r.StripPrefix != "" && !covers(r.StripPrefix, r.Match.Path) {
		r.strip.errorf("%q is no prefix of match.path %q, segment by segment", r.StripPrefix, r.Match.Path)
	}
}

// checkReach refuses a route that an earlier one leaves nothing to.
func (r *routeDraft) checkReach(earlier []*routeDraft) {
	for i, e := range earlier {
		if e.sound && e.Match.takesAll(r.Match) {
			name := e.Name
			if name == "" {
				name = fmt.Sprintf("routes[%d]", i)
			}
			r.match.errorf("no request gets here: route %q (%v) takes them all; put this route before it", name, e.match)
			return
		}
	}
}

// takesAll tells whether m matches every request that other matches.
func (m Match) takesAll(other Match) bool {
	if m.Host != "" && m.Host != other.Host {
		return false
	}
	for name, val := range m.Headers {
		if v, ok := other.Headers[name]; !ok || v != val {
			return false
		}
	}
	if m.Exact {
		return other.Exact && m.Path == other.Path
	}
	return covers(m.Path, other.Path)
}

// checkPools looks up the pools that a route names.
func (d *draft) checkPools(r *routeDraft) {
	if home := r.home(); home != nil && r.own == nil && *home != "" {
		d.checkPool(named{r.pool, *home})
	}
	for _, n := range r.named {
		d.checkPool(n)
	}
}

func (d *draft) checkPool(n named) {
	if _, ok := d.cfg.Pools[n.pool]; ok {
		return
	}
	known := "there are none"
	if len(d.cfg.Pools) > 0 {
		known = "known: " + strings.Join(slices.Sorted(maps.Keys(d.cfg.Pools)), ", ")
	}
	n.errorf("there is no pool %q; %s", n.pool, known)
}

// adopt makes a pool of a route's upstreams in place.
func (d *draft) adopt(r *routeDraft) {
	if r.own == nil || r.Name == "" {
		return
	}
	if named, taken := d.cfg.Pools[r.Name]; taken && !named.InPlace {
		r.name.errorf("%q is the name of a pool, too; a route with upstreams in place is a pool by its own name", r.Name)
		return
	}
	r.own.Name, *r.home() = r.Name, r.Name
	d.cfg.Pools[r.Name] = r.own
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// checkName judges the name of a route or a pool: it is a label in metrics and
// a word in logs.
func checkName(s string) error {
	if !nameForm.MatchString(s) {
		return errors.New("a name is up to 64 letters, digits, dots, dashes and underscores, without a dot or dash in front")
	}
	return nil
}

func parseName(s string) (string, error) {
	if err := checkName(s); err != nil {
		return "", fmt.Errorf("%q: %w", s, err)
	}
	return s, nil
}
