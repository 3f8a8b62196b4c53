package demo

import (
	"context"
	_ "embed" // the page
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

//go:embed page.html
var pageHTML []byte

// servePage serves the page and its buttons until ctx ends; Sluice proxies to
// it as to any other server.
func (d *demo) servePage(ctx context.Context, l net.Listener, f *feed) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", pageOf(pageHTML))
	mux.HandleFunc("GET /demo/state", d.serveState)
	mux.HandleFunc("GET /demo/feed", f.serveState)
	mux.HandleFunc("POST /demo/feed/{verb}", guarded(f.serveButton))
	mux.HandleFunc("POST /demo/{name}/{verb}", guarded(d.serveButton))
	d.show.serve(mux)
	d.quotes.serve(mux)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: pageTimeout}
	context.AfterFunc(ctx, func() { web.Close() })
	go serveUntilClosed(web, l)
}

func pageOf(html []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(html) // the visitor is gone
	}
}

const lookEvery = 200 * time.Millisecond

// keepShowing sends a view again and again, as Server-Sent Events, until the
// visitor is gone.
func keepShowing[V any](w http.ResponseWriter, r *http.Request, view func(now time.Time) V) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for r.Context().Err() == nil {
		text, _ := json.Marshal(view(time.Now()))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || flush.Flush() != nil {
			return
		}
		pause(r.Context(), lookEvery)
	}
}

func (d *demo) serveState(w http.ResponseWriter, _ *http.Request) {
	var all []state
	for _, i := range d.instances {
		all = append(all, i.state())
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // the visitor is gone
}

// guarded keeps other sites' pages from pressing a button: they can't send the
// header.
func guarded(button http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Demo") == "" {
			http.Error(w, "X-Demo is wanted", http.StatusForbidden)
			return
		}
		button(w, r)
	}
}

// serveButton stops or starts an instance.
func (d *demo) serveButton(w http.ResponseWriter, r *http.Request) {
	for _, i := range d.instances {
		if i.name != r.PathValue("name") {
			continue
		}
		switch r.PathValue("verb") {
		case "stop":
			i.stop()
		case "start":
			if err := i.start(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		default:
			http.NotFound(w, r)
			return
		}
		d.serveState(w, r)
		return
	}
	http.NotFound(w, r)
}

func serveUntilClosed(web *http.Server, l net.Listener) { _ = web.Serve(l) }
