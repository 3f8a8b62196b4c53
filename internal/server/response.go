package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// response is a net.Conn made of an HTTP answer, for connections that can't be
// taken over: those of HTTP/2. Its request's handler waits until it is closed.
type response struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	ctx    context.Context // the request's
	local  net.Addr
	remote net.Addr

	mu     sync.Mutex // held while w is written
	once   sync.Once
	closed chan struct{}
}

// respond begins an answer that goes on as a connection.
func (s *Server) respond(w http.ResponseWriter, r *http.Request) (*response, loop.Taken, error) {
	c := &response{w: w, rc: http.NewResponseController(w), ctx: r.Context(), closed: make(chan struct{}), remote: addr(r.RemoteAddr)}
	c.local, _ = r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	_ = c.rc.SetWriteDeadline(time.Time{}) // the server's is for answers that end
	w.Header().Del("Connection")
	w.WriteHeader(http.StatusOK)
	if err := c.rc.Flush(); err != nil {
		return nil, loop.Taken{}, err
	}
	taken, err := s.cfg.Group.Take(c, nil)
	return c, taken, err
}

// wait returns when the connection is closed and nothing writes any more.
func (c *response) wait() {
	<-c.closed
	if !c.mu.TryLock() { // one that hangs in a write need not
		_ = c.rc.SetWriteDeadline(time.Now())
		c.mu.Lock()
	}
	defer c.mu.Unlock()
}

// addr is an address that is known as text.
type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

// Read waits for the client to go.
func (c *response) Read([]byte) (int, error) {
	select {
	case <-c.ctx.Done():
	case <-c.closed:
	}
	return 0, io.EOF
}

// Write sends p at once.
func (c *response) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	n, err := c.w.Write(p)
	if err == nil {
		err = c.rc.Flush()
	}
	return n, err
}

// Close lets the handler return.
func (c *response) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// CloseWrite ends the answer, which ends the connection.
func (c *response) CloseWrite() error { return c.Close() }

// LocalAddr is the server's.
func (c *response) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the client's.
func (c *response) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; a read waits for nothing that could be late.
func (c *response) SetDeadline(t time.Time) error { return c.rc.SetWriteDeadline(t) }

// SetReadDeadline does nothing.
func (c *response) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is the answer's.
func (c *response) SetWriteDeadline(t time.Time) error { return c.rc.SetWriteDeadline(t) }
