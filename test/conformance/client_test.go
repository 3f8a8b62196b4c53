package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A script is one connection as its client lives it: open, ping, send messages
// and wait for the answer to each, close or wait for the server's close. All
// clients, in whatever language, play the same scripts.
type script struct {
	URL          string    `json:"url"`
	CA           string    `json:"ca,omitempty"` // a file, for wss
	Subprotocols []string  `json:"subprotocols,omitempty"`
	Deflate      bool      `json:"deflate"`
	Ping         string    `json:"ping,omitempty"`
	Send         []message `json:"send,omitempty"`
	Close        *closing  `json:"close,omitempty"` // nil: the server closes
	Timeout      int       `json:"timeout"`         // seconds
}

// A message is sent in so many fragments, with a ping behind each, where the
// client can choose.
type message struct {
	File      string `json:"file"`
	Text      bool   `json:"text"`
	Fragments int    `json:"fragments,omitempty"`
	Ping      string `json:"ping,omitempty"`
}

// closing is what a peer read in the other's close frame; 1005 for none in it,
// 1006 for no close at all.
type closing struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// An outcome is what the client saw of it.
type outcome struct {
	Error       string         `json:"error"`  // what went wrong in the client's eyes
	Status      int            `json:"status"` // 0 where the client doesn't show it
	Headers     map[string]any `json:"headers"`
	Body        string         `json:"body"`
	Subprotocol string         `json:"subprotocol"`
	Extensions  string         `json:"extensions"`
	Pong        string         `json:"pong"`
	Received    []seen         `json:"received"`
	Close       closing        `json:"close"`
}

// header finds a header of a refusal, however the client spells its name.
func (o outcome) header(name string) string {
	for key, value := range o.Headers {
		if strings.EqualFold(key, name) {
			return fmt.Sprint(value)
		}
	}
	return ""
}

// A client is a library that plays scripts.
type client struct {
	name string
	play func(*testing.T, script) outcome
	can  abilities
}

type abilities struct {
	ping         bool // sends pings and shows the pong
	choosePing   bool // … with a payload of its own
	fragment     bool // sends a message in frames of its choice
	deflateOff   bool // can go without offering permessage-deflate
	showsRefusal bool // shows status, headers and body of a refusal
}

func everyClient() []client {
	able := abilities{ping: true, choosePing: true, fragment: true, deflateOff: true, showsRefusal: true}
	browserLike := abilities{}
	return []client{
		{"coder", playCoder, abilities{ping: true, fragment: true, deflateOff: true, showsRefusal: true}},
		{"gorilla", playGorilla, able},
		{"python-websockets", playPython, able},
		{"node-ws", playNodeWS, able},
		{"undici", playUndici, browserLike},
		{"chromium", playChromium, browserLike},
	}
}

func playPython(t *testing.T, s script) outcome {
	return pythonClient.play(t, func() *exec.Cmd {
		return exec.Command(need(t, python3), "python/client.py")
	}, s)
}

func playNodeWS(t *testing.T, s script) outcome {
	return wsClient.play(t, func() *exec.Cmd { return nodeCommand(t, "node/client_ws.js") }, s)
}

func playUndici(t *testing.T, s script) outcome {
	return undiciClient.play(t, func() *exec.Cmd { return nodeCommand(t, "node/client_undici.js") }, s)
}

func playChromium(t *testing.T, s script) outcome {
	return chromiumClient.play(t, func() *exec.Cmd {
		cmd := nodeCommand(t, "node/client_chromium.js", payloadFolder())
		cmd.Env = append(cmd.Env, "CHROMIUM="+need(t, chromium))
		return cmd
	}, s)
}

func nodeCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(need(t, node), args...)
	modules := filepath.Join(toolsFolder(), "node", "node_modules")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "TMPDIR="+scratch)
	return cmd
}

// A player is a client in a child that lives as long as the test run, because
// a browser is slow to start. It plays one script at a time.
type player struct {
	name string

	mu sync.Mutex
	p  *process // nil before the first script and after a failure
}

var (
	pythonClient   = &player{name: "the Python client"}
	wsClient       = &player{name: "the ws client"}
	undiciClient   = &player{name: "the undici client"}
	chromiumClient = &player{name: "the browser"}
)

func (c *player) play(t *testing.T, command func() *exec.Cmd, s script) outcome {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd := command() // may skip the test
	if c.p == nil {
		p, err := start(c.name, cmd, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.p = p
	}
	o, err := c.ask(s)
	if err != nil {
		c.p.stop(time.Second)
		c.p = nil
		t.Fatal(err)
	}
	return o
}

func (c *player) ask(s script) (o outcome, err error) {
	return o, c.p.ask(s, s.Timeout, &o)
}

// trust gives the TLS settings of the Go clients.
func (s script) trust() (*tls.Config, error) {
	if s.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in " + s.CA)
	}
	return &tls.Config{RootCAs: roots}, nil
}

func (s script) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(s.Timeout)*time.Second)
}

// pieces cuts data into so many pieces, at least one.
func pieces(data []byte, n int) [][]byte {
	size := max(1, (len(data)+n-1)/max(1, n))
	var all [][]byte
	for len(data) > size {
		all = append(all, data[:size])
		data = data[size:]
	}
	return append(all, data)
}
