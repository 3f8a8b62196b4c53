//go:build linux

package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report becomes the page.
type report struct {
	opt     options
	skipped []string
	env     []string
	began   time.Time
	tables  []*table
	tls     map[string]string // what each server agreed on, by name
	noisy   int
}

// environment is what figures depend on, a line each.
func (l *lab) environment(present []*peer) []string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	lines := []string{
		fmt.Sprintf("Machine: %s, %d cores, Linux %s", processor(), runtime.NumCPU(), strings.TrimSpace(string(kernel))),
		fmt.Sprintf("Built with %s", runtime.Version()),
	}
	ours := false
	for _, p := range present {
		if p.key == "" && ours {
			continue // Sluice is there once for each way of running it
		}
		ours = ours || p.key == ""
		lines = append(lines, p.name+" "+p.version(l))
	}
	return lines
}

func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if name, value, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# Sluice beside others\n\n")
	b.WriteString("Each server under test is one process on one core; the load and what stands behind the server are on another. Everything is on loopback. " +
		"Rounds are interleaved. Figures are medians of the rounds. Ratios are Sluice over the other, pair by pair within a round: " +
		"median (least–greatest). Absolute figures hold for this machine alone; ratios travel better. " +
		"An echo relayed is one message from the client to the server and its echo all the way back. " +
		"A delivery is one message of a source at one client.\n\n")
	r.about(&b)
	r.overview(&b)
	for _, t := range r.tables {
		r.table(&b, t)
	}
	return b.String()
}

func (r *report) about(b *strings.Builder) {
	fmt.Fprintf(b, "- %s, %v long\n", r.began.Format("2 January 2006"), time.Since(r.began).Round(time.Second))
	for _, line := range r.env {
		fmt.Fprintf(b, "- %s\n", line)
	}
	for _, line := range r.skipped {
		fmt.Fprintf(b, "- Skipped: %s\n", line)
	}
	for _, line := range r.agreed() {
		fmt.Fprintf(b, "- %s\n", line)
	}
	if r.noisy > 0 {
		fmt.Fprintf(b, "- **Not to be relied on**: before or after %d measurements the machine was busy with something else\n", r.noisy)
	}
	command := append([]string{"go run ./bench/compare"}, os.Args[1:]...)
	fmt.Fprintf(b, "- Made with `%s`; [how it measures](../bench/compare/README.md)\n", strings.Join(command, " "))
}

// agreed tells what TLS was, once if it was the same for all.
func (r *report) agreed() (lines []string) {
	by := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(r.tls)) {
		by[r.tls[name]] = append(by[r.tls[name]], name)
	}
	for what, names := range by {
		line := "TLS, with an ECDSA P-256 certificate: " + what
		if len(by) > 1 {
			line += " (" + strings.Join(names, ", ") + ")"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// overview has each scenario's first ratio, tables with the same sides together.
func (r *report) overview(b *strings.Builder) {
	header := ""
	for _, t := range r.tables {
		if len(t.sides) < 2 {
			continue
		}
		if header == "" {
			b.WriteString("\n## Overview\n\nRatios; below 1 Sluice needs less.\n")
		}
		if h := t.overviewHeader(); h != header {
			header = h
			b.WriteString("\n" + h)
		}
		fmt.Fprintf(b, "| %s | %s |", t.title, t.metrics[0].name)
		for _, p := range t.sides[1:] {
			mid, _, _, ok := t.ratio(p, 0)
			fmt.Fprintf(b, " %s |", number("%.2f", mid, ok))
		}
		b.WriteString("\n")
	}
}

func (t *table) overviewHeader() string {
	h := "| | |"
	for _, p := range t.sides[1:] {
		h += fmt.Sprintf(" %s : %s |", t.sides[0].name, p.name)
	}
	return h + "\n|---|---|" + strings.Repeat("---:|", len(t.sides)-1) + "\n"
}

func (r *report) table(b *strings.Builder, t *table) {
	fmt.Fprintf(b, "\n## %s\n\n", t.title)
	if t.note != "" {
		b.WriteString(t.note + "\n\n")
	}
	b.WriteString("| |")
	for _, m := range t.metrics {
		fmt.Fprintf(b, " %s |", m.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(t.metrics)) + "\n")
	for _, p := range t.sides {
		fmt.Fprintf(b, "| %s |", p.name)
		for i, m := range t.metrics {
			v, ok := t.median(p, i)
			fmt.Fprintf(b, " %s |", number(m.format, v, ok))
		}
		b.WriteString("\n")
	}
	for _, p := range t.sides[1:] {
		t.ratios(b, p)
	}
	t.remarks(b)
}

func (t *table) ratios(b *strings.Builder, p *peer) {
	fmt.Fprintf(b, "| %s : %s |", t.sides[0].name, p.name)
	for i, m := range t.metrics {
		mid, least, most, ok := t.ratio(p, i)
		switch {
		case m.bare:
			b.WriteString(" |")
		case ok && t.rounds > 1:
			fmt.Fprintf(b, " %.2f (%.2f–%.2f) |", mid, least, most)
		default:
			fmt.Fprintf(b, " %s |", number("%.2f", mid, ok))
		}
	}
	b.WriteString("\n")
}

// remarks are the rounds, the goals and what failed.
func (t *table) remarks(b *strings.Builder) {
	fmt.Fprintf(b, "\nRounds: %d.", t.rounds)
	for i, m := range t.metrics {
		if m.more && !slices.ContainsFunc(t.metrics[:i], func(m metric) bool { return m.more }) {
			fmt.Fprintf(b, " For %s more is better, for the rest less.", m.name)
		}
		if m.goal > 0 {
			verdict := "not measured"
			if v, ok := t.median(t.sides[0], i); ok {
				verdict = "not met"
				if v <= m.goal {
					verdict = "met"
				}
			}
			fmt.Fprintf(b, " Sluice's goal: %s at most %g: %s.", m.name, m.goal, verdict)
		}
	}
	b.WriteString("\n")
	for _, f := range t.failures {
		fmt.Fprintf(b, "\nFailed: %s\n", f)
	}
}

func number(format string, v float64, ok bool) string {
	if !ok {
		return "–"
	}
	return fmt.Sprintf(format, v)
}
