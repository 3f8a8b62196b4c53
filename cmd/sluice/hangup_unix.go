//go:build unix

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// hangups gives a SIGHUP each, until done is called.
func hangups() (c chan os.Signal, done func()) {
	c = make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, sync.OnceFunc(func() {
		signal.Stop(c)
		close(c)
	})
}
