package demo

import (
	_ "embed" // the page
	"encoding/json"
	"net/http"
	"time"
)

//go:embed failover.html
var failoverHTML []byte

// failoverView is the show as the page sees it.
type failoverView struct {
	Client    string         `json:"client"` // what becomes of one: close or keep
	Left      string         `json:"left"`   // the proxies' addresses
	Right     string         `json:"right"`
	Deploying bool           `json:"deploying"`
	Instances []instanceView `json:"instances"`
	Panels    [2]panelView   `json:"panels"`
}

type instanceView struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Version int    `json:"version"`
	Running bool   `json:"running"`
	Leaving bool   `json:"leaving"` // it is stopped for its next version
}

func (f *failover) view(now time.Time) failoverView {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := failoverView{Client: f.client, Left: f.left, Right: f.right, Deploying: f.deploying}
	for _, a := range f.instances {
		v.Instances = append(v.Instances, a.view())
	}
	for side, p := range f.panels {
		if p != nil {
			v.Panels[side] = p.view(now)
		}
	}
	return v
}

func (a *answerer) view() instanceView {
	a.mu.Lock()
	defer a.mu.Unlock()
	return instanceView{Name: a.name, Address: a.addr, Version: a.version, Running: a.l != nil, Leaving: a.l == nil && a.leaving}
}

// serve adds the show's page and its buttons.
func (f *failover) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET /failover", pageOf(failoverHTML))
	mux.HandleFunc("GET /demo/failover", f.serveView)
	mux.HandleFunc("GET /demo/failover/watch", f.serveWatch)
	mux.HandleFunc("POST /demo/failover/{verb}", guarded(f.serveButton))
	mux.HandleFunc("POST /demo/failover/{verb}/{name}", guarded(f.serveButton))
}

func (f *failover) serveView(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(f.view(time.Now())) // the visitor is gone
}

func (f *failover) serveWatch(w http.ResponseWriter, r *http.Request) {
	f.begin()
	keepShowing(w, r, f.view)
}

// serveButton kills or starts an instance, rolls a deploy, or begins again.
func (f *failover) serveButton(w http.ResponseWriter, r *http.Request) {
	verb, name := r.PathValue("verb"), r.PathValue("name")
	var err error
	switch a := f.instance(name); {
	case verb == "kill" && a != nil:
		a.kill()
	case verb == "start" && a != nil:
		err = a.start()
	case verb == "deploy" && name == "":
		f.deploy()
	case verb == "again" && name == "":
		err = f.again()
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	f.serveView(w, r)
}

func (f *failover) instance(name string) *answerer {
	for _, a := range f.instances {
		if a.name == name {
			return a
		}
	}
	return nil
}
