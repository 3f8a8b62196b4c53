package conformance

import "syscall"

// A child gets a process group of its own, which goes with this process even
// if the test run is killed.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
