package demo

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// said is what the visitor has read so far.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *said) lines() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.text.Bytes(), []byte("\n"))
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.text.Bytes(), []byte(text))
}

// await waits for a line that matches, and gives its first group.
func (s *said) await(t *testing.T, re string) string {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		m := regexp.MustCompile(re).FindStringSubmatch(s.text.String())
		s.mu.Unlock()
		if m != nil {
			return m[1]
		}
		select {
		case <-s.more:
		case <-late:
			t.Fatalf("nothing like %s was said: %s", re, s.text.String())
		}
	}
}

func TestTheDemoShowsAServerStopAndStart(t *testing.T) {
	at, _ := show(t, 0)
	ctx := t.Context()
	resp, err := http.Get("http://" + at + "/")
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !bytes.Contains(page, []byte("<title>Sluice demo")) {
		t.Fatalf("the page is %.100s", page)
	}
	server := func() (*websocket.Conn, string) {
		t.Helper()
		c, _, err := websocket.Dial(ctx, "ws://"+at+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, hello, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ Instance string }
		if err := json.Unmarshal(hello, &m); err != nil || m.Instance == "" {
			t.Fatalf("the first message does not name the server: %s", hello)
		}
		return c, m.Instance
	}
	c, name := server()
	press(t, at, name, "stop")
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Fatalf("its server was stopped; the client sees %v, want 1012", err)
	}
	for range 5 {
		if c, other := server(); other == name {
			t.Fatalf("a session went to %s, which is stopped", name)
		} else {
			c.CloseNow()
		}
	}
	for _, s := range press(t, at, name, "start") {
		if !s.Running {
			t.Fatalf("%s was started, and is said to be stopped", s.Name)
		}
	}
}

// press presses a button of the page.
func press(t *testing.T, at, name, verb string) (all []state) {
	t.Helper()
	r, _ := http.NewRequest("POST", "http://"+at+"/demo/"+name+"/"+verb, nil)
	r.Header.Set("X-Demo", "1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatalf("%s %s: %s: %v", verb, name, resp.Status, err)
	}
	return all
}
