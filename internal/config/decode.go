package config

import (
	"fmt"
	"log/slog"
)

// config decodes the whole file.
func (v value) config(d *draft) {
	c := d.cfg
	version := 1
	keys := v.object(
		key("version", parsed(&version, parseVersion)),
		key("listen", func(v value) { v.listeners(d) }),
		key("admin", func(v value) { v.admin(d) }),
		key("log", func(v value) { v.log(&c.Log) }),
		key("limits", func(v value) { v.limits(&c.Limits) }),
		key("drain", parsed(&c.Drain, offDuration)),
		key("trusted_proxies", list(&c.TrustedProxies, parsePrefix)),
		key("pools", func(v value) { v.pools(c) }),
		key("routes", func(v value) { v.routes(d) }),
	)
	if !keys.has("routes") && v.isMapping() {
		v.errorf("needs routes; the least is %s", smallest)
	}
	if !keys.has("listen") {
		d.listen(v.under("listen"), Listener{Address: defaultListen})
	}
}

func parseVersion(s string) (int, error) {
	if s != "1" {
		return 0, fmt.Errorf("%q is not a version that this Sluice reads; write 1", s)
	}
	return 1, nil
}

func (v value) listeners(d *draft) {
	items := v.items()
	if len(items) == 0 {
		v.errorf("needs at least one address; leave it out for %s", defaultListen)
	}
	for _, item := range items {
		item.listener(d)
	}
}

func (v value) listener(d *draft) {
	var l Listener
	at := v.place
	address := func(v value) {
		at = v.place
		parsed(&l.Address, parseListen)(v)
	}
	if !v.isMapping() {
		address(v)
	} else if keys := v.object(
		key("address", address),
		key("tls", func(v value) { l.TLS = v.tlsFiles() }),
		key("proxy_protocol", func(v value) { l.ProxyProtocol = v.proxyProtocol() }),
	); !keys.has("address") {
		v.errorf("needs address")
	}
	if l.Address != "" {
		d.listen(at, l)
	}
}

func (v value) tlsFiles() *TLSFiles {
	t := &TLSFiles{}
	before := len(v.src.errs)
	v.object(
		key("cert", text(&t.Cert)),
		key("key", text(&t.Key)),
	)
	if len(v.src.errs) == before && (t.Cert == "" || t.Key == "") {
		v.errorf("needs both cert and key, PEM files")
	}
	return t
}

func (v value) proxyProtocol() *ProxyProtocol {
	p := &ProxyProtocol{}
	before := len(v.src.errs)
	keys := v.object(key("trusted", list(&p.Trusted, parsePrefix)))
	if len(p.Trusted) == 0 && len(v.src.errs) == before {
		keys.or("trusted", v.place).errorf("names nobody; write trusted: [CIDR] of the peers that begin with a PROXY header")
	}
	return p
}

func (v value) admin(d *draft) {
	d.adminAt = v.place
	address := func(v value) {
		d.adminAt = v.place
		parsed(&d.cfg.Admin.Address, parseAdmin)(v)
	}
	if !v.isMapping() {
		address(v)
		return
	}
	v.object(key("address", address), key("token", text(&d.cfg.Admin.Token)))
}

func (v value) log(l *Log) {
	v.object(
		key("level", parsed(&l.Level, parseLevel)),
		key("format", parsed(&l.Format, word("text", "json"))),
		key("sessions", parsed(&l.Sessions, word("both", "close", "none"))),
	)
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"error": slog.LevelError,
}

func parseLevel(s string) (slog.Level, error) {
	w, err := word("debug", "info", "warn", "error")(s)
	return levels[w], err
}

func (v value) limits(l *Limits) {
	v.object(
		key("sessions", parsed(&l.Sessions, count(0))),
		key("sessions_per_ip", parsed(&l.SessionsPerIP, count(0))),
		key("handshakes_pending", parsed(&l.HandshakesPending, count(0))),
		key("handshakes_per_second", parsed(&l.HandshakesPerSecond, count(0))),
		later("memory"),
	)
}
