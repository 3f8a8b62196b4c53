package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Crowd is clients of a feed that only listen. Its methods may be called by any
// goroutine.
type Crowd struct {
	crowd    *crowd
	messages atomic.Uint64

	mu      sync.Mutex // guards clients
	clients []*client
}

// NewCrowd makes a crowd of nobody, for the server at a ws:// or wss:// URL.
func NewCrowd(ctx context.Context, url string) (*Crowd, error) {
	c, err := newCrowd(ctx, &Options{URL: url, Connections: 1, Parallel: 64, Loops: 1})
	if err != nil {
		return nil, err
	}
	return &Crowd{crowd: c}, nil
}

// Add connects n more clients, and returns when they are there.
func (c *Crowd) Add(ctx context.Context, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crowd.forget()
	clients, err := c.crowd.start(ctx, n, 0, func() *client { return &client{job: (*listening)(c)} })
	c.clients = append(c.clients, clients...)
	return err
}

// Leave has all clients close.
func (c *Crowd) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crowd.finish(c.clients, 5*time.Second)
	c.clients = nil
	c.crowd.stopping.Store(false)
}

// Size counts the clients that are connected.
func (c *Crowd) Size() int { return int(c.crowd.live.Load()) }

// Messages counts what they have received.
func (c *Crowd) Messages() uint64 { return c.messages.Load() }

// Close cuts all clients off and ends the crowd.
func (c *Crowd) Close() { c.crowd.group.Stop() }

// listening is the job of a crowd's clients.
type listening Crowd

func (j *listening) opened(*client)                      { j.crowd.joined() }
func (j *listening) message(*client, []byte, int, int64) { j.messages.Add(1) }
func (j *listening) ended(c *client, err error)          { j.crowd.gone(c, err) }
