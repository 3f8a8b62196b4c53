package demo

import (
	"maps"
	"sync"
	"time"
)

// panel counts what becomes of a row of sessions, each of which sends numbers
// and wants each back once and in order. It keeps no clock. Any goroutine may
// call its methods.
type panel struct {
	mu    sync.Mutex // guards what follows
	tiles []tile
	count counts
}

// counts are the sums under a panel.
type counts struct {
	Closes   map[uint16]int `json:"closes"`   // sessions, by code
	Refused  int            `json:"refused"`  // handshakes
	Answered uint64         `json:"answered"` // requests
	Missing  uint64         `json:"missing"`  // numbers that were never answered
	Repeated uint64         `json:"repeated"` // numbers that were answered before
	Longest  time.Duration  `json:"longest"`  // that a session was without an answer
}

// tile is one session, and those that take its place after its end.
type tile struct {
	Instance string `json:"instance,omitempty"` // that answered last
	Version  int    `json:"version,omitempty"`
	Open     bool   `json:"open,omitempty"`
	Code     uint16 `json:"code,omitempty"`  // that its last session ended with
	Holes    uint64 `json:"holes,omitempty"` // numbers that were missing or came twice

	sent, answered uint64    // the latest numbers
	since          time.Time // the oldest that is not answered is due; zero: all are
}

func newPanel(n int) *panel {
	return &panel{tiles: make([]tile, n), count: counts{Closes: map[uint16]int{}}}
}

// opened is a handshake that session k has done.
func (p *panel) opened(k int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tiles[k].Open = true
}

// refused is one that it was denied.
func (p *panel) refused(k int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count.Refused++
}

// due gives the number that session k has to send at now. Unless it is sent it
// will be missing.
func (p *panel) due(k int, now time.Time) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.tiles[k]
	t.sent++
	if t.since.IsZero() {
		t.since = now
	}
	return t.sent
}

// answer is what session k was told.
func (p *panel) answer(k int, r reply, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.tiles[k]
	p.count.Answered++
	t.Instance, t.Version, t.Code = r.Instance, r.Version, 0
	if r.N <= t.answered {
		p.count.Repeated++
		t.Holes++
		return
	}
	missing := r.N - t.answered - 1
	p.count.Missing += missing
	t.Holes += missing
	t.answered = r.N
	if !t.since.IsZero() {
		p.count.Longest = max(p.count.Longest, now.Sub(t.since))
	}
	if t.since = now; t.answered >= t.sent {
		t.since = time.Time{}
	}
}

// closed is the end of session k's connection.
func (p *panel) closed(k int, code uint16, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.tiles[k]
	t.Open, t.Code = false, code
	p.count.Closes[code]++
	if t.since.IsZero() {
		t.since = now
	}
}

// panelView is a panel at a moment.
type panelView struct {
	counts
	Open  int    `json:"open"` // sessions
	Tiles []tile `json:"tiles"`
}

// view shows the panel. An outage that still lasts is counted as far as it has
// come.
func (p *panel) view(now time.Time) panelView {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := panelView{counts: p.count, Tiles: append([]tile(nil), p.tiles...)}
	v.Closes = maps.Clone(p.count.Closes)
	for k := range v.Tiles {
		t := &v.Tiles[k]
		if t.Open {
			v.Open++
		}
		if !t.since.IsZero() {
			v.Longest = max(v.Longest, now.Sub(t.since))
		}
	}
	return v
}
