//go:build !race

package load_test

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

var noDeadline time.Time

// ledger is what instances have read: of each session, leg by leg.
type ledger struct {
	mu   sync.Mutex // guards read
	read map[uint32]map[uint32][]uint32
}

func (l *ledger) enter(session, leg, n uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read[session] == nil {
		l.read[session] = map[uint32][]uint32{}
	}
	l.read[session][leg] = append(l.read[session][leg], n)
}

// judge holds what was read of a session against what it has sent. twice allows
// a leg to begin with what an earlier one has read. doubled is how many were.
func (l *ledger) judge(s *call, twice bool) (doubled int, err error) {
	legs := l.read[s.id]
	var order []uint32
	for leg := range legs {
		order = append(order, leg)
	}
	slices.Sort(order)
	most := uint32(0)
	for _, leg := range order {
		numbers := legs[leg]
		first := numbers[0]
		if first > most+1 || first == 0 || first <= most && !twice {
			return 0, fmt.Errorf("leg %d begins with %d, and up to %d was read before", leg, first, most)
		}
		for k, n := range numbers {
			if n != first+uint32(k) {
				return 0, fmt.Errorf("on leg %d request %d follows %d", leg, n, numbers[k-1])
			}
			if n <= most {
				doubled++
			}
		}
		most = max(most, numbers[len(numbers)-1])
	}
	if most < uint32(s.answered) || most > uint32(s.sent) {
		return 0, fmt.Errorf("%d requests were read, %d sent, %d answered", most, s.sent, s.answered)
	}
	return doubled, nil
}
