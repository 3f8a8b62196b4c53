package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pieces is a connection whose bytes come cut, and then end.
type pieces struct {
	net.Conn // nil: nothing else may be asked of it
	left     []byte
	sizes    []byte // of the pieces, in turn; then all that is left
	peer     net.Addr
}

func (c *pieces) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := len(c.left)
	if len(c.sizes) > 0 {
		n, c.sizes = min(n, 1+int(c.sizes[0])), c.sizes[1:]
	}
	n = copy(p, c.left[:n])
	c.left = c.left[n:]
	return n, nil
}

func (c *pieces) RemoteAddr() net.Addr { return c.peer }

func (c *pieces) SetReadDeadline(time.Time) error { return nil }

// arrival is what net/http gets of a connection.
type arrival struct {
	from  string
	bytes []byte
	err   error
}

// arrive has a connection of these bytes, in pieces of these sizes, come in.
func arrive(stream, sizes []byte, trusted bool) (a arrival) {
	peer := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	c := &conn{Conn: &pieces{left: stream, sizes: sizes, peer: peer}}
	peers := &proxyPeers{}
	if trusted {
		peers.trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}
	if peers.trusts(peer) {
		c.proxy = newProxyHeader(c.Conn)
	}
	a.from = c.RemoteAddr().String() // as net/http does, first
	a.bytes, a.err = io.ReadAll(c)
	return a
}

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// lineOf is a header of version 1, by another way of reading. The library takes
// more than the specification allows, from those who are trusted: letters behind
// PROXY, more fields behind the last, a port with a sign.
var lineOf = regexp.MustCompile(`^PROXY[^ \n]* (?:(TCP4|TCP6) ([^ \n]+) ([^ \n]+) ([^ \n]+) ([^ \n]+)(?: [^\n]*)?|UNKNOWN(?: [^\n]*)?)\r\n`)

// behind reads a header in a way of its own: what lies behind it, and the source
// that it names, "" for none. ok is false where it is not sure that there is a
// good header.
func behind(stream []byte) (rest []byte, source string, ok bool) {
	if m := lineOf.FindSubmatch(stream); m != nil {
		if rest = stream[len(m[0]):]; len(m[1]) == 0 {
			return rest, "", true
		}
		ip, err := netip.ParseAddr(string(m[2]))
		port, perr := strconv.Atoi(string(m[4]))
		if err != nil || perr != nil {
			return nil, "", false
		}
		return rest, (&net.TCPAddr{IP: ip.AsSlice(), Port: port}).String(), true
	}
	if len(stream) < 16 || !bytes.HasPrefix(stream, signature) {
		return nil, "", false
	}
	end := 16 + int(binary.BigEndian.Uint16(stream[14:]))
	if len(stream) < end {
		return nil, "", false
	}
	rest = stream[end:]
	if stream[12] == 0x20 { // LOCAL: the peer speaks for itself
		return rest, "", true
	}
	switch a := stream[16:end]; {
	case stream[13] == 0x11 && len(a) >= 12:
		return rest, (&net.TCPAddr{IP: a[:4], Port: int(binary.BigEndian.Uint16(a[8:]))}).String(), true
	case stream[13] == 0x21 && len(a) >= 36:
		return rest, (&net.TCPAddr{IP: a[:16], Port: int(binary.BigEndian.Uint16(a[32:]))}).String(), true
	}
	return rest, "?", true // of other families the address is not looked at
}

// FuzzProxyHeader: whatever comes, and however it is cut, net/http gets exactly
// the bytes behind a good header or an error and not one byte; and the source is
// the header's where the peer is trusted, else the peer. From others every byte
// is the client's own.
func FuzzProxyHeader(f *testing.F) {
	v2 := string(signature)
	for _, s := range []string{
		"PROXY TCP4 198.51.100.7 203.0.113.1 51000 443\r\nGET / HTTP/1.1\r\n\r\n",
		"PROXY TCP6 2001:db8::7 2001:db8::1 51000 443\r\nGET / HTTP/1.1\r\n\r\n",
		"PROXY UNKNOWN\r\nGET /", "PROXY UNKNOWN " + strings.Repeat("f", 90) + "\r\nGET /", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\nGET /",
		"PROXY TCP4 198.51.100.7 203.0.113.1 51000 443\nGET /", "PROXY TCP4 198.51.100.7 203.0.113.1 65536 443\r\nGET /", "PROXY TCP4 ::1 ::1 1 1\r\n",
		"PROXY TCP4 198.51.100.7 203.0.113.1 51000 443 more\r\nGET /", "PROXY TCP4 198.51.100.7 203.0.113.1 +1 443\r\nGET /", "PROXY", "P", "POST / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "",
		"PROXY TCP4 198.51.100.7 203.0.113.1 51000 443\r\nPROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\nGET /",
		v2 + "\x21\x11\x00\x0c\xc6\x33\x64\x07\xcb\x00\x71\x01\xc7\x38\x01\xbbGET / HTTP/1.1\r\n\r\n",
		v2 + "\x21\x11\x00\x10\xc6\x33\x64\x07\xcb\x00\x71\x01\xc7\x38\x01\xbb\x04\x00\x01\x00GET / HTTP/1.1\r\n\r\n",
		v2 + "\x21\x21\x00\x24\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc7\x38\x01\xbbGET /",
		v2 + "\x20\x00\x00\x00GET /", v2 + "\x20\x00\x00\x07\x04\x00\x04\x01\x02\x03\x04GET /", v2 + "\x21\x31\x00\xd8" + strings.Repeat("a", 216) + "GET /",
		v2 + "\x21\x12\x00\x0c\xc6\x33\x64\x07\xcb\x00\x71\x01\xc7\x38\x01\xbbGET /", v2 + "\x21\x11\xff\xff", v2 + "\x21\x11\x00\x0b", v2 + "\x31\x11\x00\x00", v2,
		v2 + "\x20\x11\x00\x0c\xc6\x33\x64\x07\xcb\x00\x71\x01\xc7\x38\x01\xbbGET /",
	} {
		f.Add([]byte(s), []byte{0, 4, 11}, true)
		f.Add([]byte(s), []byte{}, false)
	}
	f.Fuzz(func(t *testing.T, stream, sizes []byte, trusted bool) {
		got := arrive(stream, sizes, trusted)
		if !trusted {
			if got.from != "192.0.2.1:1" || got.err != nil || !bytes.Equal(got.bytes, stream) {
				t.Fatalf("from a peer that nobody trusts: %s, %q, %v", got.from, got.bytes, got.err)
			}
			return
		}
		for _, cut := range [][]byte{nil, make([]byte, len(stream))} { // in one piece, byte by byte
			same := arrive(stream, cut, true)
			if same.from != got.from || !bytes.Equal(same.bytes, got.bytes) || (same.err == nil) != (got.err == nil) {
				t.Fatalf("%q in pieces of %v gives %s, %q, %v, and cut another way %s, %q, %v",
					stream, sizes, got.from, got.bytes, got.err, same.from, same.bytes, same.err)
			}
		}
		if got.err != nil {
			if len(got.bytes) > 0 || got.from != "192.0.2.1:1" || errors.Is(got.err, io.ErrNoProgress) {
				t.Fatalf("refused, with %q from %s: %v", got.bytes, got.from, got.err)
			}
			return
		}
		rest, source, ok := behind(stream)
		if source == "" {
			source = "192.0.2.1:1"
		}
		if !ok || !bytes.Equal(rest, got.bytes) || source != "?" && source != got.from {
			t.Fatalf("%q is taken as from %s with %q, want %v, %s, %q", stream, got.from, got.bytes, ok, source, rest)
		}
	})
}
