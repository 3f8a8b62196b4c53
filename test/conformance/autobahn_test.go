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

// A verdict is what Autobahn says of a case: how the messages went, how the
// connection ended, and the code in the close frame that it got, 0 for none.
type verdict struct {
	Behavior        string `json:"behavior"`
	BehaviorClose   string `json:"behaviorClose"`
	RemoteCloseCode int    `json:"remoteCloseCode"`
	Report          string `json:"reportfile"` // with the details
}

func (v verdict) String() string {
	return fmt.Sprintf("%s, close %s with %d", v.Behavior, v.BehaviorClose, v.RemoteCloseCode)
}

func (v verdict) same(as verdict) bool {
	as.Report = v.Report
	return v == as
}

// details gives what Autobahn says besides.
func (v verdict) details(reports string) string {
	text, err := os.ReadFile(filepath.Join(reports, v.Report))
	var d struct {
		Result            string `json:"result"`
		ResultClose       string `json:"resultClose"`
		Received          []any  `json:"received"`
		Started           string `json:"started"`
		Duration          int    `json:"duration"` // ms
		ClosedByMe        bool   `json:"closedByMe"`
		RemoteCloseReason string `json:"remoteCloseReason"`
		WasNotCleanReason string `json:"wasNotCleanReason"`
	}
	if err = errors.Join(err, json.Unmarshal(text, &d)); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%.1000s", fmt.Sprintf("%+v", d))
}

func autobahnTimeout() time.Duration {
	if full {
		return 40 * time.Minute
	}
	return 5 * time.Minute
}

// The proxy in front of Autobahn's own echo server, which is as strict as the
// cases ask: what is not as it is without the proxy is the proxy's.
func TestAutobahnFuzzingClient(t *testing.T) {
	t.Parallel()
	need(t, autobahn)
	compareWays(t, "Autobahn's fuzzing client", toServer, func(w way) suite {
		server := mustStart(t, "Autobahn's echo server", wstest(t, "serve"), nil)
		url := reach(t, w, []string{"ws://127.0.0.1:" + portOf(t, server)})
		return fuzz(t, url, casesFor(w, raw, direct))
	})
}

// The proxy in front of Autobahn's fuzzing server, with its own client: what an
// instance may do to the proxy.
func TestAutobahnFuzzingServer(t *testing.T) {
	t.Parallel()
	need(t, autobahn)
	compareWays(t, "Autobahn's fuzzing server", toClient, func(w way) suite {
		reports := t.TempDir()
		cases := casesFor(w)
		spec := writeSpec(t, reports, map[string]any{"outdir": reports, "cases": cases})
		server := mustStart(t, "Autobahn's fuzzing server", wstest(t, "fuzz", spec), nil)
		url := reach(t, w, []string{"ws://127.0.0.1:" + portOf(t, server)})
		return play(t, reports, cases, wstest(t, "-m", "testeeclient", "-i", "peer", "-w", url))
	})
}

// The proxy in front of Autobahn's echo server in the mode that has whole
// messages, and inflates those of clients itself.
func TestAutobahnFuzzesScatter(t *testing.T) {
	if !proxied {
		t.Skip("no proxy in between")
	}
	t.Parallel()
	need(t, autobahn)
	compareAll(t, "Autobahn's fuzzing client, scatter", toScatter, ways(raw), func(w way) suite {
		server := mustStart(t, "Autobahn's echo server", wstest(t, "serve"), nil)
		url := front(t, w, "scatter", []string{"ws://127.0.0.1:" + portOf(t, server)})
		return fuzz(t, url, casesFor(w))
	})
}

// A fan-out's client is not echoed, so most messages are missed by the cases
// as they are at a strict server that swallows them. Pings, violations and
// closes are judged all the same.
func TestAutobahnFuzzesFanout(t *testing.T) {
	if !proxied {
		t.Skip("no proxy in between")
	}
	t.Parallel()
	need(t, autobahn)
	source := serveHub(t, gorillaHub)
	compareWays(t, "Autobahn's fuzzing client, fan-out", toFanout, func(w way) suite {
		url := ""
		if w == direct {
			url = "ws://127.0.0.1:" + portOf(t, mustStart(t, "a server that swallows", wstest(t, "swallow"), nil))
		} else {
			url = front(t, w, "fanout", []string{source.url()})
		}
		return fuzz(t, url, unechoedCases)
	})
}

// fuzz plays the cases with Autobahn as the client.
func fuzz(t *testing.T, url string, cases []string) suite {
	t.Helper()
	reports := t.TempDir()
	spec := writeSpec(t, reports, map[string]any{
		"outdir":  reports,
		"cases":   cases,
		"servers": []any{map[string]any{"agent": "peer", "url": url}},
	})
	return play(t, reports, cases, wstest(t, "-m", "fuzzingclient", "-s", spec))
}

// A suite is a set of cases being played; its client ends with them.
type suite struct {
	client  *process
	reports string   // a folder
	cases   []string // as asked for
}

func play(t *testing.T, reports string, cases []string, cmd *exec.Cmd) suite {
	t.Helper()
	s := suite{mustStart(t, "Autobahn's client", cmd, nil), reports, cases}
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
// time, because it waits more than it computes.
func compareWays(t *testing.T, name string, known differences, play func(way) suite) {
	compareAll(t, name, known, ways(raw, stream, rawTLS), play)
}

func compareAll(t *testing.T, name string, known differences, all []way, play func(way) suite) {
	base := play(direct)
	var suites []suite
	for _, w := range all {
		suites = append(suites, play(w))
	}
	want := base.verdicts(t)
	found := map[string]bool{}
	for i, s := range suites {
		t.Run(all[i].String(), func(t *testing.T) {
			c := compare(t, s, want, known, found)
			c.suite, c.way = name, all[i]
			c.tell(t)
		})
	}
	known.judge(t, found)
}

// compare fails the test for each case that is not as in base and not among the
// differences. Those that are it adds to found.
func compare(t *testing.T, s suite, base map[string]verdict, known differences, found map[string]bool) comparison {
	got := s.verdicts(t)
	if len(got) < 60 {
		t.Fatalf("only %d cases were played", len(got))
	}
	for id := range base {
		if _, played := got[id]; !played && asked(id, s.cases) {
			t.Errorf("case %s was not played through the proxy", id)
		}
	}
	c := comparison{cases: len(got)}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		want, played := base[id]
		switch {
		case !played:
			t.Errorf("case %s was not played without the proxy", id)
		case got[id].same(want):
			c.equal++
		case known[id] != "":
			found[id] = true
			c.differ(id, known[id])
			t.Logf("case %s: %v; without the proxy: %v; %s", id, got[id], want, known[id])
		default:
			c.differ(id, "unexplained")
			t.Errorf("case %s: %v; without the proxy: %v; %s", id, got[id], want, got[id].details(s.reports))
		}
	}
	return c
}
