//go:build !race && !streamonly

package app

import (
	"fmt"
	"io"
	"testing"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// A message whose leg stands, and its answer, allocate nothing: whether it is read
// for its key, for its id, for both or neither; held to be sent again, or not.
func TestAScatteredMessageAllocatesNothing(t *testing.T) {
	for _, mode := range []string{
		`send: least_load`,
		`send: {hash: user.id}`,
		`send: {hash: user.id}, gather: {id: id}`,
		`send: {hash: user.id}, gather: {id: id, policy: first, hedge_after: 1s}, on_lost: resend`,
		`send: round_robin, gather: {id: id}`,
	} {
		client, instance := session(t, "0", "scatter: {"+mode)
		var up, down [][]byte
		for k := range 64 {
			text := []byte(fmt.Sprintf(`{"id":%d,"kind":"a","user":{"name":"x","id":"%d"},"more":"%060d"}`, 10+k, 10+k%7, 0))
			up = append(up, ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text, Masked: true, Key: [4]byte{1, 2, 3, 4}}, text))
			down = append(down, ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text}, text))
		}
		got, k := make([]byte, 256), 0
		exchange := func() {
			k = (k + 1) % len(up)
			_, _ = client.Write(up[k])
			if _, err := io.ReadFull(instance, got[:len(up[k])]); err != nil {
				t.Fatal(err)
			}
			_, _ = instance.Write(down[k])
			if _, err := io.ReadFull(client, got[:len(down[k])]); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 {
			exchange() // the maps and what is lent are there
		}
		if n := testing.AllocsPerRun(150, exchange); n != 0 {
			t.Errorf("%s: %v allocations for a message and its answer", mode, n)
		}
	}
}
