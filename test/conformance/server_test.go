package conformance

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A server is a library that serves what the path asks for:
//
//	/echo                       each message goes back as it came
//	/fragments?n=N              … in N fragments
//	/ping?payload=P             for each message a ping with P, and for its pong the text "pong P"
//	/close?code=C&reason=R      a close at once
//	/refuse                     401 with headers and a body
//
// With deflate=0 it doesn't take permessage-deflate. With id=ID it tells how
// that connection was closed, as it saw it. It speaks the subprotocol chat.v1.
type server struct {
	name  string
	start func(*testing.T) endpoint
}

// An endpoint is a server that runs until the test ends.
type endpoint struct {
	url    string
	closes *closes
}

func everyServer() []server {
	return []server{
		{"coder", func(t *testing.T) endpoint {
			return serveGo(t, func(c *closes) http.Handler { return coderServer{c} })
		}},
		{"gorilla", func(t *testing.T) endpoint {
			return serveGo(t, func(c *closes) http.Handler { return gorillaServer{c} })
		}},
		{"python-websockets", func(t *testing.T) endpoint {
			return serveChild(t, "the Python server", exec.Command(need(t, python3), "python/server.py"))
		}},
		{"node-ws", func(t *testing.T) endpoint {
			return serveChild(t, "the ws server", nodeCommand(t, "node/server.js"))
		}},
	}
}

func serveGo(t *testing.T, handler func(*closes) http.Handler) endpoint {
	c := newCloses()
	s := httptest.NewUnstartedServer(handler(c))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a connection cut inside a compressed message makes coder/websocket panic
	s.Start()
	t.Cleanup(s.Close)
	return endpoint{"ws" + s.URL[len("http"):], c}
}

func serveChild(t *testing.T, name string, cmd *exec.Cmd) endpoint {
	t.Helper()
	p := mustStart(t, name, cmd, nil)
	port, err := p.line(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := newCloses()
	go c.follow(p)
	return endpoint{"ws://127.0.0.1:" + port, c}
}

// closes keeps how the server's connections ended, by the id of the request.
type closes struct {
	mu   sync.Mutex
	byID map[string]chan closing
}

func newCloses() *closes { return &closes{byID: map[string]chan closing{}} }

func (c *closes) of(id string) chan closing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] == nil {
		c.byID[id] = make(chan closing, 1)
	}
	return c.byID[id]
}

func (c *closes) put(id string, how closing) {
	select {
	case c.of(id) <- how:
	default: // told already
	}
}

func (c *closes) follow(p *process) {
	for line := range p.lines {
		var told struct {
			ID string `json:"id"`
			closing
		}
		if json.Unmarshal([]byte(line), &told) == nil {
			c.put(told.ID, told.closing)
		}
	}
}

func (c *closes) await(t *testing.T, id string) closing {
	t.Helper()
	select {
	case how := <-c.of(id):
		return how
	case <-time.After(20 * time.Second):
		t.Fatal("the server saw no end of the connection within 20 s")
		return closing{}
	}
}

// An ask is what a request's path and query ask of a Go server.
type ask struct {
	path, id, reason, payload string
	code, n                   int
}

func askOf(r *http.Request) ask {
	query := r.URL.Query()
	code, _ := strconv.Atoi(query.Get("code"))
	n, _ := strconv.Atoi(query.Get("n"))
	return ask{r.URL.Path, query.Get("id"), query.Get("reason"), query.Get("payload"), code, n}
}

const refusalBody = "no entry without a ticket\n"

func refused(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/refuse" {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="conformance"`)
	w.Header().Set("X-Refused-By", "the server")
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusUnauthorized)
	w.Write([]byte(refusalBody))
	return true
}
