//go:build linux

package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

// Others on the machine may use so much of it before a measurement and after.
const (
	quietShare  = 0.1
	quietSample = 300 * time.Millisecond
)

// quiet waits until the machine has little else to do, for as long as -quiet
// allows, and tells whether that came to be. None of ours runs meanwhile.
func (l *lab) quiet(ctx context.Context) bool {
	for end := time.Now().Add(l.opt.quiet); ; {
		if inUse(ctx, quietSample) <= quietShare {
			return true
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return false
		}
	}
}

// inUse is the part of all cores that was used over some time.
func inUse(ctx context.Context, d time.Duration) float64 {
	idle, all := ticks()
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	idleThen, allThen := ticks()
	if allThen <= all {
		return 0
	}
	return 1 - (idleThen-idle)/(allThen-all)
}

// ticks reads how long all cores together were idle, and have been up.
func ticks() (idle, all float64) {
	b, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(first) {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil || i > 8 { // the word cpu; guests are in user time already
			continue
		}
		all += n
		if i == 4 || i == 5 { // idle, waiting for a disk
			idle += n
		}
	}
	return idle, all
}
