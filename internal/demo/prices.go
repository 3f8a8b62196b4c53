package demo

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	restless = 0.0006 // standard deviation of a price's logarithm, in a second
	disagree = 0.0003 // the same between two who are asked at once
	narrow   = 0.0003 // half of the least spread
)

// prices are what several pricers think things are worth, each a little
// differently. They walk at random, as far as time has passed when somebody
// asks. Any goroutine may ask.
type prices struct {
	mu  sync.Mutex // guards what follows
	mid map[string]float64
	at  time.Time
}

func newPrices() *prices {
	return &prices{mid: map[string]float64{"BTC": 64210, "ETH": 3105.5, "SOL": 148.2, "BNB": 590.4, "LTC": 82.75}}
}

// quote says for what somebody buys and sells at now; not ok where that is
// nothing that is traded.
func (p *prices) quote(symbol string, now time.Time) (bid, ask float64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mid, ok := p.mid[symbol]
	if !ok {
		return 0, 0, false
	}
	p.walk(now)
	mid *= math.Exp(rand.NormFloat64() * disagree)
	half := narrow * (1 + rand.Float64())
	return round(mid * (1 - half)), round(mid * (1 + half)), true
}

// walk moves all prices; nobody sees more than a second of it at once.
func (p *prices) walk(now time.Time) {
	passed := min(max(now.Sub(p.at), 0), time.Second)
	p.at = now
	for symbol := range p.mid {
		p.mid[symbol] *= math.Exp(rand.NormFloat64() * restless * math.Sqrt(passed.Seconds()))
	}
}
