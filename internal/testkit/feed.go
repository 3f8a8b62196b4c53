package testkit

import (
	"bytes"
	"compress/flate"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// Feed is a configuration of one fan-out route, as Config is of a balanced one.
// Compression is off, towards the source and the clients, and a stream does not
// linger, unless Fanout says otherwise.
type Feed struct {
	Top      string   // whole lines beside routes
	Route    string   // lines of the route, indented by four
	Sources  []string // URLs, in turn
	Timeouts string
	Limits   string
	Fanout   string // what stands beside source
}

// String gives the YAML.
func (f Feed) String() string {
	y := beginning(f.Top, f.Route, f.Timeouts, f.Limits) + "    fanout: {source: ["
	for i, u := range f.Sources {
		if i > 0 {
			y += ", "
		}
		y += strconv.Quote(u)
	}
	y += "]"
	for _, base := range []string{"source_compress: false", "compress: false", "linger: 0s"} {
		if key, _, _ := strings.Cut(base, " "); !strings.Contains(" "+f.Fanout, " "+key) {
			y += ", " + base
		}
	}
	if f.Fanout != "" {
		y += ", " + f.Fanout
	}
	return y + "}\n"
}

// Connect answers the next connection as a source does that takes anybody.
// Extra lines are added to the answer.
func (in *Instance) Connect(t testing.TB, sentence string, extra ...string) *Peer {
	t.Helper()
	leg := in.Accept(t, sentence)
	leg.SendString(Answer(leg.Head(sentence), extra...))
	return leg
}

// Until reads up to and with end.
func (p *Peer) Until(sentence, end string) string {
	p.t.Helper()
	for !bytes.Contains(p.buf, []byte(end)) {
		if !p.fill() {
			p.t.Fatalf("%s: the %s wants something up to %q, got: %s", sentence, p.name, end, p.why())
		}
	}
	n := bytes.Index(p.buf, []byte(end)) + len(end)
	s := string(p.buf[:n])
	p.buf = p.buf[n:]
	return s
}

// Narrow keeps the room small that the system has for what the peer does not
// read. It is of use before the handshake. Less than this, which is some of the
// loopback's large packets, and reading on becomes a matter of minutes.
func (p *Peer) Narrow() {
	p.t.Helper()
	if err := p.conn.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// Deflater compresses as a peer does that keeps its context.
type Deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

// Payload compresses a message. It goes into a frame with Compressed set, or
// into the frames of a message whose first has it.
func (d *Deflater) Payload(text string) string {
	if d.w == nil {
		d.w, _ = flate.NewWriter(&d.out, flate.BestCompression)
	}
	d.out.Reset()
	_, _ = io.WriteString(d.w, text)
	_ = d.w.Flush()
	return strings.TrimSuffix(d.out.String(), "\x00\x00\xff\xff")
}

// Compressed is the RSV of a message's first frame that says it is compressed.
const Compressed = ws.RSV1

// Inflate reads a message that was compressed by itself.
func Inflate(t testing.TB, payload string) string {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(strings.NewReader(payload + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if err != nil {
		t.Fatalf("%q is not compressed by itself: %v", payload, err)
	}
	return string(b)
}

// Metric gives the value of a metric, as /metrics has it: name{label="…"}. One
// that is not there is 0.
func (a *App) Metric(t testing.TB, name string) float64 {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("http://" + a.AdminAddress().String() + "/metrics")
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatalf("metrics: %q: %v", line, err)
			}
			return v
		}
	}
	return 0
}

// WantMetric waits until a metric has this value.
func (a *App) WantMetric(t testing.TB, sentence, name string, want float64) {
	t.Helper()
	within(t, sentence, func() string {
		if v := a.Metric(t, name); v != want {
			return name + " is " + strconv.FormatFloat(v, 'g', -1, 64) + ", want " + strconv.FormatFloat(want, 'g', -1, 64)
		}
		return ""
	})
}

// WantUnderWay waits until so many sessions are there, or being opened.
func (a *App) WantUnderWay(t testing.TB, sentence string, want int) {
	t.Helper()
	within(t, sentence, func() string {
		if n := a.Sessions(); n != want {
			return strconv.Itoa(n) + " sessions are under way, want " + strconv.Itoa(want)
		}
		return ""
	})
}

// WantSessions waits until so many sessions are counted.
func (a *App) WantSessions(t testing.TB, sentence string, want int64) {
	t.Helper()
	within(t, sentence, func() string {
		if n := a.sessions(); n != want {
			return strconv.FormatInt(n, 10) + " sessions are counted, want " + strconv.FormatInt(want, 10)
		}
		return ""
	})
}
