package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuOf gives the processor time that the processes have used, threads that
// have ended included.
func cpuOf(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		var ns uint64
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil || len(tasks) == 0 {
			return 0, fmt.Errorf("no process %d", pid)
		}
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err != nil {
				continue // the thread has just ended
			}
			first, _, _ := strings.Cut(string(b), " ")
			n, err := strconv.ParseUint(first, 10, 64)
			if err != nil {
				return 0, err
			}
			ns += n
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// residentOf gives the resident memory of the processes, in bytes.
func residentOf(pids []int) (uint64, error) {
	var sum uint64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0, err
		}
		f := strings.Fields(string(b))
		if len(f) < 2 {
			return 0, fmt.Errorf("/proc/%d/statm: too short", pid)
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n * uint64(os.Getpagesize())
	}
	return sum, nil
}
