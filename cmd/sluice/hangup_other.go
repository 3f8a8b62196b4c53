//go:build !unix

package main

import (
	"os"
	"sync"
)

// hangups gives none: there is no SIGHUP here.
func hangups() (c chan os.Signal, done func()) {
	c = make(chan os.Signal)
	return c, sync.OnceFunc(func() { close(c) })
}
