package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gorilla/websocket"
)

// A source is a server that sends each of its messages to all who are
// connected, the way that its library's users write it.
type source struct {
	name  string
	tools []*tool
	start func(t *testing.T, subscription string) broadcaster
}

// A broadcaster is a source that runs until the test ends. With a subscription
// it sends nothing to those who haven't sent that first.
type broadcaster interface {
	url() string
	send(all []payload, pause time.Duration) error
	told() told
}

// told is what a source saw of those who connected.
type told struct {
	extensions []string // of each connection that there was
	said       []string // the first message of each, where it waits for one
}

func everySource() []source {
	return []source{
		{"python-websockets", []*tool{python3}, func(t *testing.T, subscription string) broadcaster {
			return followChild(t, "the Python source", exec.Command(need(t, python3), "python/broadcaster.py", subscription))
		}},
		{"node-ws", []*tool{node}, func(t *testing.T, subscription string) broadcaster {
			return followChild(t, "the ws source", nodeCommand(t, "node/broadcaster.js", subscription))
		}},
		{"gorilla", nil, func(t *testing.T, _ string) broadcaster { return serveHub(t, gorillaHub) }},
		{"coder", nil, func(t *testing.T, _ string) broadcaster { return serveHub(t, coderHub) }},
	}
}

// A child is a source that takes orders as JSON lines and tells what happens
// in such lines.
type child struct {
	p       *process
	address string
	sent    chan struct{} // an order was carried out

	mu   sync.Mutex
	seen told
}

func followChild(t *testing.T, name string, cmd *exec.Cmd) *child {
	t.Helper()
	p := mustStart(t, name, cmd, nil)
	port, err := p.line(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{p: p, address: "ws://127.0.0.1:" + port, sent: make(chan struct{}, 1)}
	go c.follow()
	return c
}

func (c *child) follow() {
	for line := range c.p.lines {
		var news struct {
			Connected *string
			Said      *string
			Sent      bool
		}
		if json.Unmarshal([]byte(line), &news) != nil {
			continue
		}
		c.mu.Lock()
		if news.Connected != nil {
			c.seen.extensions = append(c.seen.extensions, *news.Connected)
		}
		if news.Said != nil {
			c.seen.said = append(c.seen.said, *news.Said)
		}
		c.mu.Unlock()
		if news.Sent {
			c.sent <- struct{}{}
		}
	}
}

func (c *child) url() string { return c.address }

func (c *child) send(all []payload, pause time.Duration) error {
	order := struct {
		Messages []message `json:"messages"`
		Pause    float64   `json:"pause"` // seconds
	}{Pause: pause.Seconds()}
	for _, m := range all {
		order.Messages = append(order.Messages, message{File: m.File, Text: m.Text})
	}
	line, err := json.Marshal(order)
	if err != nil {
		return err
	}
	c.p.stdin.Write(append(line, '\n'))
	select {
	case <-c.sent:
		return nil
	case <-c.p.ended:
		return fmt.Errorf("%s ended: %s", c.p.name, c.p.log)
	case <-time.After(time.Minute):
		return fmt.Errorf("%s does not get rid of its messages: %s", c.p.name, c.p.log)
	}
}

func (c *child) told() told {
	c.mu.Lock()
	defer c.mu.Unlock()
	return told{slices.Clone(c.seen.extensions), slices.Clone(c.seen.said)}
}

// A hub is a source in Go: a set of clients, which are written to in turn.
type hub struct {
	address string

	mu      sync.Mutex
	seen    told
	clients map[int]func(text bool, data []byte) error
}

func serveHub(t *testing.T, handler func(*hub, http.ResponseWriter, *http.Request)) *hub {
	h := &hub{clients: map[int]func(bool, []byte) error{}}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(h, w, r) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	h.address = "ws" + s.URL[len("http"):]
	return h
}

// join adds a client. What it gives back takes it out again.
func (h *hub) join(r *http.Request, write func(text bool, data []byte) error) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := len(h.seen.extensions)
	h.seen.extensions = append(h.seen.extensions, r.Header.Get("Sec-WebSocket-Extensions"))
	h.clients[id] = write
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.clients, id)
	}
}

func (h *hub) url() string { return h.address }

func (h *hub) send(all []payload, pause time.Duration) error {
	for _, m := range all {
		data, err := os.ReadFile(m.File)
		if err != nil {
			return err
		}
		if err := h.broadcast(m.Text, data); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

func (h *hub) broadcast(text bool, data []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, write := range h.clients {
		if err := write(text, data); err != nil {
			return err
		}
	}
	return nil
}

func (h *hub) told() told {
	h.mu.Lock()
	defer h.mu.Unlock()
	return told{extensions: slices.Clone(h.seen.extensions)}
}

func gorillaHub(h *hub, w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{EnableCompression: true}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	defer h.join(r, func(text bool, data []byte) error {
		kind := map[bool]int{true: websocket.TextMessage, false: websocket.BinaryMessage}[text]
		return conn.WriteMessage(kind, data)
	})()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
}

func coderHub(h *hub, w http.ResponseWriter, r *http.Request) {
	conn, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := conn.CloseRead(r.Context())
	defer h.join(r, func(text bool, data []byte) error {
		kind := map[bool]coder.MessageType{true: coder.MessageText, false: coder.MessageBinary}[text]
		return conn.Write(ctx, kind, data)
	})()
	<-ctx.Done()
}
