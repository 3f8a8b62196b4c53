package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/config"
)

func TestCommands(t *testing.T) {
	const here, far = "127.0.0.1:5000", "192.0.2.7:5000"
	const instance = "ws://127.0.0.1:1"
	for _, c := range []struct {
		sentence, method, path, remote, host, shown string
		origin                                      string
		err                                         error
		want                                        int
		body                                        string
	}{
		{sentence: "a reload tells what changed", path: "/api/reload", want: 200, body: `"generation": 7,"changed": ["by api"]`},
		{sentence: "one that fails tells where", path: "/api/reload", err: config.Errors{{File: "f", Line: 2, Column: 3, Key: "k", Msg: "no"}, {Msg: "nor that"}},
			want: 422, body: `{"file": "f","line": 2,"column": 3,"key": "k","message": "no"},{"message": "nor that"}`},
		{sentence: "or why", path: "/api/reload", err: errors.New("no file"), want: 422, body: `"message": "no file"`},
		{sentence: "looking is not doing", method: "GET", path: "/api/reload", want: 405},
		{sentence: "an instance is drained", path: "/api/drain?instance=" + instance, want: 200, body: `"instance": "` + instance + `","state": "draining","sessions": 0`},
		{sentence: "and undrained", path: "/api/undrain?instance=" + instance, want: 200, body: `"state": "starting"`},
		{sentence: "one that there isn't", path: "/api/drain?instance=x", want: 404, body: `"instances": ["` + instance + `"]`},
		{sentence: "none", path: "/api/undrain", want: 400, body: `"error": "no instance is named; write ?instance=NAME"`},
		{sentence: "not for others", path: "/api/reload", remote: far, want: 401},
		{sentence: "but with the token", path: "/api/reload", remote: far, shown: "s3cret", want: 200},
		{sentence: "a name that leads here", path: "/api/drain?instance=" + instance, host: "evil.example", want: 401},
		{sentence: "a page of another site", path: "/api/drain?instance=" + instance, origin: "https://evil.example", want: 403},
		{sentence: "even of one that has the token", path: "/api/reload", origin: "https://evil.example", shown: "s3cret", want: 403},
		{sentence: "a page of its own", path: "/api/reload", origin: "http://localhost:9090", want: 200},
	} {
		s, m := setStage(t)
		s.reloadErr = c.err
		method, remote, host := c.method, c.remote, c.host
		if method == "" {
			method = "POST"
		}
		if remote == "" {
			remote = here
		}
		if host == "" {
			host = "localhost:9090"
		}
		r := httptest.NewRequest(method, c.path, nil)
		r.RemoteAddr, r.Host = remote, host
		if c.shown != "" {
			r.Header.Set("Authorization", "Bearer "+c.shown)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		Handler(m, "s3cret", "v").ServeHTTP(w, r)
		flat := strings.NewReplacer("\n", "", "  ", "").Replace(w.Body.String())
		if w.Code != c.want || !strings.Contains(flat, c.body) {
			t.Errorf("%s: %d %s, want %d with %s", c.sentence, w.Code, flat, c.want, c.body)
		}
		if drained := c.want == http.StatusOK && strings.HasPrefix(c.path, "/api/drain"); drained == s.pools[0].Ready() {
			t.Errorf("%s: the pool is ready: %v", c.sentence, !drained)
		}
	}
}

func TestReloadsAreCounted(t *testing.T) {
	_, m := setStage(t)
	text := func() string { return ask(Handler(m, "", "v"), "/metrics", "127.0.0.1:1", "x", "").Body.String() }
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, []string{`sluice_config_last_reload_successful 1`, `sluice_config_reloads_total{result="ok"} 0`}},
		{func() { m.Reloaded(false) }, []string{`sluice_config_last_reload_successful 0`, `sluice_config_reloads_total{result="failed"} 1`}},
		{func() { m.Reloaded(true) }, []string{`sluice_config_last_reload_successful 1`, `sluice_config_reloads_total{result="ok"} 1`}},
	} {
		step.do()
		for _, want := range step.want {
			if !strings.Contains(text(), want+"\n") {
				t.Errorf("missing: %s", want)
			}
		}
	}
}

func TestADrainedInstanceIsNotUp(t *testing.T) {
	s, m := setStage(t)
	if _, err := s.Drain("ws://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	text := ask(Handler(m, "", "v"), "/metrics", "127.0.0.1:1", "x", "").Body.String()
	if want := `sluice_upstream_up{pool="prices",upstream="ws://127.0.0.1:1"} 0` + "\n"; !strings.Contains(text, want) {
		t.Errorf("missing: %s", want)
	}
	api := ask(Handler(m, "", "v"), "/api", "127.0.0.1:1", "localhost", "").Body.String()
	for _, want := range []string{`"state": "draining"`, `"why": "by the API"`, `"generation": 7`} {
		if !strings.Contains(api, want) {
			t.Errorf("the API has no %s: %s", want, api)
		}
	}
}
