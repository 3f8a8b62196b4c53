package content

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// order is a message of 200 bytes, as scatter sees thousands of a second.
var order = []byte(`{"id":1234567,"method":"order.place","params":{"symbol":"BTC-EUR","side":"buy","price":64123.50,"quantity":0.25,"tags":["a","b"],"note":"first order of the day, ok?"},"user":"u-8814","ts":1700000000}`)

func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name string
		msg  []byte
	}{
		{"order", order},
		{"names", crowd(100_000)},
		{"text", []byte(`"` + strings.Repeat("text ", 200_000) + `"`)},
		{"deep", []byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.msg)))
			for b.Loop() {
				if err := Check(c.msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	room := make([]byte, 0, 64)
	for _, at := range []string{"id", "params.price", "user"} {
		b.Run(at, func(b *testing.B) {
			p := path(b, at)
			b.ReportAllocs()
			for b.Loop() {
				v, _ := p.Find(order)
				if _, ok := v.ID(room); !ok {
					b.Fatal(v.Raw)
				}
			}
		})
	}
}

// BenchmarkGJSON finds the same by the library whose paths ours are.
func BenchmarkGJSON(b *testing.B) {
	for _, at := range []string{"id", "params.price", "user"} {
		b.Run(at, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := gjson.GetBytes(order, at); v.Raw == "" {
					b.Fatal(at)
				}
			}
		})
	}
}
