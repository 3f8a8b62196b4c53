package demo

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// answerer is a WebSocket server that answers each number with its own name. It
// can be retired, too, as by SIGTERM.
type answerer struct {
	*process
	version int // guarded by mu
}

// reply is what it says to a request.
type reply struct {
	N        uint64 `json:"n"` // the request's
	Instance string `json:"instance"`
	Version  int    `json:"version"`
}

// newAnswerer makes a stopped one with an address of its own.
func newAnswerer(name string) (*answerer, error) {
	a := &answerer{version: 1}
	var err error
	a.process, err = newProcess(name, a.answer)
	return a, err
}

// retire ends it as a server does on SIGTERM: it takes nobody more and closes
// its sessions with 1001.
func (a *answerer) retire() {
	a.turn.Lock()
	defer a.turn.Unlock()
	if !a.running() {
		return
	}
	a.mu.Lock()
	a.l.Close()
	a.l = nil
	a.leaving = true
	for c := range a.conns {
		_ = c.SetReadDeadline(time.Now()) // wakes its goroutine
	}
	a.mu.Unlock()
	a.users.Wait()
}

// upgrade has it be the next version from now on.
func (a *answerer) upgrade() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
}

// answer answers one client.
func (a *answerer) answer(t *talk) {
	for {
		text, err := t.next()
		if errors.Is(err, os.ErrDeadlineExceeded) && !t.closed {
			t.close(ws.CodeGoingAway)
			_ = t.conn.SetDeadline(time.Now().Add(patience))
			continue
		}
		if err != nil {
			return
		}
		var r reply
		if json.Unmarshal(text, &r) != nil || t.closed {
			continue
		}
		r.Instance, r.Version = a.name, a.current()
		text, _ = json.Marshal(r)
		if t.send(ws.Text, text) != nil {
			return
		}
	}
}

func (a *answerer) current() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.version
}
