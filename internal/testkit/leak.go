package testkit

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Level is how much of the process is in use.
type Level struct {
	goroutines int
	files      []string // by what they are, as far as that can be told
}

// Now takes the level.
func Now() Level {
	l := Level{goroutines: runtime.NumGoroutine()}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return l // not Linux
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			l.files = append(l.files, e.Name()+" "+to)
		}
	}
	slices.Sort(l.files)
	return l
}

// above tells what is in use beyond l; "" is nothing.
func (l Level) above() string {
	now := Now()
	if d := len(now.files) - len(l.files); d > 0 {
		return fmt.Sprintf("%d descriptors more than before; then %q, now %q", d, l.files, now.files)
	}
	if d := now.goroutines - l.goroutines; d > 0 {
		return fmt.Sprintf("%d goroutines more than before", d)
	}
	return ""
}

// WantBack waits until no more is in use than at l.
func (l Level) WantBack(t testing.TB, sentence string) {
	t.Helper()
	within(t, sentence, l.above)
}

// within asks again until what comes back is empty, or patience ends.
func within(t testing.TB, sentence string, wrong func() string) {
	t.Helper()
	if why := ask(wrong); why != "" {
		t.Fatalf("%s: %s\n%s", sentence, why, stacks())
	}
}

func ask(wrong func() string) string {
	late := time.After(patience)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		why := wrong()
		if why == "" {
			return ""
		}
		select {
		case <-again.C:
		case <-late:
			return why
		}
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// Main runs a package's tests and fails when they leave descriptors or
// goroutines behind.
func Main(m *testing.M) {
	before := Now()
	code := m.Run()
	if why := ask(before.above); why != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "the tests left something behind: %s\n%s\n", why, stacks())
		code = 1
	}
	os.Exit(code)
}
