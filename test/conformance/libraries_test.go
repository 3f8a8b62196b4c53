package conformance

import "testing"

// Each library as a client in front of the proxy, and as a server behind it.
// The quick set pairs each with a Go library of the other side; a full run
// pairs them all.
func TestLibraries(t *testing.T) {
	for _, w := range ways(raw, stream, rawTLS) {
		for _, s := range everyServer() {
			for _, c := range everyClient() {
				if !full && !inQuickSet(w, c, s) {
					continue
				}
				t.Run(w.String()+"/"+c.name+"→"+s.name, func(t *testing.T) {
					t.Parallel()
					needs(t, c)
					meet(t, w, c, s)
				})
			}
		}
	}
}

func inQuickSet(w way, c client, s server) bool {
	switch w {
	case raw, direct:
		return s.name == "coder" || c.name == "gorilla"
	case stream:
		return c.name == "node-ws" && s.name == "python-websockets" || c.name == "gorilla" && s.name == "coder"
	default: // TLS
		return s.name == "gorilla"
	}
}

func needs(t *testing.T, c client) {
	switch c.name {
	case "python-websockets":
		need(t, python3)
	case "node-ws", "undici":
		need(t, node)
	case "chromium":
		need(t, node)
		need(t, chromium)
	}
}

func meet(t *testing.T, w way, c client, s server) {
	e := s.start(t)
	p := pair{client: c, server: e, base: reach(t, w, []string{e.url}), quick: !full && w != raw && w != direct}
	if w.tls {
		p.ca = certificate(t).cert
	}
	p.run(t)
}
