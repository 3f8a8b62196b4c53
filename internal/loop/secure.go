package loop

import (
	"crypto/tls"
	"errors"
	"io"
)

// secure is TLS on the raw transport: crypto/tls between the loop's buffers
// and the handler. The handshake is over before a loop sees the connection.
type secure struct {
	conn *tls.Conn
	link *Link
}

// maxRecord is what a TLS record takes at the most, in bytes (RFC 8446,
// section 5.2): one may lie half decrypted between two reads.
const maxRecord = 16<<10 + 256 + 5

// takeSecure takes a TLS connection over whose bytes pass a Link around
// something that the raw transport can take. ok is false for any other.
func takeSecure(conn *tls.Conn) (t Taken, ok bool, err error) {
	k, isLink := conn.NetConn().(*Link)
	if !isLink {
		return Taken{}, false, nil
	}
	inner := k.Conn
	var unread []byte
	if w, ok := inner.(Wrapper); ok {
		inner, unread = w.Unwrap()
	}
	fd, ok, err := takeRaw(inner)
	if err != nil || !ok {
		return Taken{}, false, err
	}
	inner.Close()
	k.Conn, k.looped, k.in = nil, true, unread
	return Taken{fd: fd, secure: &secure{conn, k}}, true, nil
}

// write encrypts p and gives what is to be sent.
func (s *secure) write(l *Loop, p []byte) ([]byte, error) {
	s.link.out = l.cipherOut[:0]
	_, err := s.conn.Write(p)
	return s.sealed(l), err
}

// closeWrite gives the alert that ends this direction.
func (s *secure) closeWrite(l *Loop) []byte {
	s.link.out = l.cipherOut[:0]
	_ = s.conn.CloseWrite() // into memory
	return s.sealed(l)
}

func (s *secure) sealed(l *Loop) []byte {
	out := s.link.out
	l.cipherOut, s.link.out = out[:0], nil
	return out
}

// read decrypts what came into p, which has room for it all, and gives how
// many bytes it made. reply is ciphertext that TLS itself wants sent.
func (s *secure) read(l *Loop, cipher, p []byte) (n int, reply []byte, err error) {
	if len(s.link.in) > 0 { // left from before the loop
		cipher = append(s.link.in, cipher...)
	}
	s.link.in, s.link.out = cipher, l.cipherOut[:0]
	for err == nil {
		var k int
		k, err = s.conn.Read(p[n:])
		n += k
	}
	s.link.in = nil
	if errors.Is(err, errWouldBlock) {
		err = nil
	}
	return n, s.sealed(l), err
}

// ended tells whether err is the peer's orderly end.
func ended(err error) bool { return errors.Is(err, io.EOF) }
