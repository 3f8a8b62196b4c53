package fanout

import (
	"sync/atomic"
)

// result is what became of a message of one of several sources.
type result int

const (
	won result = iota
	late
	filled
	old
	missing
	results
)

func (r result) String() string {
	return [results]string{"won", "late", "filled", "old", "missing"}[r]
}

// tally counts what became of a source's messages, and its connections. Any
// goroutine may read it.
type tally struct {
	counts    [results]atomic.Uint64
	connected atomic.Int64
}

// messages gives the counts by name.
func (t *tally) messages() map[string]uint64 {
	m := make(map[string]uint64, results)
	for r := range results {
		m[r.String()] = t.counts[r].Load()
	}
	return m
}

func (l *line) count(r result, n uint64) {
	l.counts[r].Add(n)
	l.all.counts[r].Add(n)
}

func (l *line) connect(n int64) {
	l.connected.Add(n)
	l.all.connected.Add(n)
}

// tell has the tallies follow what the arbiter has counted. It is called once a
// batch.
func (s *Stream) tell(l *line) {
	is, was := l.place.Counts, l.counted
	if is == was {
		return
	}
	l.counted = is
	l.count(won, is.Won-was.Won)
	l.count(late, is.Late-was.Late)
	l.count(filled, is.Filled-was.Filled)
	l.count(old, is.Old-was.Old)
	l.count(missing, is.Missing-was.Missing)
}

// Line is one of a route's sources that are all connected, its streams together.
type Line struct {
	Name      string
	Messages  map[string]uint64 // by what became of them
	Connected int64             // connections that are open
}

// Lines shows the sources of a route that are all connected, those apart that no
// client has made it connect to; and how many gaps there were that none of them
// filled.
func (r *Route) Lines() (lines []Line, gaps uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, t := range r.tallies {
		lines = append(lines, Line{name, t.messages(), t.connected.Load()})
	}
	return lines, r.gaps.Load()
}
