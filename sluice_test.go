package sluice

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// ticker sends texts until its client goes.
func ticker(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	ctx := c.CloseRead(r.Context())
	for ctx.Err() == nil {
		if c.Write(ctx, websocket.MessageText, []byte("tick")) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

func url(s *httptest.Server) string { return "ws" + s.URL[strings.Index(s.URL, ":"):] }

func TestEventsOverHTTP2(t *testing.T) {
	source := httptest.NewServer(http.HandlerFunc(ticker))
	defer source.Close()
	h := Fanout(FanoutConfig{Source: []string{url(source)}})
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Fatalf("%s %s, want 200 over HTTP/2", resp.Proto, resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n < 3 && lines.Scan(); {
		if lines.Text() == "data: tick" {
			n++
		}
	}
	if err := h.Close(ctx); err != nil {
		t.Fatalf("Close gives %v", err)
	}
	last := ""
	for lines.Scan() {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if lines.Err() != nil || !strings.Contains(last, "1001") {
		t.Fatalf("the stream ends with %q, %v; want the close event and a clean end", last, lines.Err())
	}
}

func TestCloseDoesNotWaitLongerThanItsContext(t *testing.T) {
	source := httptest.NewServer(http.HandlerFunc(ticker))
	defer source.Close()
	h := Fanout(FanoutConfig{Source: []string{url(source)}})
	server := httptest.NewServer(h)
	defer server.Close()
	c, _, err := websocket.Dial(t.Context(), url(server), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Close gives %v, want its context's error", err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatalf("a second Close gives %v", err)
	}
}

func TestConfigurationsThatMakeNoSense(t *testing.T) {
	for want, f := range map[string]func() (*Handler, error){
		"Source is needed": func() (*Handler, error) { return NewFanout(FanoutConfig{}) },
		"backlog":          func() (*Handler, error) { return NewFanout(FanoutConfig{Source: []string{"ws://a"}, Backlog: -1}) },
		"lingers": func() (*Handler, error) {
			return NewFanout(FanoutConfig{Source: []string{"ws://a"}, YAML: "lingers: 1s"})
		},
		"twice": func() (*Handler, error) {
			return NewFanout(FanoutConfig{Source: []string{"ws://a"}, Backlog: 1, YAML: "backlog: 2"})
		},
		"policy": func() (*Handler, error) {
			return NewBalance(BalanceConfig{Upstreams: []string{"ws://127.0.0.1:1"}, Policy: "best"})
		},
		"Upstreams are needed": func() (*Handler, error) { return NewBalance(BalanceConfig{}) },
		"not a durat": func() (*Handler, error) {
			return NewBalance(BalanceConfig{Upstreams: []string{"ws://127.0.0.1:1"}, Route: "timeouts: {ping: fast}"})
		},
	} {
		if h, err := f(); err == nil {
			h.Close(t.Context())
			t.Errorf("nothing is said about %s", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Fanout without a source does not panic")
		}
	}()
	Fanout(FanoutConfig{})
}
