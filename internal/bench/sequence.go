package bench

// sequence is what one client has seen of the numbers of a stream. It begins
// with whatever number comes first.
type sequence struct {
	first    uint64
	next     uint64 // the one behind the highest that has come
	recent   uint64 // bit i: next-1-i has come
	received uint64 // how many different ones from first on have come
}

// faults are what is wrong with streams.
type faults struct{ gaps, duplicates, reordered, wrong uint64 }

// see takes the number that comes next.
//
// Fast path: the one that is expected.
func (s *sequence) see(n uint64, f *faults) {
	switch {
	case s.received == 0:
		s.first, s.next, s.recent, s.received = n, n+1, 1, 1
	case n == s.next:
		s.next++
		s.recent = s.recent<<1 | 1
		s.received++
	case n > s.next:
		skipped := n - s.next
		f.gaps += skipped
		s.next = n + 1
		s.recent = s.recent<<min(skipped+1, 64) | 1
		s.received++
	default:
		s.late(n, f)
	}
}

// late takes a number that is not above all others. One that filled a gap came
// in the wrong order and is not missing; where that is too long ago to know, it
// is at least in the wrong order.
func (s *sequence) late(n uint64, f *faults) {
	age := s.next - 1 - n
	if age < 64 && s.recent>>age&1 != 0 {
		f.duplicates++
		return
	}
	f.reordered++
	if age < 64 && n >= s.first {
		s.recent |= 1 << age
		s.received++
		f.gaps--
	}
}

// expected tells how many numbers there are from first to before end, or to the
// highest that has come.
func (s *sequence) expected(end uint64) uint64 { return max(s.next, end) - s.first }
