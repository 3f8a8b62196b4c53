package demo

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/bench"
	"github.com/sluice-proxy/sluice/internal/loop"
)

const (
	tradeEvery = 10 * time.Millisecond
	crowdStep  = 1000 // simulated clients that a button adds
	crowdMost  = 5000
	deadFor    = 2 * time.Second // a source that was killed
)

// market is a feed's server, and the crowd that listens to it through Sluice.
type market struct {
	*instance
	trades   atomic.Uint64 // that were made, whether or not anybody listened
	crowd    *bench.Crowd
	feed     *loop.Counters // of the route
	reviving atomic.Bool
	ended    atomic.Bool // the demo is over
}

// trade is one message of the feed.
type trade struct {
	N      uint64  `json:"n"`
	Symbol string  `json:"symbol"`
	Price  float64 `json:"price"`
	Change float64 `json:"change"` // since the demo began, per cent
	Time   int64   `json:"time"`   // milliseconds since 1970
}

// stock is something that is traded.
type stock struct {
	symbol        string
	opened, price float64
}

func stocks() []*stock {
	all := []*stock{}
	for symbol, price := range map[string]float64{
		"ACME": 312.4, "BRIO": 48.12, "CAPE": 1204.5, "DUNE": 7.83, "ECHO": 96.2, "FJRD": 540.75,
	} {
		all = append(all, &stock{symbol, price, price})
	}
	return all
}

// openMarket starts the feed's server and its trades.
func (d *demo) openMarket(ctx context.Context) error {
	i, err := d.add("feed")
	if err != nil {
		return err
	}
	d.market = &market{instance: i}
	if err := i.start(); err != nil {
		return err
	}
	go d.market.run(ctx)
	return nil
}

// run trades until ctx ends.
func (m *market) run(ctx context.Context) {
	all := stocks()
	t := time.NewTicker(tradeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s := all[rand.IntN(len(all))]
		s.price *= math.Exp(rand.NormFloat64() * 0.0008)
		text, _ := json.Marshal(trade{
			N: m.trades.Add(1), Symbol: s.symbol, Price: round(s.price), Change: round((s.price/s.opened - 1) * 100), Time: time.Now().UnixMilli(),
		})
		m.say(text)
	}
}

func round(x float64) float64 { return math.Round(x*100) / 100 }

// say sends a message to whoever is connected to the server: Sluice.
func (m *market) say(text []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel != nil {
		m.server.Say(text)
	}
}

// gather makes room for a crowd before a's feed.
func (m *market) gather(ctx context.Context, a *app.App) error {
	for _, r := range a.Routes() {
		if r.Name == "feed" {
			m.feed = r.Counters
		}
	}
	var err error
	m.crowd, err = bench.NewCrowd(ctx, "ws://"+a.Addresses()[0].String()+"/feed")
	return err
}

// feedState is the feed as the page sees it.
type feedState struct {
	Running     bool   `json:"running"`
	Connections int    `json:"connections"` // that the source has
	Clients     int64  `json:"clients"`     // that Sluice has
	Simulated   int    `json:"simulated"`   // of them
	Most        int    `json:"most"`
	Trades      uint64 `json:"trades"`
	Delivered   uint64 `json:"delivered"` // messages to clients
}

func (m *market) serveState(w http.ResponseWriter, _ *http.Request) {
	state := m.state()
	clients, _ := m.feed.Sessions()
	delivered, _ := m.feed.Traffic(loop.ToClient)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(feedState{ // the visitor is gone
		Running: state.Running, Connections: state.Clients, Clients: clients, Simulated: m.crowd.Size(), Most: crowdMost,
		Trades: m.trades.Load(), Delivered: delivered,
	})
}

// serveButton adds to the crowd, has it leave, or kills the source.
func (m *market) serveButton(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("verb") {
	case "add":
		if n := min(crowdStep, crowdMost-m.crowd.Size()); n > 0 {
			if err := m.crowd.Add(r.Context(), n); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
	case "leave":
		m.crowd.Leave()
	case "kill":
		if m.reviving.CompareAndSwap(false, true) {
			m.stop()
			time.AfterFunc(deadFor, m.revive)
		}
	default:
		http.NotFound(w, r)
		return
	}
	m.serveState(w, r)
}

// revive starts the source again, unless the demo is over.
func (m *market) revive() {
	m.reviving.Store(false)
	if !m.ended.Load() {
		_ = m.start() // its address is taken: the page shows that it stays away
	}
}
