package sluice_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/sluice-proxy/sluice"
)

// feed is somebody's server: it says three prices to everyone who connects.
func feed(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	fmt.Println("the source has a client")
	for _, text := range []string{"BTC 97000", "ETH 3400", "BTC 97010"} {
		if c.Write(r.Context(), websocket.MessageText, []byte(text)) != nil {
			return
		}
	}
	<-c.CloseRead(r.Context()).Done()
}

// echo is another: it says what it hears, and its name.
func echo(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for {
			kind, text, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, append([]byte(name+": "), text...)) != nil {
				return
			}
		}
	}
}

func ws(s *httptest.Server, path string) string {
	return "ws" + strings.TrimPrefix(s.URL, "http") + path
}

// One connection to the source serves every client; one that comes later can
// begin in the past.
func ExampleFanout() {
	source := httptest.NewServer(http.HandlerFunc(feed))
	defer source.Close()

	prices := sluice.Fanout(sluice.FanoutConfig{Source: []string{ws(source, "/")}, Backlog: 2})
	http.Handle("/feed", prices)
	server := httptest.NewServer(nil)
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	first, _, err := websocket.Dial(ctx, ws(server, "/feed"), nil)
	if err != nil {
		panic(err)
	}
	for range 3 {
		_, text, _ := first.Read(ctx)
		fmt.Printf("first client: %s\n", text)
	}
	second, _, err := websocket.Dial(ctx, ws(server, "/feed"), nil)
	if err != nil {
		panic(err)
	}
	for range 2 {
		_, text, _ := second.Read(ctx)
		fmt.Printf("second client: %s\n", text)
	}

	go first.CloseRead(ctx)
	go second.CloseRead(ctx)
	fmt.Println("closed:", prices.Close(ctx))
	// Output:
	// the source has a client
	// first client: BTC 97000
	// first client: ETH 3400
	// first client: BTC 97010
	// second client: ETH 3400
	// second client: BTC 97010
	// closed: <nil>
}

// Each message goes to the server that its user belongs to.
func ExampleScatter() {
	a, b := httptest.NewServer(echo("a")), httptest.NewServer(echo("b"))
	defer a.Close()
	defer b.Close()

	work := sluice.Scatter(sluice.ScatterConfig{Upstreams: []string{ws(a, ""), ws(b, "")}, Send: "hash:user"})
	http.Handle("/work", work)
	server := httptest.NewServer(nil)
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, ws(server, "/work"), nil)
	if err != nil {
		panic(err)
	}
	served := map[string]map[string]bool{} // the servers of each user
	for n := range 40 {
		user := fmt.Sprint("u", n%10)
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"user": "`+user+`"}`))
		_, text, _ := c.Read(ctx)
		if served[user] == nil {
			served[user] = map[string]bool{}
		}
		served[user][string(text[:1])] = true
	}
	moved := 0
	for _, servers := range served {
		if len(servers) > 1 {
			moved++
		}
	}
	fmt.Println(len(served), "users,", moved, "of them at more than one server")
	go c.CloseRead(ctx)
	fmt.Println("closed:", work.Close(ctx))
	// Output:
	// 10 users, 0 of them at more than one server
	// closed: <nil>
}

// Sessions are spread over two servers.
func ExampleBalance() {
	a, b := httptest.NewServer(echo("a")), httptest.NewServer(echo("b"))
	defer a.Close()
	defer b.Close()

	chat := sluice.Balance(sluice.BalanceConfig{Upstreams: []string{ws(a, ""), ws(b, "")}, Policy: "round_robin"})
	http.Handle("/chat", chat)
	server := httptest.NewServer(nil)
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	served := map[string]bool{}
	for range 4 {
		c, _, err := websocket.Dial(ctx, ws(server, "/chat"), nil)
		if err != nil {
			panic(err)
		}
		_ = c.Write(ctx, websocket.MessageText, []byte("hello"))
		_, text, _ := c.Read(ctx)
		served[string(text)] = true
		_ = c.Close(websocket.StatusNormalClosure, "")
	}
	fmt.Println(served)
	fmt.Println("closed:", chat.Close(ctx))
	// Output:
	// map[a: hello:true b: hello:true]
	// closed: <nil>
}
