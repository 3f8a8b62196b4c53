package bench

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// TestASequenceCountsWhatWasDoneToIt does one thing, or nothing, to each
// number of a stream.
func TestASequenceCountsWhatWasDoneToIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(0, 1<<56).Draw(t, "first")
		deeds := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "", "lose", "double", "swap"}), 1, 300).Draw(t, "deeds")
		var s sequence
		var got, want faults
		s.see(first, &got)
		n := first + 1
		for _, deed := range deeds {
			switch deed {
			case "lose":
				want.gaps++
				n++
			case "double":
				want.duplicates++
				s.see(n, &got)
			case "swap":
				want.reordered++
				s.see(n+1, &got)
				s.see(n, &got)
				n += 2
				continue
			}
			s.see(n, &got)
			n++
		}
		s.see(n, &got)
		if got != want {
			t.Fatalf("found %+v, done was %+v", got, want)
		}
		if s.expected(n+1)-s.received != want.gaps {
			t.Fatalf("%d of %d came, and %d were lost", s.received, s.expected(n+1), want.gaps)
		}
	})
}

func TestASourcesMessagesAreWhatTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, sent := rapid.Uint64Range(0, 1<<56-1).Draw(t, "number"), rapid.Int64Min(0).Draw(t, "sent")
		form := rapid.SampledFrom([]Form{FormBinary, FormText, FormJSON}).Draw(t, "form")
		size := rapid.IntRange(0, 2000).Draw(t, "size")
		script := newScript(form, size)
		b := script.append(nil, n, sent)
		var in ws.Parser
		piece, err := in.Next(b)
		if err != nil || piece.N != len(b) || !piece.End {
			t.Fatalf("%v: not one frame: %q", err, b)
		}
		payload := b[piece.Head:]
		if form != FormBinary && !json.Valid(payload) {
			t.Errorf("no JSON: %q", payload)
		}
		if size >= 200 && len(payload) != size {
			t.Errorf("%d bytes of %d", len(payload), size)
		}
		at := rapid.IntRange(0, 300).Draw(t, "where the last stamp was")
		gotN, gotSent, ok := stampIn(payload, &at)
		if !ok || gotN != n || gotSent != sent {
			t.Errorf("%q: read %d, %d, %v; written were %d, %d", payload, gotN, gotSent, ok, n, sent)
		}
	})
}
