// Package feed is what the servers beside it have in common: they listen to one
// WebSocket source. Flags are read with flag.Parse first; then Listen may be
// called once, and Serve.
package feed

import (
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

var (
	listen = flag.String("listen", "127.0.0.1:8080", "where clients connect")
	from   = flag.String("source", "ws://127.0.0.1:9000", "the source")
	cert   = flag.String("tls-cert", "", "certificate chain, PEM; without it: plain HTTP")
	key    = flag.String("tls-key", "", "its key, PEM")
)

// Listen hands each message of the source on, until the source ends, and the
// process with it.
func Listen(each func(kind int, message []byte)) {
	var c *websocket.Conn
	for wait := time.Millisecond; ; wait *= 2 {
		var err error
		if c, _, err = websocket.DefaultDialer.Dial(*from, nil); err == nil {
			break
		}
		if wait > time.Second {
			log.Fatal(err)
		}
		time.Sleep(wait)
	}
	for {
		kind, message, err := c.ReadMessage()
		if err != nil {
			log.Fatalf("the source: %v", err)
		}
		each(kind, message)
	}
}

// Serve takes clients.
func Serve(h http.Handler) error {
	if *cert != "" {
		return http.ListenAndServeTLS(*listen, *cert, *key, h)
	}
	return http.ListenAndServe(*listen, h)
}
