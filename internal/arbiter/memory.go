package arbiter

import (
	"sort"
	"time"
)

// span is the numbers [from, to).
type span struct{ from, to int64 }

// spans are stretches of numbers, in order.
type spans []span

// mostSpans is how many gaps may still be filled. What comes of an older one is
// taken for a duplicate: its loss was reported.
const mostSpans = 256

// add adds numbers above all that there are.
func (s *spans) add(from, to int64) {
	if len(*s) >= mostSpans {
		*s = append((*s)[:0], (*s)[1:]...)
	}
	*s = append(*s, span{from, to})
}

// behind gives the first span that ends behind n.
func (s spans) behind(n int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].to > n })
}

// take takes n out. It tells whether it was there.
func (s *spans) take(n int64) bool {
	i := s.behind(n)
	if i == len(*s) || (*s)[i].from > n {
		return false
	}
	g := (*s)[i]
	var rest [2]span
	left := rest[:0]
	if g.from < n {
		left = append(left, span{g.from, n})
	}
	if n+1 < g.to {
		left = append(left, span{n + 1, g.to})
	}
	switch len(left) {
	case 2:
		*s = append(*s, span{})
		copy((*s)[i+1:], (*s)[i:])
		(*s)[i], (*s)[i+1] = left[0], left[1]
	case 1:
		(*s)[i] = left[0]
	case 0:
		*s = append((*s)[:i], (*s)[i+1:]...)
	}
	for len(*s) > 2*mostSpans {
		*s = append((*s)[:0], (*s)[1:]...)
	}
	return true
}

// within counts the numbers of [from, to) that are in s.
func (s spans) within(from, to int64) (n uint64) {
	for _, g := range s[s.behind(from):] {
		if g.from >= to {
			break
		}
		n += uint64(min(g.to, to) - max(g.from, from))
	}
	return n
}

// Sum is a hash of what a message without a number is known by.
type Sum [2]uint64

// seen remembers sums.
type seen struct {
	when  map[Sum]time.Duration
	queue []Sum // in the order in which they came, from head on
	head  int
}

// perSum is what a sum takes in memory, in bytes.
const perSum = 64

// add remembers a sum for the window, or until there are too many: the oldest
// is forgotten then, and would be new. It tells whether this one is.
func (s *seen) add(sum Sum, now time.Duration, r Rules) (fresh bool) {
	for s.head < len(s.queue) && s.when[s.queue[s.head]] <= now-r.Window {
		s.drop()
	}
	if _, known := s.when[sum]; known {
		return false
	}
	if int64(len(s.queue)-s.head+1)*perSum > r.Bytes {
		s.drop()
	}
	if s.when == nil {
		s.when = map[Sum]time.Duration{}
	}
	s.when[sum] = now
	s.queue = append(s.queue, sum)
	return true
}

// drop forgets the oldest.
func (s *seen) drop() {
	if s.head == len(s.queue) {
		return
	}
	delete(s.when, s.queue[s.head])
	if s.head++; s.head > len(s.queue)/2 {
		s.queue = s.queue[:copy(s.queue, s.queue[s.head:])]
		s.head = 0
	}
}
