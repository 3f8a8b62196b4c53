package faults_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// hop is a connection through a link, both ends played by the test.
type hop struct {
	t         *testing.T
	pass      *pass
	near, far *net.TCPConn
}

// through opens a connection through a link of its own. server says which end
// stands for the proxy.
func through(t *testing.T, s script, narrow, server bool) *hop {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := &hop{t: t, pass: newPass(s, nil)}
	k := (&link{target: l.Addr().String(), narrow: narrow, server: server, choose: func(string) *pass { return h.pass }}).open(t)
	near, err := net.Dial("tcp", k.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h.near = near.(*net.TCPConn)
	_, _ = near.Write([]byte("hello\n"))
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h.far = far.(*net.TCPConn)
	t.Cleanup(func() {
		h.near.Close()
		h.far.Close()
		h.pass.release()
		k.close()
	})
	return h
}

// want reads to the end and compares what came and how it ended.
func (h *hop) want(sentence string, c net.Conn, text string, end error) {
	h.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c)
	if err == nil {
		err = io.EOF
	}
	if string(got) != text || !errors.Is(err, end) {
		h.t.Errorf("%s: got %.40q (%d bytes) and %v, want %.40q (%d bytes) and %v", sentence, got, len(got), err, text, len(text), end)
	}
}

// wantNothing sees that nothing arrives for a moment, not even an end.
func (h *hop) wantNothing(sentence string, c net.Conn) {
	h.t.Helper()
	var one [1]byte
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(one[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		h.t.Errorf("%s: %d bytes and %v", sentence, n, err)
	}
}

func struckAt(b blow, way, at int) script {
	s := clear
	s.blow, s.way, s.at = b, way, at
	return s
}

func TestLinkPassesAllOn(t *testing.T) {
	text := make([]byte, 200<<10)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	scripts := map[string]script{"clear": clear, "slow": {ways: [2]flow{
		{bytewise: 3000, most: 32 << 10, waits: []wait{{0, time.Millisecond}, {10, 20 * time.Millisecond}}}, {most: 700, waits: []wait{{5000, time.Millisecond}}}}}}
	for name, s := range scripts {
		for _, narrow := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				h := through(t, s, narrow, true)
				go func() {
					_, _ = h.near.Write(text)
					_ = h.near.CloseWrite()
				}()
				h.want("all arrives there, and its end", h.far, "hello\n"+string(text), io.EOF)
				go func() {
					_, _ = h.far.Write(text)
					_ = h.far.CloseWrite()
				}()
				h.want("and back", h.near, string(text), io.EOF)
			})
		}
	}
}

func TestLinkNarrow(t *testing.T) {
	h := through(t, clear, true, true)
	_ = h.near.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := h.near.Write(bytes.Repeat([]byte{'x'}, 4<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n > 3<<20 {
		t.Errorf("of 4 MiB that nobody reads %d bytes are taken: %v", n, err)
	}
}

func TestLinkCuts(t *testing.T) {
	h := through(t, struckAt(cut, there, 4), false, true)
	h.want("four bytes, and FIN", h.far, "hell", io.EOF)
	h.want("FIN", h.near, "", io.EOF)
}

func TestLinkResets(t *testing.T) {
	h := through(t, struckAt(reset, back, 2), false, true)
	_, _ = h.far.Write([]byte("abc"))
	h.want("two bytes at most, and RST", h.near, "ab", syscall.ECONNRESET)
	h.want("RST", h.far, "hello\n", syscall.ECONNRESET)
}

func TestLinkHalfCloses(t *testing.T) {
	h := through(t, struckAt(halfClose, there, 3), false, true)
	h.want("three bytes, and FIN", h.far, "hel", io.EOF)
	_, _ = h.far.Write([]byte("abc"))
	_ = h.far.CloseWrite()
	h.want("the other way flows on", h.near, "abc", io.EOF)
}

func TestLinkVanishes(t *testing.T) {
	h := through(t, struckAt(vanish, there, 6), false, true)
	_, _ = io.ReadFull(h.far, make([]byte, len("hello\n")))
	<-h.pass.fallen
	_, _ = h.near.Write([]byte("lost"))
	_, _ = h.far.Write([]byte("lost"))
	h.wantNothing("nothing comes", h.near)
	h.near.Close()
	h.wantNothing("not even the end", h.far)
	h.pass.release()
	h.want("until it is released", h.far, "", syscall.ECONNRESET)
}

func TestLinkStalls(t *testing.T) {
	h := through(t, struckAt(stall, there, 6), false, true)
	_, _ = h.near.Write([]byte("later"))
	_ = h.near.CloseWrite()
	began := time.Now()
	h.want("all arrives", h.far, "hello\nlater", io.EOF)
	if d := time.Since(began); d < stalling/2 {
		t.Errorf("a stall took %v", d)
	}
}

// A reset of the proxy's is passed on behind what the proxy had sent; that of
// an end reaches the proxy as one.
func TestLinkPassesResetsOn(t *testing.T) {
	for name, server := range map[string]bool{"the proxy is dialled": true, "the proxy dials": false} {
		t.Run(name, func(t *testing.T) {
			h := through(t, clear, false, server)
			end, proxy := h.near, h.far
			if !server {
				end, proxy = proxy, end
			}
			_, _ = proxy.Write([]byte("the last word"))
			line := make([]byte, 6)
			_, _ = io.ReadFull(h.far, line)
			_ = proxy.SetLinger(0)
			proxy.Close()
			h.want("all that the proxy said", end, "the last word", io.EOF)

			h = through(t, clear, false, server)
			end, proxy = h.near, h.far
			if !server {
				end, proxy = proxy, end
			}
			_, _ = io.ReadFull(h.far, line)
			_ = end.SetLinger(0)
			end.Close()
			h.want("the proxy is reset", proxy, "", syscall.ECONNRESET)
		})
	}
}
