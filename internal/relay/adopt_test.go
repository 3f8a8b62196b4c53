package relay

import "testing"

// TestFollow: who was on its way to its loop while its route changed, twice even,
// begins under the last one.
func TestFollow(t *testing.T) {
	first, second, third := &Route{Name: "1"}, &Route{Name: "2"}, &Route{Name: "3"}
	first.next.Store(second)
	second.next.Store(third)
	for _, at := range []*Route{first, second, third} {
		s := &session{route: at}
		if s.follow(); s.route != third {
			t.Errorf("from %s it comes to %s", at.Name, s.route.Name)
		}
	}
}
