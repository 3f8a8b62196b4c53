//go:build !race

package load_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

var stormBinary = flag.String("storm.binary", "", "a sluice to run beside the test instead of one in its process, so that more clients have descriptors and its CPU is told (Linux)")

// stormed is the Sluice that a storm comes to.
type stormed struct {
	addresses []net.Addr
	admin     net.Addr
	stop      func(*testing.T)
	pid       int // 0: this process
}

func startStormed(t *testing.T, upstreams string) *stormed {
	t.Helper()
	listen := strings.TrimSuffix(strings.Repeat(`"127.0.0.1:0", `, places), ", ")
	yaml := "listen: [" + listen + "]\nadmin: {address: \"127.0.0.1:0\"}\ndrain: 0s\n" +
		"log: {sessions: none}\nlimits: {handshakes_per_second: " + strconv.Itoa(*stormRate) + "}\n" +
		"routes: [{name: r, timeouts: {ping: 0s}, balance: {upstreams: " + upstreams + ", health: {probe: none}}}]\n"
	if *stormBinary != "" {
		return startChild(t, yaml)
	}
	a := testkit.Start(t, testkit.Raw, yaml)
	return &stormed{addresses: a.Addresses(), admin: a.AdminAddress(), stop: func(*testing.T) { a.Stop() }}
}

// startChild runs the binary, and learns its addresses from its log.
func startChild(t *testing.T, yaml string) *stormed {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(*stormBinary, "run", "-c", file)
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &stormed{pid: cmd.Process.Pid}
	drained := make(chan struct{})
	p.stop = func(t *testing.T) {
		_ = cmd.Process.Signal(os.Interrupt)
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v", *stormBinary, err)
		}
	}
	lines := bufio.NewScanner(log)
	for (p.admin == nil || len(p.addresses) < places) && lines.Scan() {
		p.learn(lines.Text())
	}
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, log)
	}()
	if p.admin == nil || len(p.addresses) < places {
		p.stop(t)
		t.Fatal("its log names no addresses")
	}
	return p
}

// learn reads a line of the log.
func (p *stormed) learn(line string) {
	_, address, _ := strings.Cut(line, "address=")
	address, _, _ = strings.Cut(address, " ")
	a, err := net.ResolveTCPAddr("tcp", address)
	switch {
	case err != nil || address == "":
	case strings.Contains(line, "msg=listening"):
		p.addresses = append(p.addresses, a)
	case strings.Contains(line, "msg=admin"):
		p.admin = a
	}
}

// cpu is what the Sluice has taken; 0 where that can't be told from the test.
func (p *stormed) cpu(t *testing.T) time.Duration {
	if p.pid == 0 {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var ticks [2]int // proc(5): utime and stime
	fields := strings.Fields(rest)
	for k := range ticks {
		ticks[k], _ = strconv.Atoi(fields[11+k])
	}
	return time.Duration(ticks[0]+ticks[1]) * 10 * time.Millisecond
}
