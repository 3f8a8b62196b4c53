package rule

import "testing"

const trade = `{"type":"trade","symbol":"BTC-USD","price":"64123.50","size":0.0125,"side":"buy","ts":1764370000123,` +
	`"id":"c0ffee-0001-42","account":"acc-998877","flags":["post","ioc"],"meta":{"v":2,"src":"web"}}`

func BenchmarkMatch(b *testing.B) {
	for _, text := range []string{
		`msg.type == "trade" && size < 1000`,
		`msg.type in ["quote", "book", "trade"]`,
		`msg.meta.src == "web" && msg.size > 0.01`,
		`msg.flags.exists(f, f == "ioc")`,
		`text.contains("trade")`,
		`size < 1000`,
	} {
		b.Run(text, func(b *testing.B) {
			r, payload := compiledRule(b, text), []byte(trade)
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := r.Match(&Input{Payload: payload}); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, _, err := compile(`msg.type == "trade" && size < 1000`); err != nil {
			b.Fatal(err)
		}
	}
}
