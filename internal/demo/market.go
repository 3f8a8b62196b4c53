package demo

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	tradeEvery = 10 * time.Millisecond
	deadFor    = 2 * time.Second // a source that was killed
)

// market is a feed's server: whoever connects is told of every trade.
type market struct {
	*instance
	trades   atomic.Uint64 // that were made, whether or not anybody listened
	reviving atomic.Bool
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
	symbol string
	busy   int // trades of a hundred
	opened float64
	price  float64
}

func stocks() []*stock {
	return []*stock{
		{"ACME", 28, 312.4, 312.4}, {"BRIO", 22, 48.12, 48.12}, {"CAPE", 18, 1204.5, 1204.5}, {"DUNE", 14, 67.83, 67.83},
		{"ECHO", 11, 96.2, 96.2}, {"FJRD", 7, 540.75, 540.75},
	}
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
	began := time.Now()
	t := time.NewTicker(tradeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// A busy machine's ticks are late or missing; the trades are not.
		for due := uint64(time.Since(began) / tradeEvery); m.trades.Load() < due; {
			m.trade(pick(all))
		}
	}
}

// pick chooses what is traded next.
func pick(all []*stock) *stock {
	at := rand.IntN(100)
	for _, s := range all {
		if at -= s.busy; at < 0 {
			return s
		}
	}
	return all[0]
}

// trade moves a price and tells whoever is connected: Sluice.
func (m *market) trade(s *stock) {
	s.price *= math.Exp(rand.NormFloat64() * 0.0008)
	text, _ := json.Marshal(trade{
		N: m.trades.Add(1), Symbol: s.symbol, Price: round(s.price), Change: round((s.price/s.opened - 1) * 100), Time: time.Now().UnixMilli(),
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel != nil {
		m.server.Say(text)
	}
}

func round(x float64) float64 { return math.Round(x*100) / 100 }

// kill breaks the server's connections without a word, and has it back a
// little later.
func (m *market) kill() {
	if m.reviving.CompareAndSwap(false, true) {
		m.stop()
		time.AfterFunc(deadFor, m.revive)
	}
}

func (m *market) revive() {
	defer m.reviving.Store(false)
	_ = m.start() // its address is taken: the page shows that it stays away
}
