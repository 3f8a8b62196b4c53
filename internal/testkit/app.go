package testkit

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/config"
)

// Transport is how an App moves bytes.
type Transport string

// The transports.
const (
	Raw    Transport = "raw"
	Stream Transport = "stream"
)

// Both runs f once a transport that this build has, in parallel.
func Both(t *testing.T, f func(t *testing.T, tr Transport)) {
	t.Parallel()
	for _, tr := range Transports {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			f(t, tr)
		})
	}
}

// Config is a configuration of one route. Each field is YAML; what stands in
// the later ones goes into the mapping of that name. Our pings and probes are
// off and closes are not spread unless a field says otherwise.
type Config struct {
	Top       string   // whole lines beside routes
	Route     string   // lines of the route, indented by four
	Upstreams []string // URLs, or whole mappings
	Timeouts  string
	Limits    string
	Balance   string
	Failover  string
	Health    string
}

// String gives the YAML.
func (c Config) String() string {
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	var ups []string
	for _, u := range c.Upstreams {
		if !strings.HasPrefix(u, "{") {
			u = `"` + u + `"`
		}
		ups = append(ups, u)
	}
	y := beginning(c.Top, c.Route, c.Timeouts, c.Limits)
	y += "    balance: {upstreams: [" + strings.Join(ups, ", ") + "], health: {" + or(c.Health, "probe: none") +
		"}, failover: {" + or(c.Failover, "spread: 0s") + "}"
	if c.Balance != "" {
		y += ", " + c.Balance
	}
	return y + "}\n"
}

// beginning is what configurations of every mode begin with.
func beginning(top, route, timeouts, limits string) string {
	y := top + "\n"
	for _, base := range []string{`listen: "127.0.0.1:0"`, `admin: {address: "off"}`, `log: {level: debug, sessions: both}`, "drain: 200ms"} {
		if key, _, _ := strings.Cut(base, ":"); !strings.Contains("\n"+y, "\n"+key+":") {
			y += base + "\n"
		}
	}
	times := strings.Split(timeouts, ", ")
	for _, base := range []string{"ping: 0s", "close: 1s"} {
		if key, _, _ := strings.Cut(base, " "); !strings.Contains(" "+timeouts, " "+key) {
			times = append(times, base)
		}
	}
	y += "routes:\n  - name: r\n"
	if route != "" {
		y += strings.TrimRight(route, "\n") + "\n"
	}
	y += "    timeouts: {" + strings.Trim(strings.Join(times, ", "), ", ") + "}\n"
	if limits != "" {
		y += "    limits: {" + limits + "}\n"
	}
	return y
}

// App is a Sluice under test.
type App struct {
	*app.App
	t      testing.TB
	log    logLines
	cancel context.CancelFunc
	ended  chan error
	stop   sync.Once
}

// Start runs a Sluice of this configuration until the test ends, and sees then
// that it has counted every session out.
func Start(t testing.TB, tr Transport, yaml string) *App {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(yaml), os.LookupEnv)
	if err != nil {
		t.Fatalf("the test's own configuration: %v\n%s", err, yaml)
	}
	a := &App{t: t, ended: make(chan error, 1)}
	a.log.more = make(chan struct{}, 1)
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(context.Background())
	a.App, err = app.New(ctx, cfg, app.Options{Stream: tr == Stream, Log: &a.log, Version: "test"})
	if err != nil {
		a.cancel()
		t.Fatalf("app.New: %v", err)
	}
	go a.run(ctx)
	t.Cleanup(a.Stop)
	return a
}

func (a *App) run(ctx context.Context) { a.ended <- a.Run(ctx) }

// Fails wants New to fail, and gives its error.
func Fails(t testing.TB, tr Transport, yaml string) error {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(yaml), os.LookupEnv)
	if err != nil {
		t.Fatalf("the test's own configuration: %v\n%s", err, yaml)
	}
	if _, err = app.New(context.Background(), cfg, app.Options{Stream: tr == Stream, Log: io.Discard}); err == nil {
		t.Fatal("app.New wants to fail, and does not")
	}
	return err
}

// Cancel begins the end, as a signal does, and does not wait for it.
func (a *App) Cancel() { a.cancel() }

// Stop ends the App and sees that nothing is left of its sessions.
func (a *App) Stop() {
	a.stop.Do(func() {
		a.t.Helper()
		a.cancel()
		select {
		case err := <-a.ended:
			if err != nil {
				a.t.Errorf("Run ended with %v", err)
			}
		case <-time.After(patience):
			a.t.Errorf("Run has not ended %v after its context\n%s", patience, stacks())
		}
		if n := a.sessions(); n != 0 {
			a.t.Errorf("%d sessions are still counted after the end", n)
		}
		if n := a.awaited(); n != 0 {
			a.t.Errorf("%d messages are still awaited after the end", n)
		}
		log := a.log.String()
		if strings.Contains(log, "panic") {
			a.t.Errorf("a panic was logged")
		}
		if a.t.Failed() {
			a.t.Logf("log:\n%s", log)
		}
	})
}

// sessions counts what routes and instances have under way, with the messages
// that instances have yet to answer; the worst of both.
func (a *App) sessions() (n int64) {
	for _, r := range a.Routes() {
		open, _ := r.Counters.Sessions()
		n += open
	}
	var held int64
	for _, p := range a.Pools() {
		for _, i := range p.Instances() {
			held += int64(i.Sessions()+i.Handshakes()) + i.Awaited()
		}
	}
	return max(n, held)
}

// awaited counts the messages that instances owe answers to.
func (a *App) awaited() (n int64) {
	for _, p := range a.Pools() {
		for _, i := range p.Instances() {
			n += max(i.Awaited(), -i.Awaited())
		}
	}
	return n
}

// WantNoSessions waits until every session is counted out.
func (a *App) WantNoSessions(t testing.TB, sentence string) {
	t.Helper()
	within(t, sentence, func() string {
		if a.sessions() != 0 {
			return "sessions are still counted"
		}
		if a.awaited() != 0 {
			return "answers are still awaited"
		}
		return ""
	})
}

// WantLog waits for a line of the log that holds every one of parts.
func (a *App) WantLog(t testing.TB, sentence string, parts ...string) {
	t.Helper()
	late := time.After(patience)
	for {
		if a.log.has(parts) {
			return
		}
		select {
		case <-a.log.more:
		case <-late:
			t.Fatalf("%s: no line with %q in the log:\n%s", sentence, parts, a.log.String())
		}
	}
}

// Addr is the address of the first listener.
func (a *App) Addr() net.Addr { return a.Addresses()[0] }

// Dial connects a client to the first listener.
func (a *App) Dial(t testing.TB) *Peer {
	t.Helper()
	return DialTo(t, a.Addr())
}

// logLines is the App's log.
type logLines struct {
	more chan struct{} // has a token when there are new lines

	mu  sync.Mutex
	buf bytes.Buffer
}

// Write takes a line.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.buf.Write(p)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logLines) has(parts []string) bool {
lines:
	for line := range strings.Lines(l.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		return true
	}
	return false
}
