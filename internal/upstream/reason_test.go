package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// dialError wraps an errno as the net package does.
func dialError(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
}

func TestReason(t *testing.T) {
	for _, c := range []struct {
		err   error
		want  string
		local bool
	}{
		{err: dialError(syscall.EADDRNOTAVAIL), want: "ephemeral_ports", local: true},
		{err: dialError(syscall.EADDRINUSE), want: "ephemeral_ports", local: true},
		{err: dialError(syscall.EMFILE), want: "open_files", local: true},
		{err: dialError(syscall.ENFILE), want: "open_files", local: true},
		{err: dialError(syscall.ECONNREFUSED), want: "refused"},
		{err: dialError(syscall.ENOENT), want: "refused"}, // a Unix socket that is not there
		{err: dialError(syscall.ETIMEDOUT), want: "timeout"},
		{err: os.ErrDeadlineExceeded, want: "timeout"},
		{err: context.DeadlineExceeded, want: "timeout"},
		{err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}, want: "timeout"},
		{err: dialError(syscall.ECONNRESET), want: "reset"},
		{err: dialError(syscall.EPIPE), want: "reset"},
		{err: ErrHungUp, want: "hung_up"},
		{err: io.EOF, want: "hung_up"},
		{err: fmt.Errorf("read: %w", io.EOF), want: "hung_up"},
		{err: dialError(syscall.EHOSTUNREACH), want: "unreachable"},
		{err: dialError(syscall.ENETUNREACH), want: "unreachable"},
		{err: errors.Join(loop.ErrTLS, errors.New("certificate signed by unknown authority")), want: "tls"},
		{err: errors.Join(loop.ErrTLS, io.EOF), want: "tls"},
		{err: &net.DNSError{Err: "no such host", IsNotFound: true}, want: "other"},
		{err: errors.New("connection refused"), want: "other"}, // text is never matched
		{err: nil, want: "other"},
	} {
		if got := Reason(c.err); got != c.want {
			t.Errorf("%v: the reason is %s, want %s", c.err, got, c.want)
		}
		if got := localFault(c.err); got != c.local {
			t.Errorf("%v: our own fault is %v, want %v", c.err, got, c.local)
		}
	}
}
