package conformance

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// Socket.IO begins with HTTP requests that must all reach one instance, and
// goes over to a WebSocket in the middle of a session. With a sticky cookie
// that works over several instances that know nothing of each other.

// A step is what all Socket.IO clients do next, see node/socketio_client.js.
type step struct {
	Step    string         `json:"step"` // open, reconnect, again
	URL     string         `json:"url,omitempty"`
	CA      string         `json:"ca,omitempty"`
	Pages   int            `json:"pages,omitempty"` // browser windows, each with its cookies
	Count   int            `json:"count,omitempty"` // clients, in each window
	Options map[string]any `json:"options"`
	By      string         `json:"by,omitempty"` // who breaks the connection
	Timeout int            `json:"timeout"`      // seconds
}

// A place is where a Socket.IO client is: its first transport, the one it has
// now, and the instance.
type place struct {
	First     string `json:"first"`
	Transport string `json:"transport"`
	Instance  string `json:"instance"`
	Page      int    `json:"page"`
}

func TestSocketIO(t *testing.T) {
	for _, w := range ways(raw) {
		t.Run(w.String()+"/node", func(t *testing.T) {
			t.Parallel()
			socketIO(t, w, false)
		})
	}
	for _, w := range ways(rawTLS) {
		t.Run(w.String()+"/chromium", func(t *testing.T) {
			t.Parallel()
			need(t, chromium)
			socketIO(t, w, true)
		})
	}
}

func socketIO(t *testing.T, w way, browser bool) {
	g := gather(t, w, browser)

	opened := g.play(t, step{Step: "open", Options: map[string]any{}})
	g.want(t, "after the start", opened, "polling", "websocket")
	if g.proxied {
		if on := instancesOf(opened); len(on) < 2 {
			t.Errorf("all clients are on the instances %v of 3", on)
		}
	}
	for _, by := range []string{"client", "server"} {
		back := g.play(t, step{Step: "reconnect", By: by})
		g.want(t, "after a break by the "+by, back, "polling", "websocket")
		g.wantSameInstances(t, opened, back)
	}
	if !g.proxied {
		return
	}
	// Those whose instance dies come back elsewhere, cookie or not.
	lost := opened[0].Instance
	g.servers[lost].kill()
	<-g.servers[lost].ended
	moved := g.play(t, step{Step: "again"})
	g.want(t, "after the death of an instance", moved, "polling", "websocket")
	if on := instancesOf(moved); slices.Contains(on, lost) {
		t.Errorf("clients are on %v after the death of %s", on, lost)
	}
}

// Clients that keep to one transport.
func TestSocketIOTransports(t *testing.T) {
	for name, options := range map[string]map[string]any{
		"polling":   {"transports": []string{"polling"}, "upgrade": false},
		"websocket": {"transports": []string{"websocket"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gather(t, ways(raw)[0], false)
			g.want(t, "after the start", g.play(t, step{Step: "open", Options: options}), name, name)
			g.want(t, "after a break", g.play(t, step{Step: "reconnect", By: "client"}), name, name)
		})
	}
}

// A gathering is clients in front of three instances.
type gathering struct {
	proxied bool
	base    string
	ca      string
	servers map[string]*process
	clients *process
	browser bool
}

func gather(t *testing.T, w way, browser bool) *gathering {
	g := &gathering{proxied: !w.direct, servers: map[string]*process{}, browser: browser}
	var upstreams []string
	for _, name := range []string{"a", "b", "c"} {
		p := mustStart(t, "Socket.IO server "+name, nodeCommand(t, "node/socketio_server.js", name), nil)
		port, err := p.line(30 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		g.servers[name] = p
		upstreams = append(upstreams, "ws://127.0.0.1:"+port)
	}
	g.base = strings.Replace(reach(t, w, upstreams, "--sticky-cookie", "sluice", "--policy", "round_robin"), "ws", "http", 1)
	if w.tls {
		g.ca = certificate(t).cert
	}
	cmd := nodeCommand(t, "node/socketio_client.js")
	if browser {
		cmd = nodeCommand(t, "node/socketio_client.js", "chromium")
		cmd.Env = append(cmd.Env, "CHROMIUM="+need(t, chromium))
	}
	g.clients = mustStart(t, "the Socket.IO clients", cmd, nil)
	return g
}

// play has all clients do a step, and tells where they are afterwards.
func (g *gathering) play(t *testing.T, s step) []place {
	t.Helper()
	s.URL, s.CA, s.Timeout = g.base, g.ca, 60
	s.Count = 10
	if g.browser {
		s.Pages, s.Count = 5, 2
	}
	var answer struct {
		Error   string  `json:"error"`
		Clients []place `json:"clients"`
	}
	if err := g.clients.ask(s, s.Timeout, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != "" || len(answer.Clients) != 10 {
		t.Fatalf("step %s %s: %d clients, %s", s.Step, s.By, len(answer.Clients), answer.Error)
	}
	return answer.Clients
}

func (g *gathering) want(t *testing.T, when string, places []place, first, then string) {
	t.Helper()
	for i, p := range places {
		if p.Transport != then || p.First != first && p.First != then {
			t.Errorf("%s client %d went from %s to %s, want from %s to %s", when, i, p.First, p.Transport, first, then)
		}
	}
}

// wantSameInstances: a browser keeps the cookie, so its windows stay where they
// were; in Node a new connection begins without cookies.
func (g *gathering) wantSameInstances(t *testing.T, before, after []place) {
	t.Helper()
	if !g.browser {
		return
	}
	home := map[int]string{}
	for _, p := range before {
		home[p.Page] = p.Instance
	}
	for _, p := range slices.Concat(before, after) {
		if p.Instance != home[p.Page] {
			t.Errorf("a client of window %d is on %s, its cookie names %s", p.Page, p.Instance, home[p.Page])
		}
	}
}

func instancesOf(places []place) []string {
	on := map[string]bool{}
	for _, p := range places {
		on[p.Instance] = true
	}
	return slices.Sorted(maps.Keys(on))
}
