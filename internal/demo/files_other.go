//go:build !unix

package demo

// openFiles is how many connections the process may have; there is no limit on
// descriptors to read.
func openFiles() int { return 1 << 20 }
