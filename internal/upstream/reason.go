package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/sluice-proxy/sluice/internal/loop"
)

// The reasons for which an instance is not reached, as metrics and logs name
// them.
const (
	ReasonEphemeralPorts = "ephemeral_ports" // every source port towards the instance is in use
	ReasonFiles          = "open_files"
	ReasonRefused        = "refused"
	ReasonTimeout        = "timeout"
	ReasonReset          = "reset"
	ReasonHungUp         = "hung_up"
	ReasonUnreachable    = "unreachable"
	ReasonTLS            = "tls"
	ReasonOther          = "other"
)

// Why an instance was not reached, where that is not an error of the system's.
var (
	// ErrHungUp is the end of a connection before its answer was whole.
	ErrHungUp        = errors.New("hung up before its answer was whole")
	ErrDialTimeout   = fmt.Errorf("no connection in time: %w", os.ErrDeadlineExceeded)
	ErrAnswerTimeout = fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)
	// ErrGone is an instance that is not to be asked any more; it says nothing
	// of its health.
	ErrGone = errors.New("the instance went down or was removed")
)

// Reason names err.
func Reason(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EADDRINUSE):
		return ReasonEphemeralPorts
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return ReasonFiles
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return ReasonRefused
	case errors.Is(err, loop.ErrTLS):
		return ReasonTLS
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return ReasonTimeout
	case loop.IsReset(err):
		return ReasonReset
	case errors.Is(err, ErrHungUp), errors.Is(err, io.EOF):
		return ReasonHungUp
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return ReasonUnreachable
	case errors.As(err, &ne) && ne.Timeout():
		return ReasonTimeout
	}
	return ReasonOther
}

// localFault tells whether err is this machine's own, and says nothing about
// the instance.
func localFault(err error) bool {
	r := Reason(err)
	return r == ReasonEphemeralPorts || r == ReasonFiles
}
