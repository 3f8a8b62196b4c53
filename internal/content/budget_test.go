//go:build !race

package content

import "testing"

func TestAMessageIsReadWithoutAllocation(t *testing.T) {
	paths := []Path{path(t, "id"), path(t, "params.symbol"), path(t, "params.price"), path(t, "params.tags.1"), path(t, "none")}
	room := make([]byte, 0, 256)
	read := func(msg []byte) func() {
		return func() {
			if err := Check(msg); err != nil {
				t.Fatal(err)
			}
			for _, p := range paths {
				v, ok := p.Find(msg)
				_, key := v.Key(room)
				_, id := v.ID(room)
				if key != ok || id != ok {
					t.Fatalf("%s: found %v, key %v, id %v", p, ok, key, id)
				}
			}
		}
	}
	escaped := []byte(`{"\u0069d":"\u00e9","params":{"symbol":"\n","price":1.50e-3,"tags":[0,-0.0]}}`)
	for what, msg := range map[string][]byte{"200 bytes": order, "names and texts with escapes": escaped, "more names than are compared": crowd(100)} {
		if n := testing.AllocsPerRun(200, read(msg)); n != 0 {
			t.Errorf("%s: %v allocations; want none", what, n)
		}
	}
}
