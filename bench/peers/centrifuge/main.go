// Command centrifuge publishes a source's messages, which must be JSON, to the
// channel feed of a server on the centrifuge library. A client is subscribed by
// the connect command that it sends first: {"id":1,"connect":{}}.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"

	"github.com/centrifugal/centrifuge"

	"github.com/sluice-proxy/sluice/bench/peers/feed"
)

const channel = "feed"

func main() {
	compress := flag.Bool("compress", false, "compress for clients that offer it")
	flag.Parse()
	node, err := centrifuge.New(centrifuge.Config{
		LogLevel:   centrifuge.LogLevelError,
		LogHandler: func(e centrifuge.LogEntry) { log.Print(e.Message, e.Fields) },
	})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "someone"},
			Subscriptions: map[string]centrifuge.SubscribeOptions{channel: {}},
		}, nil
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	go feed.Listen(func(_ int, message []byte) {
		if _, err := node.Publish(channel, message); err != nil {
			log.Fatal(err)
		}
	})
	log.Fatal(feed.Serve(centrifuge.NewWebsocketHandler(node, config(*compress))))
}

// config: clients of a measurement answer the pings of WebSocket alone, and a
// message is compressed once for all, which is not the default.
func config(compress bool) centrifuge.WebsocketConfig {
	return centrifuge.WebsocketConfig{
		CheckOrigin:    func(*http.Request) bool { return true },
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
		Compression:    compress, CompressionLevel: 1, CompressionPreparedMessageCacheSize: 1 << 20,
	}
}
