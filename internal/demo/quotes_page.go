package demo

import (
	_ "embed" // the page
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

//go:embed quotes.html
var quotesHTML []byte

// pricerView is a pricer as the page sees it.
type pricerView struct {
	Name     string `json:"name"`
	Address  string `json:"address"` // as Sluice names it
	Running  bool   `json:"running"`
	Slow     bool   `json:"slow"`
	Mortal   bool   `json:"mortal"` // it dies without being killed
	Kills    int    `json:"kills"`
	Asked    uint64 `json:"asked"`
	Answered uint64 `json:"answered"`
	Last     string `json:"last"` // question
}

func (q *quotes) view(time.Time) (all []pricerView) {
	for _, p := range q.pricers {
		v := p.view()
		v.Mortal = p == q.mortal
		all = append(all, v)
	}
	return all
}

func (p *pricer) view() pricerView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return pricerView{
		Name: p.name, Address: p.url(), Running: p.l != nil, Slow: p.slow, Kills: p.kills,
		Asked: p.asked, Answered: p.answered, Last: p.last,
	}
}

// serve adds the show's page and its buttons.
func (q *quotes) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET /quotes", pageOf(quotesHTML))
	mux.HandleFunc("GET /demo/quotes", q.serveView)
	mux.HandleFunc("GET /demo/quotes/config", q.serveConfig)
	mux.HandleFunc("GET /demo/quotes/watch", q.serveWatch)
	mux.HandleFunc("POST /demo/quotes/{verb}/{name}", guarded(q.serveButton))
}

func (q *quotes) serveView(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(q.view(time.Now())) // the visitor is gone
}

// serveConfig shows the part of the configuration that this is about.
func (q *quotes) serveConfig(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(q.pool()[1:] + "routes:" + quotesRoutes)) // the visitor is gone
}

func (q *quotes) serveWatch(w http.ResponseWriter, r *http.Request) {
	q.look()
	defer q.lookAway()
	keepShowing(w, r, q.view)
}

// serveButton kills, starts, slows down or speeds up an instance.
func (q *quotes) serveButton(w http.ResponseWriter, r *http.Request) {
	verb, name := r.PathValue("verb"), r.PathValue("name")
	k := slices.IndexFunc(q.pricers, func(p *pricer) bool { return p.name == name })
	if k < 0 || !slices.Contains([]string{"kill", "start", "slow", "quick"}, verb) {
		http.NotFound(w, r)
		return
	}
	if err := q.pricers[k].press(verb); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	q.serveView(w, r)
}
