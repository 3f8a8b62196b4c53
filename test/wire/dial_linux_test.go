package wire_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// fullBacklog gives the address of a listener that takes no connection any
// more: dials to it hang.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c) })
		if err := unix.Connect(c, sa); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
}

// A dial that nobody answers makes a 504, or another instance's session.
func TestDialTimeout(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		hole := fullBacklog(t)
		t.Run("alone", func(t *testing.T) {
			a := testkit.Start(t, tr, testkit.Config{Upstreams: []string{"ws://" + hole}, Timeouts: "dial: 200ms"}.String())
			began := time.Now()
			client := a.Dial(t)
			client.SendString(good + "\r\n")
			if h, _ := client.WantRefusal("the client is told", 504); h.Get("Retry-After") == "" {
				t.Errorf("and when to come again: got %q", h.Raw)
			}
			if took := time.Since(began); took < 190*time.Millisecond {
				t.Errorf("the dial had its time: %v", took)
			}
		})
		t.Run("beside another", func(t *testing.T) {
			b := start(t, tr, testkit.Config{Upstreams: []string{"ws://" + hole}, Timeouts: "dial: 200ms", Balance: "policy: round_robin"})
			for range 3 {
				client, leg := b.open(t)
				client.Send(testkit.Text("x"))
				leg.Want("the other instance is used", testkit.Text("x"))
			}
		})
	})
}
