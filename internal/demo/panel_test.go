package demo

import (
	"testing"
	"time"
)

var began = time.Unix(1000, 0)

func at(seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

func from(name string, n uint64) reply { return reply{N: n, Instance: name, Version: 1} }

func TestAPanelCountsWhatBecomesOfNumbers(t *testing.T) {
	type want struct {
		answered, missing, repeated uint64
		longest                     time.Duration
	}
	for _, c := range []struct {
		name string
		do   func(p *panel)
		want want
	}{
		{"each is answered", func(p *panel) {
			p.answer(0, from("a", p.due(0, at(0))), at(0.01))
			p.answer(0, from("a", p.due(0, at(1))), at(1.02))
		}, want{answered: 2, longest: 20 * time.Millisecond}},
		{"one is lost", func(p *panel) {
			p.answer(0, from("a", p.due(0, at(0))), at(0))
			p.due(0, at(1))
			p.answer(0, from("b", p.due(0, at(2))), at(2.5))
		}, want{answered: 2, missing: 1, longest: 1500 * time.Millisecond}},
		{"two are late", func(p *panel) {
			one, two := p.due(0, at(0)), p.due(0, at(1))
			p.answer(0, from("a", one), at(1.5))
			p.answer(0, from("a", two), at(1.6))
		}, want{answered: 2, longest: 1500 * time.Millisecond}},
		{"one comes twice", func(p *panel) {
			n := p.due(0, at(0))
			p.answer(0, from("a", n), at(0))
			p.answer(0, from("b", n), at(0.1))
		}, want{answered: 2, repeated: 1}},
		{"one is not answered yet", func(p *panel) {
			p.due(0, at(6))
		}, want{longest: 4 * time.Second}},
		{"a close between numbers is an outage", func(p *panel) {
			p.answer(0, from("a", p.due(0, at(0))), at(0))
			p.closed(0, 1006, at(0.5))
			p.opened(0)
			p.answer(0, from("b", p.due(0, at(2))), at(2))
		}, want{answered: 2, longest: 1500 * time.Millisecond}},
	} {
		p := newPanel(1)
		p.opened(0)
		c.do(p)
		v := p.view(at(10))
		if got := (want{v.Answered, v.Missing, v.Repeated, v.Longest}); got != c.want {
			t.Errorf("%s: the panel counts %+v, want %+v", c.name, got, c.want)
		}
		if holes := v.Missing + v.Repeated; v.Tiles[0].Holes != holes {
			t.Errorf("%s: the tile shows %d holes, want %d", c.name, v.Tiles[0].Holes, holes)
		}
	}
}

func TestATileShowsItsCloseUntilAnAnswer(t *testing.T) {
	p := newPanel(2)
	p.opened(0)
	p.opened(1)
	p.answer(0, from("a", p.due(0, at(0))), at(0))
	p.closed(0, 1006, at(1))
	p.closed(1, 1012, at(1))
	p.refused(1)
	v := p.view(at(2))
	if v.Open != 0 || v.Closes[1006] != 1 || v.Closes[1012] != 1 || v.Refused != 1 || v.Tiles[0].Code != 1006 || v.Tiles[1].Code != 1012 {
		t.Fatalf("two are closed, one was refused: %+v", v)
	}
	p.opened(0)
	if v = p.view(at(2)); v.Open != 1 || v.Tiles[0].Code != 1006 {
		t.Fatalf("it is back, and nobody has answered: %+v", v)
	}
	p.answer(0, reply{N: p.due(0, at(2)), Instance: "b", Version: 2}, at(2))
	if tile := p.view(at(2)).Tiles[0]; tile.Code != 0 || tile.Instance != "b" || tile.Version != 2 {
		t.Fatalf("b has answered: %+v", tile)
	}
}

func TestACallerThatIsBackSendsTheLatestNumber(t *testing.T) {
	for _, c := range []struct {
		back float64 // when
		lost uint64
		due  float64 // its next number
	}{{0.5, 0, 1}, {1.5, 0, 1}, {2.5, 1, 2}, {4.9, 3, 4}} {
		p := newPanel(1)
		call := &caller{panel: p}
		call.catchUp(at(0))
		p.answer(0, from("a", p.due(0, call.next)), at(0))
		call.next = at(1)
		call.catchUp(at(c.back))
		n := p.due(0, call.next)
		p.answer(0, from("b", n), at(c.back))
		if v := p.view(at(9)); v.Missing != c.lost || !call.next.Equal(at(c.due)) {
			t.Errorf("back after %v s: %d numbers are missing and the next is due at %v; want %d, %v s", c.back, v.Missing, call.next.Sub(began), c.lost, c.due)
		}
	}
}
