package bench

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// ServerOptions are those of the servers.
type ServerOptions struct {
	Greeting []byte       // a text message for every client that comes; nil: none
	HTTP     http.Handler // for requests that are no handshake; nil: 404
	Rate     int          // source: messages a second, to each client
	Burst    int          // source: so many at once, and a pause; 0: one
	Size     int          // source: bytes of a message; at least what its form needs
	Form     Form         // source: what a message looks like
}

// Server is a WebSocket server on the loop engine.
type Server struct {
	opt   ServerOptions
	group *loop.Group
	http  *http.Server
	feed  *feed // what a source says; nil: echo
	live  atomic.Int64

	mu    sync.Mutex // guards conns
	conns map[*serverConn]struct{}
}

// EchoServer makes a server that sends every message back.
func EchoServer(g *loop.Group, o ServerOptions) *Server {
	s := &Server{opt: o, group: g, conns: map[*serverConn]struct{}{}}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: handshake.MaxHead}
	return s
}

// Serve takes clients from l until ctx ends; then it hangs up on all of them.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	if s.feed != nil {
		defer s.feed.start(s)()
	}
	err := s.http.Serve(l)
	s.hangUp()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Clients counts those that are connected.
func (s *Server) Clients() int { return int(s.live.Load()) }

// Say sends a text message to every client. Any goroutine may call it.
func (s *Server) Say(text []byte) {
	frame := ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text}, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.loop.Post(&saying{c, frame})
	}
}

type saying struct {
	conn  *serverConn
	frame []byte
}

// Run sends the message, unless the client can't follow.
func (t *saying) Run(*loop.Loop) {
	if c := &t.conn.conn; c.Live() && !t.conn.closed && !c.Full() {
		c.Write(t.frame)
	}
}

// hangUp cuts every client off, as a process that dies does.
func (s *Server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.loop.Post((*cut)(c))
	}
}

type cut serverConn

// Run cuts the connection.
func (t *cut) Run(*loop.Loop) {
	c := (*serverConn)(t)
	if c.conn.Live() {
		c.conn.Abort()
		c.gone()
	}
}

// ServeHTTP answers a handshake.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !handshake.Meant(r.Header) {
		if s.opt.HTTP == nil {
			http.NotFound(w, r)
			return
		}
		s.opt.HTTP.ServeHTTP(w, r)
		return
	}
	offer, refusal := handshake.Judge(&handshake.Request{Method: r.Method, Major: r.ProtoMajor, Minor: r.ProtoMinor,
		Header: r.Header, ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding})
	if refusal != nil {
		http.Error(w, refusal.What, refusal.Status)
		return
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	rest, _ := rw.Reader.Peek(rw.Reader.Buffered())
	taken, err := s.group.Take(nc, append([]byte(nil), rest...))
	if err != nil {
		return
	}
	c := &serverConn{server: s, taken: taken, loop: s.group.Pick(), offer: offer}
	c.in.Masked = true
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.live.Add(1)
	c.loop.Post(c)
}

// serverConn is one client of a server.
type serverConn struct {
	server *Server
	loop   *loop.Loop
	conn   loop.Conn
	in     ws.Parser
	offer  *handshake.Offer
	taken  loop.Taken
	number uint64        // source: of the message to come
	next   time.Duration // and when it is due
	out    []byte
	closed bool
}

// Run answers the handshake on the loop.
func (c *serverConn) Run(l *loop.Loop) {
	if l.Attach(&c.conn, c, c.taken) != nil {
		c.gone()
		return
	}
	answer := (&handshake.Answer{}).Append(nil, c.offer)
	c.offer = nil
	if c.server.opt.Greeting != nil {
		answer = ws.AppendFrame(answer, ws.Header{Fin: true, Opcode: ws.Text}, c.server.opt.Greeting)
	}
	c.conn.Write(answer)
	if f := c.server.feed; f != nil {
		c.next = l.Now()
		f.beats[l.Index].listeners = append(f.beats[l.Index].listeners, c)
	}
}

// Data sends frames back, unmasked.
func (c *serverConn) Data(_ *loop.Conn, p []byte) int {
	at := 0
	c.out = c.out[:0]
	for at < len(p) && !c.closed {
		piece, err := c.in.Next(p[at:])
		if err != nil {
			c.out = ws.AppendClose(c.out, ws.CodeProtocolError, "", nil)
			c.closed = true
			break
		}
		if piece.Kind == ws.More {
			break
		}
		c.piece(piece, p[at+piece.Head:at+piece.N])
		at += piece.N
	}
	c.conn.Write(c.out)
	if cap(c.out) > 4<<10 {
		c.out = nil // an idle client keeps no buffer
	}
	if c.closed {
		c.conn.CloseWrite()
		return len(p)
	}
	if c.conn.Full() {
		c.conn.Pause()
	}
	return at
}

// piece puts the answer to what came into c.out.
func (c *serverConn) piece(piece ws.Piece, payload []byte) {
	h := c.in.Header
	if piece.Kind == ws.Control {
		if h.Masked {
			ws.Mask(payload, h.Key, 0)
		}
		switch h.Opcode {
		case ws.Ping:
			c.out = ws.AppendFrame(c.out, ws.Header{Fin: true, Opcode: ws.Pong}, payload)
		case ws.CloseFrame:
			c.out = ws.AppendFrame(c.out, ws.Header{Fin: true, Opcode: ws.CloseFrame}, payload)
			c.closed = true
		}
		return
	}
	if c.server.feed != nil {
		return
	}
	c.in.Unmask(payload)
	if piece.Start {
		h.Masked = false
		c.out = ws.AppendHeader(c.out, h)
	}
	c.out = append(c.out, payload...)
}

// EOF is the client's end.
func (c *serverConn) EOF(*loop.Conn) {
	c.conn.Close()
	c.gone()
}

// Drained lets the client be read again.
func (c *serverConn) Drained(*loop.Conn) { c.conn.Resume() }

// Failed is a connection that broke.
func (c *serverConn) Failed(*loop.Conn, error) { c.gone() }

func (c *serverConn) gone() {
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()
	c.server.live.Add(-1)
}
