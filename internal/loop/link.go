package loop

import (
	"net"
	"time"
)

// Link is a net.Conn for crypto/tls to run on. It reads and writes the
// connection inside, until a loop takes that and moves the bytes itself: so
// one TLS state serves the handshake, which blocks, and the loop, which must
// not. Before that it may be used as any net.Conn; afterwards by the loop
// alone.
type Link struct {
	net.Conn
	looped bool
	in     []byte // ciphertext read and not yet decrypted; the loop's buffer
	out    []byte // ciphertext not yet sent; the loop's buffer
}

// wouldBlock tells crypto/tls that a record is not whole yet. It is a
// temporary net.Error, after which a tls.Conn goes on where it was.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlock{}

// Read reads what the loop has brought.
func (k *Link) Read(p []byte) (int, error) {
	if !k.looped {
		return k.Conn.Read(p)
	}
	if len(k.in) == 0 {
		return 0, errWouldBlock
	}
	n := copy(p, k.in)
	k.in = k.in[n:]
	return n, nil
}

// Write leaves bytes for the loop to send.
func (k *Link) Write(p []byte) (int, error) {
	if !k.looped {
		return k.Conn.Write(p)
	}
	k.out = append(k.out, p...)
	return len(p), nil
}

// Close closes the connection inside, unless a loop has it.
func (k *Link) Close() error {
	if !k.looped {
		return k.Conn.Close()
	}
	return nil
}

// SetDeadline is for the connection inside; a loop keeps time by itself.
func (k *Link) SetDeadline(t time.Time) error {
	if !k.looped {
		return k.Conn.SetDeadline(t)
	}
	return nil
}

// SetReadDeadline is like SetDeadline.
func (k *Link) SetReadDeadline(t time.Time) error {
	if !k.looped {
		return k.Conn.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline is like SetDeadline.
func (k *Link) SetWriteDeadline(t time.Time) error {
	if !k.looped {
		return k.Conn.SetWriteDeadline(t)
	}
	return nil
}

// CloseWrite passes a half-close on.
func (k *Link) CloseWrite() error {
	if hc, ok := k.Conn.(interface{ CloseWrite() error }); ok && !k.looped {
		return hc.CloseWrite()
	}
	return nil
}

// SetLinger passes the setting on.
func (k *Link) SetLinger(sec int) error {
	if lc, ok := k.Conn.(interface{ SetLinger(int) error }); ok && !k.looped {
		return lc.SetLinger(sec)
	}
	return nil
}
