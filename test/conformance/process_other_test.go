//go:build !linux

package conformance

import "syscall"

// A child gets a process group of its own.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
