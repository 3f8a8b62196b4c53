package demo

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// pace is how long a pricer takes for an answer: at least, and less than.
type pace [2]time.Duration

var (
	quick = pace{2 * time.Millisecond, 20 * time.Millisecond}
	slow  = pace{400 * time.Millisecond, 900 * time.Millisecond}
)

func (p pace) some() time.Duration { return p[0] + rand.N(p[1]-p[0]) }

// pricer is a WebSocket server that answers each question with what it would
// pay and take, after some time. It reads on meanwhile, so that answers may come
// in another order than questions.
type pricer struct {
	*process
	prices *prices

	// Guarded by mu.
	slow     bool
	held     bool // it was killed by hand, and stays so
	asked    uint64
	answered uint64
	last     string // question
}

// quote is a question with its answer.
type quote struct {
	ID     json.RawMessage `json:"id"` // the question's
	Symbol string          `json:"symbol"`
	Bid    float64         `json:"bid,omitempty"`
	Ask    float64         `json:"ask,omitempty"`
	From   string          `json:"from,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// pending is a quote that is to be given.
type pending struct {
	quote
	due time.Time
}

// newPricer makes a stopped one with an address of its own.
func newPricer(name string, from *prices) (*pricer, error) {
	p := &pricer{prices: from}
	var err error
	p.process, err = newProcess(name, p.converse)
	return p, err
}

// converse answers one client.
func (p *pricer) converse(t *talk) {
	var all []pending // the next one first; no more than gather.outstanding
	for {
		var due time.Time // none: it waits for the client alone
		if len(all) > 0 {
			due = all[0].due
		}
		_ = t.conn.SetReadDeadline(due)
		text, err := t.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if p.say(t, all[0].quote, time.Now()) != nil {
				return
			}
			all = all[1:]
		case err != nil:
			return
		default:
			all = p.take(all, text, time.Now())
		}
	}
}

// take puts a question among those that are to be answered.
func (p *pricer) take(all []pending, text []byte, now time.Time) []pending {
	var q quote
	if json.Unmarshal(text, &q) != nil {
		return all
	}
	p.mu.Lock()
	p.asked++
	p.last = string(text)
	takes := quick
	if p.slow {
		takes = slow
	}
	p.mu.Unlock()
	all = append(all, pending{q, now.Add(takes.some())})
	slices.SortStableFunc(all, func(a, b pending) int { return a.due.Compare(b.due) })
	return all
}

// say gives the answer to a question.
func (p *pricer) say(t *talk, q quote, now time.Time) error {
	var known bool
	if q.Bid, q.Ask, known = p.prices.quote(q.Symbol, now); !known {
		q.Error = "nobody trades that"
	}
	q.From = p.name
	text, _ := json.Marshal(q)
	p.mu.Lock()
	p.answered++
	p.mu.Unlock()
	return t.send(ws.Text, text)
}

// press is the visitor's hand on it.
func (p *pricer) press(verb string) error {
	p.mu.Lock()
	switch verb {
	case "kill", "start":
		p.held = verb == "kill"
	case "slow", "quick":
		p.slow = verb == "slow"
	}
	p.mu.Unlock()
	switch verb {
	case "kill":
		p.kill()
	case "start":
		return p.start()
	}
	return nil
}

// revive starts it, unless the visitor killed it.
func (p *pricer) revive() {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if !held {
		_ = p.start() // its address is taken: the page shows that it stays away
	}
}
