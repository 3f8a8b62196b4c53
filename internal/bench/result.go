package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a measurement found. Fields that it has no word on are zero.
type Result struct {
	Scenario    string        `json:"scenario"`
	Connections int           `json:"connections"`
	Elapsed     time.Duration `json:"elapsed_ns"`
	Count       uint64        `json:"count"` // messages, handshakes or sessions
	PerSecond   float64       `json:"per_second"`
	Latency     *Latency      `json:"latency,omitempty"`
	Handshake   *Latency      `json:"handshake,omitempty"`            // of sessions that come and go: until it is answered
	CPU         float64       `json:"cpu_us_each,omitempty"`          // of --pid, microseconds a message, handshake or session
	LoadCPU     float64       `json:"load_cpu_us_each,omitempty"`     // of the load generator itself
	Payload     uint64        `json:"message_bytes,omitempty"`        // of the messages counted
	Wire        uint64        `json:"wire_bytes,omitempty"`           // of the same, as they came: compressed or not, without headers
	Bytes       float64       `json:"bytes_per_connection,omitempty"` // of --pid, resident
	Resident    []uint64      `json:"resident_bytes,omitempty"`       // of --pid, at each stage
	Expected    uint64        `json:"expected"`
	Received    uint64        `json:"received"`
	Wrong       uint64        `json:"wrong"` // altered or of another size; of echoes, out of order, too
	Gaps        uint64        `json:"gaps"`  // of a stream: numbers that were left out,
	Duplicates  uint64        `json:"duplicates"`
	Reordered   uint64        `json:"reordered"`
	Errors      uint64        `json:"errors"`
	FirstError  string        `json:"first_error,omitempty"`
}

// Latency is a distribution, in microseconds.
type Latency struct {
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`
}

// rate works out what a second and each cost, from what was counted.
func (r *Result) rate(cpu time.Duration) {
	r.PerSecond = float64(r.Count) / r.Elapsed.Seconds()
	if r.Count > 0 {
		r.CPU = float64(cpu.Nanoseconds()) / 1e3 / float64(r.Count)
	}
}

// Err tells whether what was expected and what came differ.
func (r *Result) Err() error {
	if r.Expected == r.Received && r.Wrong == 0 && r.Errors == 0 && r.inOrder() {
		return nil
	}
	what := fmt.Sprintf("expected %d, received %d, wrong %d, errors %d", r.Expected, r.Received, r.Wrong, r.Errors)
	if !r.inOrder() {
		what += fmt.Sprintf(", gaps %d, duplicates %d, reordered %d", r.Gaps, r.Duplicates, r.Reordered)
	}
	if r.Received == 0 && r.Wrong > 0 {
		what += "; no message had a stamp: the source must be sluice bench source"
	}
	return &Mismatch{what}
}

func (r *Result) inOrder() bool { return r.Gaps == 0 && r.Duplicates == 0 && r.Reordered == 0 }

// Mismatch says that counts could not be reconciled.
type Mismatch struct{ what string }

// Error gives the counts.
func (m *Mismatch) Error() string { return "counts do not agree: " + m.what }

// ExitCode is the process's when this is what a measurement found.
func (m *Mismatch) ExitCode() int { return 2 }

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(time.Minute), 3) }

func latency(h *hdrhistogram.Histogram) *Latency {
	if h.TotalCount() == 0 {
		return nil
	}
	us := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	return &Latency{P50: us(50), P99: us(99), P999: us(99.9), Max: float64(h.Max()) / 1e3}
}

// Print writes r as JSON, or as a table for people.
func (r *Result) Print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-22s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(w, r.Scenario)
	row("connections", "%d", r.Connections)
	row("elapsed", "%v", r.Elapsed.Round(time.Millisecond))
	if r.Count > 0 {
		row("count", "%d (%.0f a second)", r.Count, r.PerSecond)
	}
	for i, l := range []*Latency{r.Latency, r.Handshake} {
		if l != nil {
			row([]string{"latency", "of handshakes"}[i], "p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us", l.P50, l.P99, l.P999, l.Max)
		}
	}
	if r.CPU > 0 {
		row("CPU of --pid", "%.2f us each", r.CPU)
	}
	if r.LoadCPU > 0 {
		row("CPU of the load", "%.2f us each", r.LoadCPU)
	}
	if r.Payload > 0 {
		row("bytes of messages", "%d, %d as they came", r.Payload, r.Wire)
	}
	if len(r.Resident) > 0 {
		row("resident of --pid", "%d bytes", r.Resident)
	}
	if r.Bytes > 0 {
		row("bytes a connection", "%.0f", r.Bytes)
	}
	row("expected", "%d", r.Expected)
	row("received", "%d", r.Received)
	row("wrong", "%d", r.Wrong)
	if r.Payload > 0 || !r.inOrder() {
		row("order", "gaps %d, duplicates %d, reordered %d", r.Gaps, r.Duplicates, r.Reordered)
	}
	row("errors", "%d %s", r.Errors, r.FirstError)
	return nil
}
