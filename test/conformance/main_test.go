package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Set once by TestMain, then read-only.
var (
	full    = os.Getenv("CONFORMANCE") == "full"
	proxied = os.Getenv("CONFORMANCE_PROXY") != "none"
	inCI    = os.Getenv("CI") == "true"

	scratch string // a folder that goes with the run
	binary  string // the proxy
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "sluice-conformance-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	defer stopAll()
	if proxied {
		if err := buildProxy(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	defer conclude()
	return m.Run()
}

func buildProxy() error {
	if binary = os.Getenv("CONFORMANCE_BINARY"); binary != "" {
		return nil
	}
	binary = filepath.Join(scratch, "sluice")
	args := append([]string{"build"}, strings.Fields(os.Getenv("CONFORMANCE_BUILD"))...)
	cmd := exec.Command("go", append(args, "-o", binary, "../../cmd/sluice")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the proxy: %w\n%s", err, out)
	}
	return nil
}
