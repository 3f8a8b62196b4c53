package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/bench"
	"github.com/sluice-proxy/sluice/internal/loop"
)

const (
	crowdStep = 1000 // simulated clients that a button adds
	crowdMost = 5000
	// A simulated client takes two descriptors of this process: its own and
	// Sluice's. So many are left to the page's sessions and all the rest, and
	// to the tiles of the failover.
	filesPage = 900
	filesKept = filesPage + 2*tilesMost*tileFiles
)

// feed is the market behind Sluice, with the crowd that listens there.
type feed struct {
	// Set once, then read-only.
	ctx      context.Context // the demo's
	market   *market
	counters *loop.Counters        // of the route
	stream   func() (string, bool) // its offset, and whether it has a source
	crowd    *bench.Crowd
	most     int    // simulated clients
	bound    string // why not more

	adding sync.Mutex
}

// openFeed puts a's feed and the market together, with room for a crowd of
// most.
func openFeed(ctx context.Context, m *market, a *app.App, most int) (*feed, error) {
	f := &feed{ctx: ctx, market: m}
	f.most, f.bound = crowdBound(most, openFiles())
	for _, r := range a.Routes() {
		if r.Name == "feed" {
			f.counters = r.Counters
			f.stream = func() (offset string, up bool) {
				for _, v := range r.Fanout.Views() { // there is one, once somebody came
					offset, up = v.Offset, v.Up
				}
				return offset, up
			}
		}
	}
	var err error
	f.crowd, err = bench.NewCrowd(ctx, "ws://"+a.Addresses()[0].String()+"/feed")
	return f, err
}

// crowdBound is how many clients may be simulated by a process that may have so
// many files, and what keeps it from more.
func crowdBound(most, files int) (int, string) {
	if n := max(0, (files-filesKept)/2); n < most {
		return n, fmt.Sprintf("this process may open %d files, and each takes two", files)
	}
	return most, "the demo stops there"
}

// feedState is the feed as the page sees it.
type feedState struct {
	Running     bool   `json:"running"`     // the source
	Connections int    `json:"connections"` // that it has, by its own count
	Up          bool   `json:"up"`          // Sluice has a source
	Offset      string `json:"offset"`      // of the message that Sluice gets next
	Clients     int64  `json:"clients"`     // that Sluice has
	Closed      int64  `json:"closed"`      // that it had
	Simulated   int    `json:"simulated"`   // of those that it has
	Most        int    `json:"most"`
	Bound       string `json:"bound"` // what keeps it from more
	Trades      uint64 `json:"trades"`
	Delivered   uint64 `json:"delivered"` // messages to clients
}

func (f *feed) state() feedState {
	source := f.market.state()
	open, ever := f.counters.Sessions()
	s := feedState{
		Running: source.Running, Connections: source.Clients, Clients: open, Closed: int64(ever) - open,
		Simulated: f.crowd.Size(), Most: f.most, Bound: f.bound, Trades: f.market.trades.Load(),
	}
	s.Offset, s.Up = f.stream()
	s.Delivered, _ = f.counters.Traffic(loop.ToClient)
	return s
}

func (f *feed) serveState(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(f.state()) // the visitor is gone
}

// serveButton adds to the crowd, has it leave, or kills the source.
func (f *feed) serveButton(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("verb") {
	case "add":
		if err := f.add(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	case "leave":
		f.crowd.Leave()
	case "kill":
		f.market.kill()
	default:
		http.NotFound(w, r)
		return
	}
	f.serveState(w, r)
}

// add has more clients come, as long as there is room. Those that are on their
// way come even if the visitor who called them has gone.
func (f *feed) add() error {
	f.adding.Lock()
	defer f.adding.Unlock()
	n := min(crowdStep, f.most-f.crowd.Size())
	if n <= 0 {
		return nil
	}
	return f.crowd.Add(f.ctx, n)
}
