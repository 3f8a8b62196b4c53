package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// parseListen accepts what a listener can be bound to.
func parseListen(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return s, checkSocket(path)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is not an address; write localhost:8080, :8080 for all interfaces, or unix:PATH", s)
	}
	n, err := parsePort(port, 0)
	if err != nil {
		return "", err
	}
	if host != "" && !isHost(host) {
		return "", fmt.Errorf("%q is not a host name or an IP address", host)
	}
	return net.JoinHostPort(strings.ToLower(host), n), nil
}

// parseAdmin accepts an address or, for none, off.
func parseAdmin(s string) (string, error) {
	if s == "off" || s == "0" || s == "" {
		return "", nil
	}
	return parseListen(s)
}

// overlap tells whether two listeners can't both be bound.
func overlap(a, b string) bool {
	if strings.HasPrefix(a, "unix:") || strings.HasPrefix(b, "unix:") {
		return a == b
	}
	ha, pa, _ := net.SplitHostPort(a)
	hb, pb, _ := net.SplitHostPort(b)
	return pa == pb && pa != "0" && (ha == hb || ha == "" || hb == "")
}

// parsePort gives a port without leading zeros.
func parsePort(s string, low int) (string, error) {
	n, err := strconv.Atoi(s)
	if !digits.MatchString(s) || err != nil || n < low || n > 65535 {
		return "", fmt.Errorf("port %q is not a number from %d to 65535", s, low)
	}
	return strconv.Itoa(n), nil
}

// checkSocket judges the path of a Unix socket. The kernel has 108 bytes for
// it, the last of them a NUL.
func checkSocket(path string) error {
	if path == "" {
		return errors.New("the path of the socket is missing; write unix:/run/app.sock")
	}
	if len(path) > 107 {
		return fmt.Errorf("the path of a socket can't be longer than 107 bytes, this one has %d", len(path))
	}
	return nil
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	zoneName = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)
)

// isHost accepts a host name or an IP address, IPv6 without brackets.
func isHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return zoneName.MatchString(ip.Zone())
	}
	return len(s) <= 253 && hostName.MatchString(s) && !strings.Contains(s, "..")
}

// parseHost accepts a Host header: a host, with or without a port.
func parseHost(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = unbracket(s), "1"
	}
	_, err = parsePort(port, 1)
	if bareV6 := host == s && strings.Contains(s, ":"); err != nil || bareV6 || s != "" && !isHost(host) {
		return "", fmt.Errorf("%q is not a host; write chat.example.com or chat.example.com:8443", s)
	}
	return s, nil
}

// unbracket gives the IPv6 address in brackets; what is none stays as it is.
func unbracket(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.Contains(s, ":") {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return s
}

// parsePrefix accepts a network or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write 10.0.0.0/8, fd00::/8 or a single IP address", s)
	}
	return p.Masked(), nil
}

// parseIP accepts an address to dial from.
func parseIP(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || !zoneName.MatchString(ip.Zone()) {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	return ip.Unmap(), nil
}

// parseUpstream accepts a WebSocket URL or a Unix socket.
func parseUpstream(s string) (*url.URL, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return socketURL(path)
	}
	if host, port, err := net.SplitHostPort(s); err == nil && isHost(host) && digits.MatchString(port) {
		return nil, fmt.Errorf("%q is not a WebSocket URL; write ws://%s", s, s)
	}
	u, err := url.Parse(s)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the rest of it repeats the URL, which may hold a password
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	if u.User != nil || strings.Contains(u.Opaque, "@") {
		return nil, errors.New("a user in the URL is not sent; write headers: {set: {Authorization: ...}} in the route")
	}
	switch u.Scheme {
	case "ws", "wss":
	case "ws+unix":
		if u.Host != "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, errors.New("a socket's URL has a path alone; write ws+unix:/run/app.sock")
		}
		return socketURL(u.Path + u.Opaque)
	case "http", "https":
		return nil, fmt.Errorf("%q is not a WebSocket URL; write %s", s, "ws"+s[len("http"):])
	default:
		return nil, fmt.Errorf("%q is not a WebSocket URL; write ws://HOST:PORT, wss://HOST or unix:PATH", s)
	}
	return networkURL(s, u)
}

// socketURL is the URL of the Unix socket at path.
func socketURL(path string) (*url.URL, error) {
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	if path[0] != '/' {
		return nil, fmt.Errorf("the path %q is not absolute; write unix:/run/app.sock", path)
	}
	return &url.URL{Scheme: "ws+unix", Path: path, OmitHost: true}, nil
}

// networkURL judges a ws or wss URL and gives its usual form.
func networkURL(s string, u *url.URL) (*url.URL, error) {
	host, port := u.Hostname(), u.Port()
	switch {
	case host == "":
		return nil, fmt.Errorf("%q has no host; write %s://HOST:PORT", s, u.Scheme)
	case !isHost(strings.TrimSuffix(host, ".")):
		return nil, fmt.Errorf("%q is not a host name or an IP address", host)
	case strings.HasSuffix(u.Host, ":"):
		return nil, fmt.Errorf("%q has no port behind the colon", s)
	case u.RawQuery != "" || u.ForceQuery:
		return nil, fmt.Errorf("%q has a query; the client's own query goes there", s)
	case strings.Contains(s, "#"):
		return nil, fmt.Errorf("%q has a fragment; a WebSocket URL has none", s)
	case u.RawPath != "" && u.RawPath != u.EscapedPath():
		return nil, fmt.Errorf("%q has a path with a character that must be escaped, as a blank by %%20", s)
	}
	host = strings.ToLower(host)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u.Host = host
	if port != "" {
		n, err := parsePort(port, 1)
		if err != nil {
			return nil, err
		}
		u.Host = host + ":" + n
	}
	return u, nil
}

// parseSource accepts what parseUpstream does, and a query. It may hold a token
// and is not repeated in errors.
func parseSource(s string) (*url.URL, error) {
	base, query, _ := strings.Cut(s, "?")
	if strings.HasPrefix(s, "unix:") || strings.HasPrefix(s, "ws+unix:") {
		base, query = s, ""
	}
	u, err := parseUpstream(base)
	if err != nil || query == "" {
		return u, err
	}
	u.RawQuery = query
	if strings.Contains(query, "#") {
		return nil, errors.New("has a fragment; a WebSocket URL has none")
	}
	if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("has a query with a character that must be escaped, as a blank by %20")
	}
	if _, err := url.QueryUnescape(query); err != nil {
		return nil, errors.New("has a query with a percent sign that is no escape; write %25 for the sign itself")
	}
	for name := range u.Query() {
		if ours(name) {
			return nil, fmt.Errorf("the parameter %s is Sluice's own: it asks a source for it where it is one of ours", name)
		}
	}
	return u, nil
}

// ours tells the parameters by which clients ask Sluice for something.
func ours(name string) bool { return strings.HasPrefix(name, "sluice_") }

// sameInstance is equal for two URLs that lead to the same place.
func sameInstance(u *url.URL) string {
	host := u.Host
	if u.Port() == "" {
		switch u.Scheme {
		case "ws":
			host += ":80"
		case "wss":
			host += ":443"
		}
	}
	return u.Scheme + "://" + host + strings.TrimSuffix(u.EscapedPath(), "/") + "?" + u.RawQuery
}

// withoutQuery is u as an error may show it.
func withoutQuery(u *url.URL) string {
	base := *u
	base.RawQuery = ""
	return formatUpstream(&base)
}

// formatUpstream is the form of u that parseUpstream and parseSource take.
func formatUpstream(u *url.URL) string {
	if u.Scheme == "ws+unix" {
		return "unix:" + u.Path
	}
	return u.String()
}
