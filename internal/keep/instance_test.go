package keep

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// instance reads frames in order and answers messages and pings.
type instance struct {
	t          fataler
	name       int
	rules      *Rules
	way        []byte // on its way there
	in         ws.Parser
	kept, msg  []byte
	read, said []string
	out        []byte // on its way back
}

// hears takes one byte.
func (i *instance) hears(b byte) {
	i.kept = append(i.kept, b)
	piece, err := i.in.Next(i.kept)
	if err != nil {
		i.t.Fatalf("instance %d: %v", i.name, err)
	}
	payload := i.kept[piece.Head:piece.N]
	switch piece.Kind {
	case ws.More:
		return
	case ws.Control:
		ws.Mask(payload, i.in.Header.Key, 0)
		i.out = ws.AppendFrame(i.out, ws.Header{Fin: true, Opcode: ws.Pong}, payload)
	case ws.Data:
		i.in.Unmask(payload)
		i.msg = append(i.msg, payload...)
		if piece.End && i.in.MessageEnd() {
			i.answer(string(i.msg))
			i.msg = nil
		}
	}
	i.kept = nil
}

// answer answers each message; those of the opening with as many as the rules
// say, none before its turn.
func (i *instance) answer(text string) {
	i.read = append(i.read, text)
	n := len(i.read)
	if n > i.rules.First {
		i.say(fmt.Sprintf("%d/%d:%s", i.name, n, text))
		return
	}
	for k := n - 1; k < i.rules.Swallow && (k < n || n == i.rules.First); k++ {
		i.say(fmt.Sprint("in", k))
	}
}

// say sends a message; every other in two parts, with a ping between.
func (i *instance) say(text string) {
	if i.said = append(i.said, text); len(i.said)%2 == 0 {
		i.out = ws.AppendFrame(i.out, ws.Header{Fin: true, Opcode: ws.Text}, []byte(text))
		return
	}
	i.out = ws.AppendFrame(i.out, ws.Header{Opcode: ws.Text}, []byte(text[:2]))
	i.out = ws.AppendFrame(i.out, ws.Header{Fin: true, Opcode: ws.Ping}, []byte("!"))
	i.out = ws.AppendFrame(i.out, ws.Header{Fin: true, Opcode: ws.Continuation}, []byte(text[2:]))
}

// messages reads whole messages; half a one is told by its end.
func messages(t fataler, masked bool, p []byte) (texts []string) {
	t.Helper()
	in, text, p := ws.Parser{Masked: masked}, "", bytes.Clone(p)
	for {
		piece, err := in.Next(p)
		if err != nil {
			t.Fatalf("%v behind %q", err, texts)
		}
		payload := p[piece.Head:piece.N]
		p = p[piece.N:]
		if piece.Kind == ws.More {
			break
		}
		if piece.Kind == ws.Control {
			continue
		}
		in.Unmask(payload)
		if text += string(payload); piece.End && in.MessageEnd() {
			texts, text = append(texts, text), ""
		}
	}
	if len(p) > 0 || in.InMessage() {
		texts = append(texts, text+half)
	}
	return texts
}

const half = "<half>"

// message is one of the client's: how long, in how many fragments, and whether
// there are pings between them.
type message struct {
	size, fragments int
	pings           bool
}

// script gives the bytes of a client, its messages, and how long these are on
// the wire.
func script(list []message) (p []byte, texts []string, sizes []int) {
	for k, m := range list {
		text := fmt.Sprintf("m%02d", k) + strings.Repeat(string(rune('a'+k%26)), max(m.size-3, 0))
		texts = append(texts, text)
		op, size := ws.Text, 0
		for n := m.fragments; n > 0; n-- {
			part := text[:len(text)/n]
			text = text[len(part):]
			at := len(p)
			p = ws.AppendFrame(p, ws.Header{Fin: n == 1, Opcode: op, Masked: true, Key: [4]byte{1, byte(k), 3, byte(n)}}, []byte(part))
			size += len(p) - at
			if m.pings {
				p = ws.AppendFrame(p, ws.Header{Fin: true, Opcode: ws.Ping, Masked: true, Key: [4]byte{5, 6, 7, 8}}, []byte{'p', byte(k)})
			}
			op = ws.Continuation
		}
		sizes = append(sizes, size)
	}
	return p, texts, sizes
}
