package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// parseMatchHost accepts a host that requests are compared with.
func parseMatchHost(s string) (string, error) {
	host := unbracket(s)
	switch {
	case s == "" || isHost(host):
		return strings.ToLower(host), nil
	case strings.Contains(s, "*"):
		return "", fmt.Errorf("%q has a wildcard; write each host in full, or leave host out for all", s)
	case strings.Contains(s, ":"):
		return "", fmt.Errorf("%q has a port; requests are compared without it", s)
	}
	return "", fmt.Errorf("%q is not a host name", s)
}

// parseMatchPath accepts a prefix or, behind an equals sign, a whole path. A
// prefix ends with a segment, so a slash at its end says nothing.
func parseMatchPath(s string) (path string, exact bool, err error) {
	path, exact = strings.CutPrefix(s, "=")
	if !strings.HasPrefix(path, "/") {
		return "", false, fmt.Errorf("%q does not begin with a slash; write /chat for all below it, =/chat for it alone", s)
	}
	if strings.ContainsAny(path, "?#") {
		return "", false, fmt.Errorf("%q has a query or a fragment; only paths are compared", s)
	}
	if !exact {
		path = trimSlash(path)
	}
	return path, exact, nil
}

func trimSlash(path string) string {
	if path = strings.TrimRight(path, "/"); path == "" {
		return "/"
	}
	return path
}

// parseStrip accepts a prefix to take off; / and "" are none.
func parseStrip(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	path, exact, err := parseMatchPath(s)
	if exact || err != nil {
		return "", fmt.Errorf("%q is not a path; write /chat", s)
	}
	return strings.TrimSuffix(path, "/"), nil
}

// covers tells whether prefix is path or ends at one of its slashes.
func covers(prefix, path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// isToken tells whether s is a token of RFC 9110, section 5.6.2: the name of a
// header, or of a cookie (RFC 6265, section 4.1.1).
func isToken(s string) bool {
	bad := func(r rune) bool {
		alnum := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		return !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}
	return s != "" && !strings.ContainsFunc(s, bad)
}

// parseHeader gives a header's name in its usual case.
func parseHeader(s string) (string, error) {
	if !isToken(s) {
		return "", fmt.Errorf("%q is not the name of a header", s)
	}
	return textproto.CanonicalMIMEHeaderKey(s), nil
}

// hopByHop are the headers that end at the proxy (RFC 9110, section 7.6.1) or
// frame the message.
var hopByHop = []string{
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// parseChange accepts a header that a route may set or remove.
func parseChange(s string) (string, error) {
	name, err := parseHeader(s)
	switch {
	case err != nil:
		return "", err
	case name == "Host":
		return "", errors.New("can't be changed here; write host: in the upstream")
	case slices.Contains(hopByHop, name):
		return "", fmt.Errorf("%s can't be changed: it belongs to one connection", name)
	case strings.HasPrefix(name, "Sec-Websocket-"):
		return "", fmt.Errorf("%s can't be changed: it belongs to the handshake", s)
	case strings.HasPrefix(name, "Sluice-"):
		return "", fmt.Errorf("%s can't be changed: Sluice-* headers are the proxy's own", name)
	}
	return name, nil
}

// parseCookie accepts a cookie's name; "" is none.
func parseCookie(s string) (string, error) {
	if s != "" && !isToken(s) {
		return "", fmt.Errorf("%q is not the name of a cookie", s)
	}
	return s, nil
}

// parseOrigin accepts self, * or an origin as browsers write it.
func parseOrigin(s string) (string, error) {
	if s == "self" || s == "*" {
		return s, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("%q is not an origin; write https://app.example.com, self or *", s)
	}
	if u.Scheme == "ws" || u.Scheme == "wss" {
		return "", fmt.Errorf("%q is not an origin: a page's begins with http or https", s)
	}
	if strings.Trim(s[strings.Index(s, "://")+3:], "/") != u.Host {
		return "", fmt.Errorf("%q is more than an origin; write %s://%s", s, u.Scheme, strings.ToLower(u.Host))
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if !isHost(host) || strings.Contains(host, "%") || strings.HasSuffix(u.Host, ":") {
		return "", fmt.Errorf("%q is not an origin; write https://app.example.com, self or *", s)
	}
	if port != "" {
		if port, err = parsePort(port, 1); err != nil {
			return "", err
		}
	}
	return origin(u.Scheme, host, port), nil
}

// origin joins its parts, without the port that the scheme implies (RFC 6454,
// section 6.2).
func origin(scheme, host, port string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// parseProbePath accepts a path, perhaps with a query; "" is none.
func parseProbePath(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.ParseRequestURI(s)
	if err != nil || !strings.HasPrefix(s, "/") || strings.ContainsAny(s, "# ") || u.Host != "" {
		return "", fmt.Errorf("%q is not a path; write /health", s)
	}
	return s, nil
}
