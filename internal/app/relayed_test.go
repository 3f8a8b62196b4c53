//go:build !race && !streamonly

package app

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// session opens one through an App, with pings of ours at that pace and a route
// of that mode, to an instance whose connection is here too.
func session(t *testing.T, ping, mode string) (client, instance net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cfg, err := config.Parse("test", []byte(`
listen: {address: "127.0.0.1:0"}
admin: {address: ""}
drain: 0s
log: {sessions: none}
routes: [{name: t, timeouts: {ping: `+ping+`}, `+mode+`, upstreams: ["ws://`+l.Addr().String()+`"], health: {probe: none}}}]
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	client, err = net.Dial("tcp", a.Addresses()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	instance, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { instance.Close() })
	req, err := http.ReadRequest(bufio.NewReaderSize(instance, 1))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = instance.Write((&handshake.Answer{}).Append(nil, &handshake.Offer{Key: req.Header.Get("Sec-Websocket-Key")}))
	head := make([]byte, len((&handshake.Answer{}).Append(nil, &handshake.Offer{Key: "dGhlIHNhbXBsZSBub25jZQ=="})))
	if _, err := io.ReadFull(client, head); err != nil {
		t.Fatalf("no 101: %v", err)
	}
	return client, instance
}

const balanced = "balance: {policy: least_load"

func TestARelayedMessageAllocatesNothing(t *testing.T) {
	client, instance := session(t, "0", balanced)
	up := ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text, Masked: true, Key: [4]byte{1, 2, 3, 4}}, make([]byte, 100))
	down := ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text}, make([]byte, 100))
	got := make([]byte, 256)
	n := testing.AllocsPerRun(500, func() {
		_, _ = client.Write(up)
		if _, err := io.ReadFull(instance, got[:len(up)]); err != nil {
			t.Fatal(err)
		}
		_, _ = instance.Write(down)
		if _, err := io.ReadFull(client, got[:len(down)]); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations for a message each way", n)
	}
}

func TestAPingOfOursAllocatesNothing(t *testing.T) {
	_, instance := session(t, "20ms", balanced)
	got, pong := make([]byte, 64), make([]byte, 0, 64)
	const ping = 2 + 4 + 8 // header, key, payload
	n := testing.AllocsPerRun(30, func() {
		if _, err := io.ReadFull(instance, got[:ping]); err != nil {
			t.Fatal(err)
		}
		ws.Mask(got[6:ping], [4]byte(got[2:6]), 0)
		pong = ws.AppendFrame(pong[:0], ws.Header{Fin: true, Opcode: ws.Pong, Masked: false}, got[6:ping])
		_, _ = instance.Write(pong)
	})
	if n != 0 {
		t.Fatalf("%v allocations for a ping and its pong", n)
	}
}
