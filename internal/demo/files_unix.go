//go:build unix

package demo

import "golang.org/x/sys/unix"

// openFiles is how many descriptors the process may have.
func openFiles() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 1024
	}
	return int(min(r.Cur, 1<<24))
}
