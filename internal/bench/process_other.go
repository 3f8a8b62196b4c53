//go:build !linux

package bench

import (
	"errors"
	"time"
)

var errNoProc = errors.New("--pid works on Linux only")

func cpuOf([]int) (time.Duration, error) { return 0, errNoProc }

func residentOf([]int) (uint64, error) { return 0, errNoProc }
