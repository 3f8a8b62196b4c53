package demo

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

const (
	callEvery = time.Second
	// A client whose session was closed comes back after a second or two, as
	// those do that mean well by a server.
	backAfter = time.Second
)

// caller is the client behind a tile: it sends a number a second, whatever
// becomes of its connection, and connects again when that ends.
type caller struct {
	// Set once, then read-only.
	panel        *panel
	k            int // of its tile
	addr, target string

	// Owned by run.
	next time.Time // a number is due; zero before the first connection
}

// run calls until ctx ends.
func (c *caller) run(ctx context.Context) {
	for ctx.Err() == nil {
		t, err := dial(ctx, c.addr, c.target)
		if err != nil {
			c.panel.refused(c.k)
		} else {
			c.panel.opened(c.k)
			code := c.talk(ctx, t)
			if ctx.Err() != nil {
				return
			}
			c.panel.closed(c.k, code, time.Now())
		}
		pause(ctx, backAfter+rand.N(backAfter))
	}
}

// talk calls over one connection, and gives the code that ends it.
func (c *caller) talk(ctx context.Context, t *talk) uint16 {
	defer t.conn.Close()
	defer context.AfterFunc(ctx, func() { t.conn.Close() })()
	c.catchUp(time.Now())
	for {
		_ = t.conn.SetReadDeadline(c.next)
		text, err := t.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.call(t)
		}
		var over closed
		switch {
		case errors.As(err, &over):
			return over.code
		case text == nil:
			continue
		}
		var r reply
		if json.Unmarshal(text, &r) != nil {
			t.close(ws.CodeInvalidPayload)
			return ws.CodeInvalidPayload
		}
		c.panel.answer(c.k, r, time.Now())
	}
}

// call sends the number that is due.
func (c *caller) call(t *talk) error {
	text, _ := json.Marshal(reply{N: c.panel.due(c.k, c.next)})
	c.next = c.next.Add(callEvery)
	return t.send(ws.Text, text)
}

// catchUp gives up the numbers that were due while there was no connection. The
// last one is sent late: what a client has to say now, it says when it is back.
func (c *caller) catchUp(now time.Time) {
	if c.next.IsZero() {
		c.next = now
	}
	for c.next.Add(callEvery).Before(now) {
		c.panel.due(c.k, c.next)
		c.next = c.next.Add(callEvery)
	}
}
