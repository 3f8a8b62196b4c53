//go:build !race

package fanout

import (
	"bytes"
	"strings"
	"testing"
)

// quotes is 1 KiB of market data.
var quotes = []byte("[" + strings.Repeat(`{"symbol":"AAPL","bid":191.25,"ask":191.26,"volume":1200},`, 18) + "{}]")

// written are the ways in which a message is written for those who don't speak
// WebSocket.
var written = map[string]func(b, payload []byte) []byte{
	"event":        func(b, p []byte) []byte { return appendEvent(b, "e1", 1<<40, true, false, p) },
	"binary event": func(b, p []byte) []byte { return appendEvent(b, "e1", 1<<40, true, true, p) },
	"named event":  func(b, p []byte) []byte { return appendNamed(b, "gap", p) },
	"retry":        func(b, _ []byte) []byte { return appendRetry(appendComment(b), 3000) },
	"line":         func(b, p []byte) []byte { return appendLine(b, "e1", 1<<40, true, false, p) },
	"binary line":  func(b, p []byte) []byte { return appendLine(b, "e1", 1<<40, true, true, p) },
}

func TestFormsAllocateNothing(t *testing.T) {
	b := make([]byte, 0, 16<<10)
	for _, payload := range [][]byte{quotes, bytes.ReplaceAll(quotes, []byte(","), []byte("\r\n"))} {
		for name, write := range written {
			if n := testing.AllocsPerRun(100, func() { b = write(b[:0], payload) }); n > 0 {
				t.Errorf("a %s is written with %v allocations", name, n)
			}
		}
	}
}

func BenchmarkForms(b *testing.B) {
	for name, write := range written {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			b.SetBytes(int64(len(quotes)))
			out := make([]byte, 0, 16<<10)
			for b.Loop() {
				out = write(out[:0], quotes)
			}
		})
	}
}
