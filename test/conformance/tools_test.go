package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A tool is software that setup.sh brings: where it is, or why it isn't there.
type tool struct {
	name string
	find func() (path, lack string)
}

var (
	python3  = &tool{"Python websockets", sync.OnceValues(findPython3)}
	autobahn = &tool{"Autobahn", sync.OnceValues(findAutobahn)}
	node     = &tool{"Node", sync.OnceValues(findNode)}
	chromium = &tool{"Chromium", sync.OnceValues(findChromium)}
	curl     = &tool{"curl", sync.OnceValues(findCurl)}

	websocketsSource = &tool{"source of Python websockets", sync.OnceValues(findWebsocketsSource)}
)

// need gives the tool's path. Without it the test can't tell anything: it
// skips, or fails where CI=true, because there nothing may be skipped.
func need(t *testing.T, tool *tool) string {
	t.Helper()
	path, lack := tool.find()
	switch {
	case lack == "":
		return path
	case inCI:
		t.Fatalf("no %s: %s (test/conformance/setup.sh installs it)", tool.name, lack)
	default:
		t.Skipf("no %s: %s (test/conformance/setup.sh installs it)", tool.name, lack)
	}
	return ""
}

func toolsFolder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", ".tools")
}

func findPython3() (string, string) {
	path := filepath.Join(toolsFolder(), "python3", "bin", "python")
	if _, err := os.Stat(filepath.Join(toolsFolder(), "python3", ".stamp")); err != nil {
		return "", "it isn't installed in .tools/python3"
	}
	return path, ""
}

// findWebsocketsSource gives the folder with its tests.
func findWebsocketsSource() (string, string) {
	path := filepath.Join(toolsFolder(), "websockets-source")
	if _, err := os.Stat(filepath.Join(path, ".stamp")); err != nil {
		return "", "it isn't unpacked in .tools/websockets-source"
	}
	return path, ""
}

// findAutobahn gives the Python 2.7 that runs it.
func findAutobahn() (string, string) {
	path, err := os.ReadFile(filepath.Join(toolsFolder(), "autobahn", ".python"))
	if err != nil {
		return "", "it isn't installed in .tools/autobahn"
	}
	return strings.TrimSpace(string(path)), ""
}

func findNode() (string, string) {
	path, err := exec.LookPath("node")
	if err != nil {
		return "", "node isn't on PATH"
	}
	if _, err := os.Stat(filepath.Join(toolsFolder(), "node", ".stamp")); err != nil {
		return "", "its packages aren't installed in .tools/node"
	}
	return path, ""
}

func findChromium() (string, string) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, ""
		}
	}
	return "", "no chromium on PATH"
}

func findCurl() (string, string) {
	path, err := exec.LookPath("curl")
	if err != nil {
		return "", "no curl on PATH"
	}
	return path, ""
}
