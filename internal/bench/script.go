package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// Form is what a source's messages look like.
type Form int

// The forms.
const (
	FormBinary Form = iota // a stamp, and nothing behind it
	FormText               // JSON with a stamp, and letters behind it
	FormJSON               // the same with an order book behind it, as of a market
)

// script is what a source says: whole frames in turn, in which the stamp is
// left open. It is read-only.
type script struct {
	frames [][]byte
	stamp  int // where in a frame it is
	text   bool
}

// variety is how many different texts a source has: enough that a window of
// compressed text does not hold the same one twice.
const variety = 64

// newScript makes messages of a size; at least what the form needs.
func newScript(form Form, size int) script {
	s := script{text: form != FormBinary}
	h := ws.Header{Fin: true, Opcode: ws.Binary}
	if s.text {
		h.Opcode = ws.Text
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range variety {
		var payload []byte
		switch form {
		case FormBinary:
			payload = make([]byte, max(size, stampSize))
		case FormText:
			payload = textOf(size, "")
		case FormJSON:
			payload = textOf(size, book(random, size))
		}
		frame := ws.AppendFrame(nil, h, payload)
		s.stamp = len(frame) - len(payload)
		if s.text {
			s.stamp++ // behind the brace
		}
		s.frames = append(s.frames, frame)
	}
	return s
}

// append appends the frame of message n.
func (s *script) append(b []byte, n uint64, sent int64) []byte {
	at := len(b) + s.stamp
	b = append(b, s.frames[n%variety]...)
	if s.text {
		putTextStamp(b[at:], n, sent)
	} else {
		putStamp(b[at:], n, sent)
	}
	return b
}

// textOf is an object of a size that has a stamp, fields and letters.
func textOf(size int, fields string) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	stamp := make([]byte, textSize)
	putTextStamp(stamp, 0, 0)
	b.Write(stamp)
	b.WriteString(`"` + fields + `,"text":"`)
	for b.Len() < size-len(`"}`) {
		b.WriteByte('a' + byte(b.Len()%26))
	}
	b.WriteString(`"}`)
	return b.Bytes()
}

// book is an order book that fills a message of a size nearly.
func book(r *rand.Rand, size int) string {
	price := 60000 + 1000*r.Float64()
	side := func(name string, step float64, room int) string {
		var b strings.Builder
		fmt.Fprintf(&b, `,"%s":[`, name)
		for p := price; b.Len() < room; p += step * (1 + r.Float64()) {
			if b.Len() > len(name)+5 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `["%.2f","%.5f"]`, p, 3*r.Float64())
		}
		return b.String() + "]"
	}
	head := fmt.Sprintf(`,"type":"book","symbol":"BTC-USD","last":"%.2f"`, price)
	const ends = 2*len(`["60000.00","0.00000"]`) + 20
	room := max(size-textSize-len(head)-ends, 0) / 2
	return head + side("bids", -0.5, room) + side("asks", 0.5, room)
}
