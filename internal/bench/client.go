package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// target is where clients connect to.
type target struct {
	dial loop.Dial
	url  *url.URL
}

// newTarget reads a ws:// or wss:// URL. Certificates are not verified: the
// server is the user's own.
func newTarget(ctx context.Context, raw string) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	t := &target{url: u}
	port := u.Port()
	switch u.Scheme {
	case "ws":
		if port == "" {
			port = "80"
		}
	case "wss":
		if port == "" {
			port = "443"
		}
		t.dial.TLS = &tls.Config{InsecureSkipVerify: true, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}}
	default:
		return nil, fmt.Errorf("%s: write ws:// or wss://", raw)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, err
	}
	t.dial.Addr, err = netip.ParseAddrPort(net.JoinHostPort(ips[0].Unmap().String(), port))
	return t, err
}

// job is what a client does once it is connected. Its methods are called on
// the client's loop.
type job interface {
	opened(c *client)
	// message is a whole message's size, and its first bytes: all of them, or
	// as many as the client keeps. They are valid during the call. now is when
	// its last byte was read, in nanoseconds since 1970.
	message(c *client, p []byte, size int, now int64)
	// ended tells that the client is gone. err is nil if it left in good
	// order.
	ended(c *client, err error)
}

// client is one WebSocket client on a loop.
type client struct {
	conn    loop.Conn
	in      ws.Parser
	job     job
	target  *target
	key     string
	offer   handshake.Offer
	began   time.Duration
	open    bool
	closing bool
	packed  bool   // the message under way is compressed
	keep    int    // bytes of a message that its job wants to see if it comes in pieces; 0: keepHead
	part    []byte // the message under way begins so
	size    int    // and has had so many bytes
	scratch []byte
}

// What a client keeps of a message that comes in pieces, and what it may hold
// on to when it is idle. In bytes.
const (
	keepHead = 16
	idlePart = 4 << 10
)

var (
	errRefused  = errors.New("the server refused the upgrade")
	errTakeover = errors.New("the server may refer to earlier messages in compressed ones, which it was asked not to")
)

// deflateOffer is for clients that inflate. Thousands of them can't have a
// window each.
const deflateOffer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// Run dials; it is a loop.Task.
func (c *client) Run(l *loop.Loop) {
	var random [16]byte
	rand.Read(random[:])
	c.key = handshake.NewKey(random)
	c.began = l.Now()
	head := c.offer.AppendRequest(nil, &handshake.Forward{
		Target: c.target.url.RequestURI(), Host: c.target.url.Host, Key: c.key, Header: handshake.Header{},
	})
	l.Dial(&c.conn, c, &c.target.dial, head)
}

// Data reads the answer, then frames.
func (c *client) Data(_ *loop.Conn, p []byte) int {
	if c.open {
		return c.frames(p)
	}
	n, err := handshake.HeadEnd(p)
	if err == nil && n == 0 {
		return 0
	}
	if err == nil {
		err = c.accept(p[:n])
	}
	if errors.Is(err, handshake.ErrNot101) {
		status, _ := handshake.Status(p)
		err = fmt.Errorf("%w with %d", errRefused, status)
	}
	if err != nil {
		c.fail(err)
		return len(p)
	}
	c.open = true
	c.job.opened(c)
	return n + c.frames(p[n:])
}

// accept judges the head of the server's answer.
func (c *client) accept(head []byte) error {
	a, err := c.offer.Accept(head, c.key)
	if err != nil {
		return err
	}
	c.in.Deflate = a.Deflate
	if a.Deflate && !strings.Contains(strings.ToLower(a.Extensions), "server_no_context_takeover") {
		return errTakeover
	}
	return nil
}

func (c *client) frames(p []byte) int {
	now := time.Now().UnixNano()
	at := 0
	for at < len(p) && c.conn.Live() {
		piece, err := c.in.Next(p[at:])
		if err != nil {
			c.fail(err)
			return len(p)
		}
		switch piece.Kind {
		case ws.More:
			return at
		case ws.Data:
			if piece.Start && c.in.Header.Opcode != ws.Continuation {
				c.packed = c.in.Header.RSV != 0
			}
			c.data(p[at+piece.Head:at+piece.N], piece.End && c.in.MessageEnd(), now)
		case ws.Control:
			c.control(p[at+piece.Head : at+piece.N])
		}
		at += piece.N
	}
	return at
}

// data takes a piece of a message; the last one ends it.
func (c *client) data(p []byte, last bool, now int64) {
	if last && c.size == 0 { // Fast path: a message in one piece is not copied.
		c.job.message(c, p, len(p), now)
		return
	}
	if room := max(c.keep, keepHead) - len(c.part); room > 0 {
		c.part = append(c.part, p[:min(room, len(p))]...)
	}
	c.size += len(p)
	if !last {
		return
	}
	part, size := c.part, c.size
	c.part, c.size = part[:0], 0
	if cap(part) > idlePart {
		c.part = nil
	}
	c.job.message(c, part, size, now)
}

func (c *client) control(payload []byte) {
	switch c.in.Header.Opcode {
	case ws.Ping:
		c.write(ws.Header{Fin: true, Opcode: ws.Pong}, payload)
	case ws.CloseFrame:
		code, _, _ := ws.ParseClose(payload)
		if c.closing {
			c.leave()
			return
		}
		c.fail(fmt.Errorf("closed by the server with %d", code))
	}
}

// write sends one masked frame.
func (c *client) write(h ws.Header, payload []byte) {
	h.Masked, h.Key = true, c.conn.Loop().MaskKey()
	c.scratch = ws.AppendFrame(c.scratch[:0], h, payload)
	c.conn.Write(c.scratch)
}

// greet sends what a server wants to hear first.
func (c *client) greet(texts []string) {
	for _, text := range texts {
		c.write(ws.Header{Fin: true, Opcode: ws.Text}, []byte(text))
	}
}

// close begins a closing handshake.
func (c *client) close() {
	if c.closing || !c.conn.Live() {
		return
	}
	c.closing = true
	c.write(ws.Header{Fin: true, Opcode: ws.CloseFrame}, []byte{3, 232})
}

func (c *client) leave() {
	if c.conn.Live() {
		c.conn.Close()
		c.job.ended(c, nil)
	}
}

func (c *client) fail(err error) {
	if c.conn.Live() {
		c.conn.Abort()
		c.job.ended(c, err)
	}
}

// EOF is the server's end.
func (c *client) EOF(*loop.Conn) {
	if c.closing {
		c.leave()
		return
	}
	c.fail(errors.New("the server hung up"))
}

// Drained is of no interest: a client's output is bounded by its job.
func (c *client) Drained(*loop.Conn) {}

// Failed is a connection that broke, or was never made.
func (c *client) Failed(_ *loop.Conn, err error) {
	c.job.ended(c, fmt.Errorf("%s: %w", c.target.url.Host, err))
}
