package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests that the library websockets has of its own clients and servers.
// Their servers stand behind the proxy and their clients dial it.
func TestWebsocketsSuite(t *testing.T) {
	t.Parallel()
	folder := need(t, websocketsSource)
	need(t, python3)
	base := suiteOutcomes(t, folder)
	found := map[string]bool{}
	for _, transport := range ways(raw) {
		if transport.tls || transport.direct {
			continue // the suite has tests with TLS among the others
		}
		t.Run(transport.String(), func(t *testing.T) {
			ports := frontSuite(t, transport, filepath.Join(folder, "tests", "test_localhost.pem"))
			got := suiteOutcomes(t, folder, ports...)
			if stalled(got, base) {
				again := suiteOutcomes(t, folder, ports...)
				maps.DeleteFunc(again, func(name string, o testOutcome) bool { return o.Outcome != "passed" || !late(got[name]) })
				maps.Copy(got, again)
			}
			if n := proxiedOf(got); n < fewestProxied {
				t.Errorf("only %d tests went through the proxy", n)
			}
			c := compareOutcomes(t, got, base, found)
			c.suite, c.way = "Python websockets' own tests", transport
			c.tell(t)
		})
	}
	inSuite.judge(t, found)
}

// A testOutcome is that of one test of the suite: passed, failed, error or
// skipped.
type testOutcome struct {
	Test, Outcome, Why string
	Proxied            bool // a client dialled the proxy
}

// fewestProxied is how many of the suite's tests dial the proxy at the least:
// what is not there took another way around it.
const fewestProxied = 250

func suiteOutcomes(t *testing.T, folder string, ports ...string) map[string]testOutcome {
	t.Helper()
	cmd := exec.Command(need(t, python3), slices.Concat([]string{"-W", "ignore", "python/suite.py", folder}, ports)...)
	cmd.Env = append(os.Environ(), "WEBSOCKETS_TESTS_TIMEOUT_FACTOR=50") // its unit is then 50 ms
	p := mustStart(t, "the suite", cmd, nil)
	outcomes := map[string]testOutcome{}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		line, err := p.line(time.Until(deadline))
		if err != nil {
			break // it has ended
		}
		var o testOutcome
		if json.Unmarshal([]byte(line), &o) == nil && o.Test != "" {
			outcomes[o.Test] = o
		}
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("the suite does not end: %s", p.log)
	}
	if len(outcomes) < 200 {
		t.Fatalf("only %d tests were run: %s", len(outcomes), p.log)
	}
	return outcomes
}

// frontSuite starts a proxy in front of the port that the suite's servers will
// listen on, and one with TLS on both its sides. It gives the suite its ports.
func frontSuite(t *testing.T, w way, pem string) []string {
	t.Helper()
	var ports []string
	for _, secure := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0") // a port that was free a moment ago
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		listen, upstream := `"127.0.0.1:0"`, fmt.Sprintf(`{url: "ws://127.0.0.1:%s"}`, port)
		if secure {
			listen = fmt.Sprintf(`[{address: "127.0.0.1:0", tls: {cert: %q, key: %[1]q}}]`, pem)
			upstream = fmt.Sprintf(`{url: "wss://127.0.0.1:%s", tls: {ca: %q, server_name: localhost}}`, port, pem)
		}
		text := fmt.Sprintf("version: 1\nlisten: %s\nadmin: off\nroutes:\n  - balance: {upstreams: [%s], health: {probe: none}}\n", listen, upstream)
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		address, _ := launch(t, "run", "-c", file, "--transport", w.transport)
		_, front, _ := strings.Cut(address, ":")
		ports = append(ports, port, front)
	}
	return ports
}

func proxiedOf(outcomes map[string]testOutcome) (n int) {
	for _, o := range outcomes {
		if o.Proxied {
			n++
		}
	}
	return n
}

// stalled tells whether tests that pass without the proxy ran out of time with it.
// Their clocks are of tenths of a second: on a busy machine some do now and
// then, others each time. So they are played once more.
func stalled(got, base map[string]testOutcome) bool {
	for name, o := range got {
		if late(o) && base[name].Outcome == "passed" && inSuite[name] == "" {
			return true
		}
	}
	return false
}

func late(o testOutcome) bool {
	return o.Outcome != "passed" && strings.Contains(o.Why, "timed out")
}

// compareOutcomes fails the test for each of the suite's that does not end as
// in base and is not among the differences. Those that are it adds to found.
func compareOutcomes(t *testing.T, got, base map[string]testOutcome, found map[string]bool) comparison {
	c := comparison{cases: len(base)}
	for _, name := range slices.Sorted(maps.Keys(base)) {
		switch {
		case base[name].Outcome == "skipped":
			c.cases-- // for what it lacks
		case got[name].Outcome == base[name].Outcome, got[name].Outcome == "passed": // a machine that stalls fails either
			c.equal++
		case inSuite[name] != "":
			found[name] = true
			c.differ(name, inSuite[name])
		default:
			c.differ(name, "unexplained")
			t.Errorf("%s: %s %s; without the proxy: %s", name, got[name].Outcome, got[name].Why, base[name].Outcome)
		}
	}
	return c
}

const (
	badAnswer = "the instance's answer breaks the rules of the handshake, or there is none: the proxy's client gets 502, not the answer"
	noClose   = "the instance breaks the connection without a close: the proxy's client is told 1012, not left with 1006"
	goesAway  = "the instance closes with 1001 (failover.codes): the proxy's client is told 1012"
	unknown   = "an extension that the proxy does not know, which it can't let pass, because it judges frames"
	address   = "the test compares addresses or headers of the two sides, and the proxy's are others"
)

// Those of legacy.test_client_server run plain and, as SecureClientServerTests,
// with TLS.
var inSuite = reasoned(badAnswer,
	"asyncio.test_client.ClientTests.test_connection_closed_during_handshake",
	"asyncio.test_client.ClientTests.test_handshake_fails",
	"sync.test_client.ClientTests.test_connection_closed_during_handshake",
	"sync.test_client.ClientTests.test_handshake_fails",
).with(bothWays(badAnswer, "test_extensions_error", "test_subprotocol_error")).
	with(bothWays(unknown, "test_extension", "test_extension_client_rejection", "test_extension_order")).
	with(bothWays(address, "test_protocol_deprecated_attributes", "test_protocol_headers")).
	with(bothWays(goesAway, "test_server_shuts_down_during_connection_handling")).
	with(reasoned(goesAway,
		"asyncio.test_server.ServerTests.test_close_server_closes_open_connections",
		"legacy.test_client_server.AsyncIteratorTests.test_iterate_on_messages_going_away_exit_ok",
	)).
	with(bothWays(byTiming+noClose, "test_connection_error_during_closing_handshake", "test_server_close_crashes")).
	with(bothWays(byTiming+"the test asks the server's end for its close code when the client has ended, and there is a hop in between",
		"test_server_shuts_down_gracefully_during_connection_handling", "test_server_shuts_down_and_waits_until_handlers_terminate")).
	with(differences{
		"asyncio.test_server.ServerTests.test_close_server_keeps_handlers_running": byTiming + "the server closes right after the client has sent a message, which through a proxy may not have come yet",

		"legacy.test_client_server.ReconnectionTests.test_reconnect": byTiming + "the order of the server's log lines: the client has its close, and comes back, before the instance's connection has ended",
	})

func bothWays(reason string, tests ...string) differences {
	d := differences{}
	for _, name := range tests {
		d["legacy.test_client_server.ClientServerTests."+name] = reason
		d["legacy.test_client_server.SecureClientServerTests."+name] = reason
	}
	return d
}
