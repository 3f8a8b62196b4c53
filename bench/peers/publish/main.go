// Command publish hands a source's messages to a server that takes them over a
// WebSocket of its own, such as Nchan's publisher. What the server answers is
// read and dropped.
package main

import (
	"flag"
	"log"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sluice-proxy/sluice/bench/peers/feed"
)

func main() {
	to := flag.String("to", "ws://127.0.0.1:8080/publish", "where messages go")
	flag.Parse()
	c, err := dial(*to)
	if err != nil {
		log.Fatal(err)
	}
	go drop(c)
	feed.Listen(func(kind int, message []byte) {
		if err := c.WriteMessage(kind, message); err != nil {
			log.Fatalf("the publisher's end: %v", err)
		}
	})
}

// dial tries for about two seconds: the server may have just been started.
func dial(to string) (c *websocket.Conn, err error) {
	for wait := time.Millisecond; wait < 2*time.Second; wait *= 2 {
		if c, _, err = websocket.DefaultDialer.Dial(to, nil); err == nil {
			return c, nil
		}
		time.Sleep(wait)
	}
	return nil, err
}

func drop(c *websocket.Conn) {
	for {
		if _, _, err := c.NextReader(); err != nil {
			log.Fatalf("the publisher's end: %v", err)
		}
	}
}
