//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// report becomes the page.
type report struct {
	records []*record
	tables  []*table
	charts  []*chart // that were drawn, in the folder beside the page
	folder  string
}

const introduction = `# Sluice beside others

Each server under test is one process on one core; the load and what stands behind the server are on another. Everything is on loopback.
Rounds are interleaved. Figures are medians of the rounds. Ratios are Sluice over the other, pair by pair within a round: median (least–greatest);
**bold is where Sluice is behind**. Absolute figures hold for this machine alone; ratios travel better. An echo relayed is one message from the client to
the server and its echo all the way back. A delivery is one message of a source at one client. "Came" is what the clients got of what they were to get, in all rounds,
warm-ups included.

`

func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString(introduction)
	r.about(&b)
	for _, c := range r.charts {
		fmt.Fprintf(&b, "\n![%s](%s/%s)\n", c.Title, r.folder, c.File)
	}
	r.overview(&b)
	for _, t := range r.tables {
		t.section(&b)
	}
	return b.String()
}

func (r *report) about(b *strings.Builder) {
	for _, rec := range r.records {
		fmt.Fprintf(b, "- %s, %v long: `%s`\n", rec.Began.Format("2 January 2006"), rec.Took.Round(time.Second), rec.Command)
	}
	for _, line := range union(r.records, func(r *record) []string { return r.Environment }) {
		fmt.Fprintf(b, "- %s\n", line)
	}
	for _, line := range union(r.records, func(r *record) []string { return r.Skipped }) {
		fmt.Fprintf(b, "- Skipped: %s\n", line)
	}
	for _, line := range r.agreed() {
		fmt.Fprintf(b, "- %s\n", line)
	}
	if busy, all := r.busy(); busy > 0 {
		fmt.Fprintf(b, "- **Not to be relied on**: before or after %d of %d measurements the machine was busy with something else\n", busy, all)
	}
	b.WriteString("- [How it measures](../bench/compare/README.md)\n")
}

// busy counts measurements during which the machine may have had more to do.
func (r *report) busy() (busy, all int) {
	for _, t := range r.tables {
		for _, m := range t.Readings {
			all++
			if m.Busy {
				busy++
			}
		}
	}
	return busy, all
}

// agreed tells what TLS was, once if it was the same for all.
func (r *report) agreed() (lines []string) {
	by := map[string][]string{}
	seen := map[string]string{}
	for _, rec := range r.records {
		maps.Copy(seen, rec.TLS)
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		by[seen[name]] = append(by[seen[name]], name)
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
		if len(t.Sides) < 2 {
			continue
		}
		if header == "" {
			b.WriteString("\n## Overview\n\nRatios, of each scenario's first figure; below 1 Sluice needs less. A dash: the other did not get through it, see below.\n")
		}
		if h := t.overviewHeader(); h != header {
			header = h
			b.WriteString("\n" + h)
		}
		fmt.Fprintf(b, "| %s | %s |", t.title, t.metrics[0].name)
		for _, side := range t.Sides[1:] {
			fmt.Fprintf(b, " %s |", t.ratioText(side, 0))
		}
		b.WriteString("\n")
	}
}

func (t *table) overviewHeader() string {
	h := "| | |"
	for _, side := range t.Sides[1:] {
		h += fmt.Sprintf(" %s : %s |", t.Sides[0], side)
	}
	return h + "\n|---|---|" + strings.Repeat("---:|", len(t.Sides)-1) + "\n"
}

// section is all that one scenario gave.
func (t *table) section(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", t.title)
	if t.note != "" {
		b.WriteString(t.note + "\n\n")
	}
	b.WriteString("| |")
	for _, m := range t.metrics {
		fmt.Fprintf(b, " %s |", m.name)
	}
	b.WriteString(" came |\n|---|" + strings.Repeat("---:|", len(t.metrics)+1) + "\n")
	for _, side := range t.Sides {
		fmt.Fprintf(b, "| %s |", side)
		for i, m := range t.metrics {
			v, ok := t.median(side, i)
			fmt.Fprintf(b, " %s |", number(m.format, v, ok))
		}
		fmt.Fprintf(b, " %s |\n", t.came(side))
	}
	for _, side := range t.Sides[1:] {
		fmt.Fprintf(b, "| %s : %s |", t.Sides[0], side)
		for i := range t.metrics {
			fmt.Fprintf(b, " %s |", t.ratioText(side, i))
		}
		b.WriteString(" |\n")
	}
	t.remarks(b)
}

// came says what was received of what was expected.
func (t *table) came(side string) string {
	switch expected, received := t.counts(side); {
	case expected == 0:
		return "–"
	case expected == received:
		return fmt.Sprintf("all %d", expected)
	default:
		return fmt.Sprintf("%d of %d", received, expected)
	}
}

// ratioText is a ratio with its spread, bold where Sluice is behind.
func (t *table) ratioText(side string, metric int) string {
	m := t.metrics[metric]
	if m.bare {
		return ""
	}
	r, ok := t.ratio(side, metric)
	if !ok {
		return "–"
	}
	text := fmt.Sprintf("%.2f", r.mid)
	if behind := !m.more && text > "1.00" || m.more && r.mid < 0.995; behind {
		text = "**" + text + "**"
	}
	if t.Rounds > 1 {
		text += fmt.Sprintf(" (%.2f–%.2f)", r.least, r.most)
	}
	return text
}

// remarks are the rounds, the goals and what failed.
func (t *table) remarks(b *strings.Builder) {
	fmt.Fprintf(b, "\nRounds: %d.", t.Rounds)
	for i, m := range t.metrics {
		if m.more && !slices.ContainsFunc(t.metrics[:i], func(m metric) bool { return m.more }) {
			fmt.Fprintf(b, " For %s more is better, for the rest less.", m.name)
		}
		if m.goal > 0 {
			verdict := "not measured"
			if v, ok := t.median(t.Sides[0], i); ok {
				verdict = "not met"
				if v <= m.goal {
					verdict = "met"
				}
			}
			fmt.Fprintf(b, " Sluice's goal: %s at most %g: %s.", m.name, m.goal, verdict)
		}
	}
	b.WriteString("\n")
	for _, m := range t.Readings {
		if m.Failed != "" {
			fmt.Fprintf(b, "\nFailed: %s, round %d: %s\n", m.Side, m.Round+1, m.Failed)
		}
	}
	for _, side := range t.Sides {
		if t.failures(side) >= patience && t.Rounds > patience {
			fmt.Fprintf(b, "\n%s failed %d times and was not tried again.\n", side, patience)
		}
	}
}

func number(format string, v float64, ok bool) string {
	if !ok {
		return "–"
	}
	return fmt.Sprintf(format, v)
}
