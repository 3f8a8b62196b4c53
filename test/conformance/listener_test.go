package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A listener is a client that connects, tells so, and listens until it has so
// many messages. Where it is cut off it comes back for the next one.
type listener struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	CA       string `json:"ca,omitempty"` // a file, for TLS
	Count    int    `json:"count"`
	Events   bool   `json:"events,omitempty"`   // in browsers: an EventSource
	Announce bool   `json:"announce,omitempty"` // in browsers: a WebSocket that can come back

	accept string // for curl
}

// heard is what came of it.
type heard struct {
	Error      string `json:"error"`
	Extensions string `json:"extensions"`
	Received   []seen `json:"received"`
}

// A kind is software that listens, with all its clients in one process.
type kind struct {
	name  string
	tools []*tool
	// clients are those that listen to the stream at base, without its scheme.
	clients func(base string, tls bool) []listener
	start   func(t *testing.T, page string, all []listener) *troupe
}

func scheme(name string, tls bool) string {
	if tls {
		return name + "s://"
	}
	return name + "://"
}

// everyKind gives all of them. Those that come back do so whole; curl does not.
func everyKind() []kind {
	one := func(base string, tls bool) []listener { return []listener{{URL: scheme("ws", tls) + base}} }
	return []kind{
		{"python-websockets", []*tool{python3}, one, func(t *testing.T, _ string, all []listener) *troupe {
			return assemble(t, "the Python listeners", exec.Command(need(t, python3), "python/listener.py"), all)
		}},
		{"node-ws", []*tool{node}, one, func(t *testing.T, _ string, all []listener) *troupe {
			return assemble(t, "the ws listeners", nodeCommand(t, "node/listener.js"), all)
		}},
		{"chromium", []*tool{node, chromium}, inBrowser, func(t *testing.T, page string, all []listener) *troupe {
			cmd := nodeCommand(t, "node/listener_chromium.js", page)
			cmd.Env = append(cmd.Env, "CHROMIUM="+need(t, chromium))
			return assemble(t, "the browser", cmd, all)
		}},
		{"curl", []*tool{curl}, byHTTP, startCurl},
	}
}

func inBrowser(base string, tls bool) []listener {
	return []listener{
		{Name: "WebSocket", URL: scheme("ws", tls) + base},
		{Name: "WebSocket that counts", URL: scheme("ws", tls) + base, Announce: true},
		{Name: "EventSource", URL: scheme("http", tls) + base, Events: true},
	}
}

func byHTTP(base string, tls bool) []listener {
	return []listener{
		{Name: "events", URL: scheme("http", tls) + base, accept: "text/event-stream", Events: true},
		{Name: "lines", URL: scheme("http", tls) + base, accept: "application/x-ndjson"},
	}
}

// A troupe is the listeners of a kind at work.
type troupe struct {
	processes []*process

	mu   sync.Mutex
	news *sync.Cond
	open map[string]int // how often it has connected
	came map[string]heard
	gone bool // a process has ended
}

func newTroupe() *troupe {
	tr := &troupe{open: map[string]int{}, came: map[string]heard{}}
	tr.news = sync.NewCond(&tr.mu)
	return tr
}

// assemble starts listeners in a child.
func assemble(t *testing.T, name string, cmd *exec.Cmd, all []listener) *troupe {
	t.Helper()
	tr := newTroupe()
	p := mustStart(t, name, cmd, nil)
	tr.processes = []*process{p}
	line, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	p.stdin.Write(append(line, '\n'))
	go tr.follow(p)
	return tr
}

func (tr *troupe) follow(p *process) {
	for line := range p.lines {
		var news struct {
			Name   string
			Opened bool
			Heard  *heard
		}
		if json.Unmarshal([]byte(line), &news) != nil {
			continue
		}
		if news.Opened {
			tr.opened(news.Name)
		}
		if news.Heard != nil {
			tr.ended(news.Name, *news.Heard)
		}
	}
	tr.leave()
}

func (tr *troupe) opened(name string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.open[name]++
	tr.news.Broadcast()
}

func (tr *troupe) ended(name string, h heard) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.came[name] = h
	tr.news.Broadcast()
}

// await waits until enough, which is called under the lock, is true of all.
func (tr *troupe) await(t *testing.T, all []listener, what string, enough func(name string) bool) {
	t.Helper()
	late := time.AfterFunc(90*time.Second, tr.leave)
	defer late.Stop()
	for _, l := range all {
		tr.mu.Lock()
		for !enough(l.Name) && !tr.gone {
			tr.news.Wait()
		}
		ok := enough(l.Name)
		tr.mu.Unlock()
		if !ok {
			t.Errorf("%s has not %s", l.Name, what)
			for _, p := range tr.processes {
				t.Logf("%s: %s", p.name, p.log)
			}
			return
		}
	}
}

// leave ends all waiting.
func (tr *troupe) leave() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.gone = true
	tr.news.Broadcast()
}

// awaitOpen waits until all have connected so often, or have ended.
func (tr *troupe) awaitOpen(t *testing.T, all []listener, times int) {
	t.Helper()
	tr.await(t, all, fmt.Sprintf("connected %d times", times), func(name string) bool {
		_, ended := tr.came[name]
		return ended || tr.open[name] >= times
	})
}

func (tr *troupe) awaitEnd(t *testing.T, all []listener) {
	t.Helper()
	tr.await(t, all, "heard all", func(name string) bool { _, ok := tr.came[name]; return ok })
}

// startCurl starts a curl for each. It shows the head of the answer on its
// standard error, because it holds back what goes before the first message.
func startCurl(t *testing.T, _ string, all []listener) *troupe {
	t.Helper()
	tr := newTroupe()
	for _, l := range all {
		args := []string{"--silent", "--show-error", "--fail", "--no-buffer", "--dump-header", "/dev/stderr", "--header", "Accept: " + l.accept}
		if l.CA != "" {
			args = append(args, "--cacert", l.CA)
		}
		p := mustStart(t, "curl", exec.Command(need(t, curl), append(args, l.URL)...), func(line string) {
			if line == "\r" {
				tr.opened(l.Name)
			}
		})
		tr.processes = append(tr.processes, p)
		go tr.read(p, l)
	}
	return tr
}

// read reads what a curl gets.
func (tr *troupe) read(p *process, l listener) {
	h := heard{}
	take := oneLine
	if l.Events {
		take = (&event{}).line
	}
	for len(h.Received) < l.Count && h.Error == "" {
		line, more := <-p.lines
		if !more {
			h.Error = "the stream ended: " + p.log.String()
			break
		}
		switch m, err := take(line); {
		case err != nil:
			h.Error = err.Error()
		case m != nil:
			h.Received = append(h.Received, *m)
		}
	}
	tr.ended(l.Name, h)
	p.kill()
	p.drain()
}

// oneLine reads a message of NDJSON. An empty line only keeps the connection
// alive.
func oneLine(line string) (*seen, error) {
	if line == "" {
		return nil, nil
	}
	var m struct {
		Offset, Data *string
		Binary       bool
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		return nil, err
	}
	if m.Offset == nil || m.Data == nil {
		return nil, fmt.Errorf("not a message: %s", line)
	}
	return decoded(*m.Data, m.Binary)
}

func decoded(data string, binary bool) (*seen, error) {
	if !binary {
		m := describe([]byte(data), true)
		return &m, nil
	}
	bytes, err := base64.StdEncoding.DecodeString(data)
	m := describe(bytes, false)
	return &m, err
}

// An event is read line by line (WHATWG HTML, 9.2.6).
type event struct {
	kind string
	data []string
}

// line gives the message that the line ends.
func (e *event) line(line string) (*seen, error) {
	if line == "" {
		whole := *e
		*e = event{}
		switch {
		case whole.data == nil:
			return nil, nil
		case whole.kind != "" && whole.kind != "binary":
			return nil, fmt.Errorf("an event %q: %q", whole.kind, whole.data)
		}
		return decoded(strings.Join(whole.data, "\n"), whole.kind == "binary")
	}
	field, value, _ := strings.Cut(line, ":")
	switch value = strings.TrimPrefix(value, " "); field {
	case "event":
		e.kind = value
	case "data":
		e.data = append(e.data, value)
	}
	return nil, nil
}
