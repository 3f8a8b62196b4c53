package demo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// watcher reads what a page is shown, and presses its buttons.
type watcher[V any] struct {
	t    *testing.T
	show string // the address of its views and buttons
	r    *bufio.Scanner
}

func watch[V any](t *testing.T, at, name string) *watcher[V] {
	t.Helper()
	show := "http://" + at + "/demo/" + name + "/"
	r, _ := http.NewRequestWithContext(t.Context(), "GET", show+"watch", nil)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	s := bufio.NewScanner(resp.Body)
	s.Buffer(nil, 1<<20)
	return &watcher[V]{t, show, s}
}

// until reads on until a view is as it is to be.
func (w *watcher[V]) until(what string, ok func(v *V) bool) *V {
	w.t.Helper()
	for w.r.Scan() {
		text, found := bytes.CutPrefix(w.r.Bytes(), []byte("data: "))
		if !found {
			continue
		}
		v := new(V)
		if err := json.Unmarshal(text, v); err != nil {
			w.t.Fatal(err)
		}
		if ok(v) {
			return v
		}
	}
	w.t.Fatalf("the page never shows that %s: %v", what, w.r.Err())
	return nil
}

func (w *watcher[V]) press(what string) {
	w.t.Helper()
	r, _ := http.NewRequest("POST", w.show+what, nil)
	r.Header.Set("X-Demo", "1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
		w.t.Fatalf("%s: %s: %s", what, resp.Status, text)
	}
}
