package server

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/limit"
)

// body is an ordinary request's on its way to an instance. It must come as frames
// must: after some patience at a pace. The clock stands while nobody reads it.
// Close may be called beside Read.
type body struct {
	inner    io.ReadCloser
	client   *http.ResponseController
	patience time.Duration // 0: it may take its time

	mu     sync.Mutex // guards what follows
	left   time.Duration
	closed bool
	err    error // why it does not come whole
}

// newBody gives the body of r a pace. patience is timeouts.frame.
func newBody(w http.ResponseWriter, r *http.Request, patience time.Duration) *body {
	return &body{inner: r.Body, client: http.NewResponseController(w), patience: patience, left: patience}
}

func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	b.wait(began)
	n, err := b.inner.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left-time.Since(began)+limit.Pace(uint64(n)), b.patience)
	switch {
	case err == nil || b.closed:
	case err == io.EOF:
		b.deadline(noDeadline)
	default:
		b.err = err
	}
	return n, err
}

// wait sets the client's deadline. Once the body is closed the connection is
// net/http's.
func (b *body) wait(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.deadline(now.Add(max(b.left, time.Millisecond)))
	}
}

func (b *body) deadline(at time.Time) {
	if b.patience > 0 {
		_ = b.client.SetReadDeadline(at)
	}
}

// Close leaves a deadline for net/http, which reads on to see where the request
// ends.
func (b *body) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.inner.Close()
}

// failed gives why the client's body did not come whole; nil: it is not to blame.
func (b *body) failed() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
