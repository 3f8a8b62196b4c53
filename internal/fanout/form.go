package fanout

import (
	"encoding/json"
	"hash/maphash"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// frame appends a message that is not of the log: a greeting, a notice, an
// announcement.
func (f form) frame(b []byte, op ws.Opcode, payload []byte) []byte {
	switch f {
	case events:
		return appendEvent(b, "", 0, false, op == ws.Binary, payload)
	case lines:
		return appendLine(b, "", 0, false, op == ws.Binary, payload)
	}
	return ws.AppendFrame(b, ws.Header{Fin: true, Opcode: op}, payload)
}

// word appends something of ours: an event of that name, or a line with a
// member of it. WebSocket clients get the value as text.
func (f form) word(b []byte, name string, value any) []byte {
	text, _ := json.Marshal(value) // plain structs
	switch f {
	case events:
		return appendNamed(b, name, text)
	case lines:
		b = append(b, `{"`...)
		b = append(b, name...)
		b = append(b, `":`...)
		return append(append(b, text...), "}\n"...)
	}
	return ws.AppendFrame(b, ws.Header{Fin: true, Opcode: ws.Text}, text)
}

// splitFrame gives the opcode and payload of a whole frame of the plain log.
func splitFrame(frame []byte) (ws.Opcode, []byte) {
	head := 2
	switch frame[1] {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	return ws.Opcode(frame[0] & 0x0F), frame[head:]
}

func hash(seed maphash.Seed, s string) uint64 { return maphash.String(seed, s) }
