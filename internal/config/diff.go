package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Changes is what one configuration has and another one had not.
type Changes struct {
	Changed []string `json:"changed"`                  // what takes effect while it runs, a thing each
	Restart []string `json:"restart_needed,omitempty"` // keys whose change needs a restart
}

// Diff tells what there is to change from c to next.
func (c *Config) Diff(next *Config) Changes {
	var d Changes
	d.routes(c, next)
	d.pools(c, next)
	d.process(c, next)
	d.listeners(c, next)
	return d
}

func (d *Changes) say(parts ...string) { d.Changed = append(d.Changed, strings.Join(parts, "")) }

func (d *Changes) routes(was, is *Config) {
	for _, old := range was.Routes {
		if is.Route(old.Name) == nil {
			d.say("route ", old.Name, " removed")
		}
	}
	for _, rt := range is.Routes {
		old := was.Route(rt.Name)
		switch {
		case old == nil:
			d.say("route ", rt.Name, " added")
		case old.Mode() != rt.Mode():
			d.say("route ", rt.Name, ": mode ", old.Mode(), " became ", rt.Mode())
		default:
			d.keys("route "+rt.Name, old, rt)
		}
	}
	order := func(c, beside *Config) (names []string) {
		for _, rt := range c.Routes {
			if beside.Route(rt.Name) != nil {
				names = append(names, rt.Name)
			}
		}
		return names
	}
	if !slices.Equal(order(was, is), order(is, was)) {
		d.say("order of routes")
	}
}

// Route gives the route of that name, or nil.
func (c *Config) Route(name string) *Route {
	for _, rt := range c.Routes {
		if rt.Name == name {
			return rt
		}
	}
	return nil
}

// Mode names what the route does.
func (r *Route) Mode() string {
	switch {
	case r.Fanout != nil:
		return "fanout"
	case r.Scatter != nil:
		return "scatter"
	}
	return "balance"
}

// pools tells of them by name, and of a route's own as of the route.
func (d *Changes) pools(was, is *Config) {
	for _, name := range slices.Sorted(maps.Keys(was.Pools)) {
		if is.Pools[name] == nil && !was.Pools[name].InPlace {
			d.say("pool ", name, " removed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is.Pools)) {
		p, old := is.Pools[name], was.Pools[name]
		switch {
		case old == nil && !p.InPlace:
			d.say("pool ", name, " added")
		case old == nil:
		case p.InPlace:
			d.keys("route "+name, old, p)
		default:
			d.keys("pool "+name, old, p)
		}
	}
}

// process tells of what is no route's.
func (d *Changes) process(was, is *Config) {
	d.keys("log", &Log{Level: was.Log.Level, Sessions: was.Log.Sessions}, &Log{Level: is.Log.Level, Sessions: is.Log.Sessions})
	if was.Log.Format != is.Log.Format {
		d.Restart = append(d.Restart, "log.format")
	}
	a, b := was.Limits, is.Limits
	if a.SessionsPerIP == 0 && b.SessionsPerIP > 0 {
		d.Restart = append(d.Restart, "limits.sessions_per_ip")
		b.SessionsPerIP = 0
	}
	if a.HandshakesPending != b.HandshakesPending {
		d.Restart = append(d.Restart, "limits.handshakes_pending")
		b.HandshakesPending = a.HandshakesPending
	}
	d.keys("limits", &a, &b)
	if was.Drain != is.Drain {
		d.say("drain")
	}
	if !slices.Equal(was.TrustedProxies, is.TrustedProxies) {
		d.say("trusted_proxies")
	}
}

// listeners tells of certificates, which are read anew; listeners stay.
func (d *Changes) listeners(was, is *Config) {
	same := len(was.Listen) == len(is.Listen)
	for k := range was.Listen {
		old, l := &was.Listen[k], is.Listener(was.Listen[k].Address)
		if l == nil || (old.TLS == nil) != (l.TLS == nil) || !reflect.DeepEqual(old.ProxyProtocol, l.ProxyProtocol) {
			same = false
		} else if l.TLS != nil && *l.TLS != *old.TLS {
			d.say("listen ", l.Address, ": certificate files")
		}
	}
	if !same {
		d.Restart = append(d.Restart, "listen")
	}
	if was.Admin != is.Admin {
		d.Restart = append(d.Restart, "admin")
	}
}

// Listener gives the listener on that address, or nil.
func (c *Config) Listener(address string) *Listener {
	for k := range c.Listen {
		if c.Listen[k].Address == address {
			return &c.Listen[k]
		}
	}
	return nil
}

// keys says which keys of what differ.
func (d *Changes) keys(what string, was, is any) {
	if keys := differing(reflect.ValueOf(was), reflect.ValueOf(is)); len(keys) > 0 {
		d.say(what, ": ", strings.Join(keys, ", "))
	}
}

// differing names the fields in which two structs behind pointers differ, as
// keys; a mode's are named by themselves.
func differing(was, is reflect.Value) (keys []string) {
	was, is = was.Elem(), is.Elem()
	for k := range was.NumField() {
		a, b := was.Field(k), is.Field(k)
		name := was.Type().Field(k).Name
		switch {
		case reflect.DeepEqual(a.Interface(), b.Interface()):
		case name == "Balance" || name == "Fanout" || name == "Scatter":
			keys = append(keys, differing(a, b)...)
		default:
			keys = append(keys, keyName(name))
		}
	}
	return keys
}

// keyName is a field's name as a key of the file: SessionsPerIP is sessions_per_ip.
func keyName(field string) string {
	var b strings.Builder
	small := false // the letter before was
	for _, c := range field {
		if unicode.IsUpper(c) && small {
			b.WriteByte('_')
		}
		small = unicode.IsLower(c)
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
