package conformance

import (
	"encoding/json"
	"net"
	"os/exec"
	"testing"
	"time"
)

// The examples for Python, as docs/python.md puts them together: a feed that
// knows nothing of the proxy, and a client that resumes.
func TestPythonExamples(t *testing.T) {
	if !proxied {
		t.Skip("no proxy in between")
	}
	t.Parallel()
	python := need(t, python3)
	l, err := net.Listen("tcp", "localhost:0") // a port that was free a moment ago
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	feed := mustStart(t, "the feed", exec.Command(python, "../../examples/python/feed.py", port), nil)
	address, _ := launch(t, "fanout", "ws://localhost:"+port, "--listen", "127.0.0.1:0", "--admin", "off")
	front := lay(t, address)
	client := mustStart(t, "the client", exec.Command(python, "../../examples/python/listen.py", "ws://"+front.address()+"/"), nil)
	t.Cleanup(func() { // they never end by themselves
		client.stop(0)
		feed.stop(0)
	})
	var last, cuts int
	for heard := 0; heard < 15; {
		line, err := client.line(20 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var price struct{ N int }
		if json.Unmarshal([]byte(line), &price) != nil { // it tells that it was cut off
			continue
		}
		if heard > 0 && price.N != last+1 {
			t.Fatalf("after message %d came %d", last, price.N)
		}
		last = price.N
		if heard++; heard == 5 {
			front.cut()
			cuts++
		}
	}
	if made := front.made(); made < cuts+1 {
		t.Errorf("the client connected %d times, and was cut off %d times", made, cuts)
	}
}
