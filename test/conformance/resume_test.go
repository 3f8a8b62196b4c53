package conformance

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An interruption breaks the connections of a proxy's clients while a source
// goes on sending.
type interruption struct {
	name   string
	source string
	// begin starts what is between the source and the wire that clients come
	// by; interrupt is called while messages are on their way.
	begin func(t *testing.T, w way, route func(source string) string, source string) (address string, interrupt func(*wire))
}

func everyInterruption() []interruption {
	return []interruption{
		{"cut", "python-websockets", func(t *testing.T, w way, route func(string) string, source string) (string, func(*wire)) {
			address, _ := runConfig(t, w, route(source))
			return address, (*wire).cut
		}},
		{"age", "node-ws", func(t *testing.T, w way, route func(string) string, source string) (string, func(*wire)) {
			address, _ := runConfig(t, w, route(source)+"    timeouts: {age: 400ms}\n")
			return address, func(*wire) {}
		}},
		// A proxy in front of a proxy has nothing of its own that could get
		// lost: the other one's offsets hold.
		{"restart", "gorilla", func(t *testing.T, w way, route func(string) string, source string) (string, func(*wire)) {
			core, _ := runConfig(t, w, route(source))
			edge := func() (string, *process) { return runConfig(t, w, route("ws://"+core), "drain: 100ms\n") }
			address, p := edge()
			return address, func(w *wire) {
				p.cmd.Process.Signal(syscall.SIGTERM)
				<-p.ended
				address, p = edge()
				w.turn(address)
			}
		}},
	}
}

// Clients that count, and a browser's EventSource, which comes back by itself,
// miss nothing when they are cut off, and get nothing twice.
func TestFanoutResume(t *testing.T) {
	if !proxied {
		t.Skip("no proxy in between")
	}
	t.Parallel()
	for _, i := range everyInterruption() {
		for _, transport := range ways(raw) {
			if transport.tls {
				continue
			}
			t.Run(i.name+"/"+transport.String(), func(t *testing.T) {
				t.Parallel()
				i.run(t, transport)
			})
		}
	}
}

func (i interruption) run(t *testing.T, w way) {
	const parts, each, pause = 3, 60, 10 * time.Millisecond
	b := i.broadcaster(t)
	page := servePage(t)
	// The backlog is for an EventSource that is cut off before its first message:
	// it has no id to come back with.
	route := func(source string) string {
		return fmt.Sprintf("\n  - name: feed\n    origins: [%q]\n    fanout: {source: %q, backlog: %d}\n", page, source, parts*each)
	}
	source := lay(t, strings.TrimPrefix(b.url(), "ws://"))
	address, interrupt := i.begin(t, w, route, "ws://"+source.address())
	front := lay(t, address)

	troupes, clients := map[string]*troupe{}, map[string][]listener{}
	for _, k := range everyKind() {
		if k.name == "curl" || !have(t, k.name+" as client", k.tools) {
			continue
		}
		for _, l := range k.clients(front.address(), false) {
			if l.Announce || l.Events || k.name != "chromium" {
				l.Name = strings.TrimSpace(k.name + " " + l.Name)
				l.Count = parts * each
				clients[k.name] = append(clients[k.name], l)
			}
		}
		troupes[k.name] = k.start(t, page, clients[k.name])
	}
	var sent []payload
	for part := range parts {
		for name, tr := range troupes {
			tr.awaitOpen(t, clients[name], part+1)
		}
		if t.Failed() {
			return
		}
		var more []payload
		for n := range each {
			more = append(more, numbered(t, part*each+n))
		}
		more[each/2] = content(t, true, mib) // what is cut is in the middle of it
		done := make(chan error, 1)
		go func() { done <- b.send(more, pause) }()
		if part < parts-1 {
			time.Sleep(each / 3 * pause)
			interrupt(front)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		sent = append(sent, more...)
	}
	for name, tr := range troupes {
		tr.awaitEnd(t, clients[name])
		for _, l := range clients[name] {
			t.Run(l.Name, func(t *testing.T) {
				judge(t, tr, l, sent)
				if tr.open[l.Name] < parts {
					t.Errorf("it connected %d times, want %d at least", tr.open[l.Name], parts)
				}
			})
		}
	}
	if n := source.made(); n != 1 {
		t.Errorf("the source saw %d connections, want one", n)
	}
}

func (i interruption) broadcaster(t *testing.T) broadcaster {
	t.Helper()
	for _, s := range everySource() {
		if s.name == i.source {
			return s.start(t, "")
		}
	}
	t.Fatal("no source " + i.source)
	return nil
}
