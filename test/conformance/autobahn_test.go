package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A verdict is what Autobahn says of a case: how the messages went and how the
// connection ended.
type verdict struct {
	Behavior      string `json:"behavior"`
	BehaviorClose string `json:"behaviorClose"`
	Report        string `json:"reportfile"` // with the details
}

func (v verdict) String() string { return v.Behavior + ", close " + v.BehaviorClose }

// details gives what Autobahn says besides.
func (v verdict) details(reports string) string {
	text, err := os.ReadFile(filepath.Join(reports, v.Report))
	var d struct {
		Result            string `json:"result"`
		ResultClose       string `json:"resultClose"`
		Started           string `json:"started"`
		Duration          int    `json:"duration"` // ms
		RemoteCloseCode   int    `json:"remoteCloseCode"`
		RemoteCloseReason string `json:"remoteCloseReason"`
		WasNotCleanReason string `json:"wasNotCleanReason"`
	}
	if err = errors.Join(err, json.Unmarshal(text, &d)); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%+v", d)
}

// In these cases the instance sends a good message and a bad frame behind it.
// The client's answer to the message is still on its way when the proxy, which
// must fail the connection at once, does so; Autobahn takes that as well.
var failsBeforeTheEcho = []string{"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"}

// asGoodAs says whether v is what the peers reach without a proxy, or better.
func (v verdict) asGoodAs(base verdict) bool {
	good := func(got, base string) bool { return got == base || got == "OK" }
	return good(v.Behavior, base.Behavior) && good(v.BehaviorClose, base.BehaviorClose)
}

// What Autobahn's cases are about, by their number: 1 framing, 2 pings, 3 and 4
// reserved bits and opcodes, 5 fragments, 6 UTF-8, 7 closes, 10 automatic
// fragments, 9 size and speed, 12 and 13 permessage-deflate.
var (
	protocolCases = []string{"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"}
	deflateSample = []string{"12.1.1", "12.2.2", "12.3.3", "12.4.4", "12.5.5", "13.1.1", "13.2.2", "13.3.3", "13.4.4", "13.5.5", "13.6.1", "13.7.2"}
	fewCases      = []string{"1.1.*", "2.*", "3.*", "4.1.*", "5.*", "6.1.*", "7.1.*", "7.3.*", "7.7.*", "7.9.*", "12.1.1", "13.1.1"}
	heavyCases    = []string{"9.*"}
	deflateCases  = []string{"12.*", "13.*"}
)

// casesFor gives what goes each way in a full run and in a quick one. All of 12
// and 13 are ten minutes of compression in Python, so they go one way only, and
// not through the direct one: there they are known to pass.
func casesFor(w, thorough way) []string {
	switch {
	case full && w == thorough:
		return slices.Concat(protocolCases, heavyCases, deflateCases)
	case full:
		return slices.Concat(protocolCases, heavyCases, deflateSample)
	case w.tls:
		return fewCases
	default:
		return slices.Concat(protocolCases, deflateSample)
	}
}

func autobahnTimeout() time.Duration {
	if full {
		return 40 * time.Minute
	}
	return 5 * time.Minute
}

// The proxy in front of Autobahn's own echo server, which is as strict as the
// cases ask: whatever is worse than without the proxy is the proxy's.
func TestAutobahnFuzzingClient(t *testing.T) {
	t.Parallel()
	need(t, autobahn)
	compareWays(t, nil, func(w way) suite {
		server := mustStart(t, "Autobahn's echo server", wstest(t, "serve"), nil)
		url := reach(t, w, []string{"ws://127.0.0.1:" + portOf(t, server)})
		reports := t.TempDir()
		spec := writeSpec(t, reports, map[string]any{
			"outdir":  reports,
			"cases":   casesFor(w, raw),
			"servers": []any{map[string]any{"agent": "peer", "url": url}},
		})
		return play(t, reports, wstest(t, "-m", "fuzzingclient", "-s", spec))
	})
}

// The proxy in front of Autobahn's fuzzing server, with its own client: what an
// instance may do to the proxy.
func TestAutobahnFuzzingServer(t *testing.T) {
	t.Parallel()
	need(t, autobahn)
	compareWays(t, failsBeforeTheEcho, func(w way) suite {
		reports := t.TempDir()
		spec := writeSpec(t, reports, map[string]any{"outdir": reports, "cases": casesFor(w, way{})})
		server := mustStart(t, "Autobahn's fuzzing server", wstest(t, "fuzz", spec), nil)
		url := reach(t, w, []string{"ws://127.0.0.1:" + portOf(t, server)})
		return play(t, reports, wstest(t, "-m", "testeeclient", "-i", "peer", "-w", url))
	})
}

// A suite is a set of cases being played; its client ends with them.
type suite struct {
	client  *process
	reports string // a folder
}

func play(t *testing.T, reports string, cmd *exec.Cmd) suite {
	t.Helper()
	s := suite{mustStart(t, "Autobahn's client", cmd, nil), reports}
	go s.client.drain()
	if full {
		// One way after another: the heavy cases compute, and a peer that
		// computes too long is one that does not answer the proxy's pings.
		s.verdicts(t)
	}
	return s
}

func wstest(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.Command(need(t, autobahn), append([]string{"-u", "python/wstest.py"}, args...)...)
	cmd.Env = append(os.Environ(), "WSTEST_SITE="+filepath.Join(toolsFolder(), "autobahn"))
	return cmd
}

func writeSpec(t *testing.T, folder string, spec map[string]any) string {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "spec.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// portOf reads the port from what the server prints, among other things.
func portOf(t *testing.T, p *process) string {
	t.Helper()
	for {
		line, err := p.line(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if port, found := strings.CutPrefix(line, "port "); found {
			go p.drain()
			return port
		}
	}
}

// verdicts waits for the end of the cases.
func (s suite) verdicts(t *testing.T) map[string]verdict {
	t.Helper()
	select {
	case <-s.client.ended:
	case <-time.After(autobahnTimeout()):
		t.Fatalf("the cases aren't done after %v: %s", autobahnTimeout(), s.client.log)
	}
	text, err := os.ReadFile(filepath.Join(s.reports, "index.json"))
	if err != nil {
		t.Fatalf("no report: %v: %s", err, s.client.log)
	}
	var index map[string]map[string]verdict
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	return index["peer"]
}

// compareWays plays the cases directly and all ways through the proxy, and holds
// each case against the direct one. The quick set goes all ways at the same
// time, because it waits more than it computes. The lenient cases may end
// non-strictly.
func compareWays(t *testing.T, lenient []string, play func(way) suite) {
	base := play(direct)
	var suites []suite
	var names []string
	for _, w := range ways(raw, stream, rawTLS) {
		suites, names = append(suites, play(w)), append(names, w.String())
	}
	want := base.verdicts(t)
	for i, s := range suites {
		t.Run(names[i], func(t *testing.T) { compare(t, s, want, lenient) })
	}
}

func compare(t *testing.T, s suite, base map[string]verdict, lenient []string) {
	got := s.verdicts(t)
	if len(got) < 60 {
		t.Fatalf("only %d cases were played", len(got))
	}
	byVerdict := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		byVerdict[got[id].String()]++
		want, known := base[id]
		if !known {
			want = verdict{Behavior: "OK", BehaviorClose: "OK"}
		}
		if got[id].Behavior == "NON-STRICT" && slices.Contains(lenient, id) {
			want.Behavior = "NON-STRICT"
		}
		if !got[id].asGoodAs(want) {
			t.Errorf("case %s: %v; without the proxy: %v; %s", id, got[id], want, got[id].details(s.reports))
		}
	}
	t.Logf("%d cases: %v", len(got), byVerdict)
}
