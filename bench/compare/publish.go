//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// byHand begins the part of a page that people wrote.
const byHand = "<!-- by hand -->"

// publish writes the page and its charts, or the page to standard output.
func publish(ctx context.Context, records []*record, out string) error {
	r := &report{records: records, tables: merged(records)}
	if out == "" {
		_, err := io.WriteString(os.Stdout, r.markdown())
		return err
	}
	kept, err := keptOf(out)
	if err != nil {
		return err
	}
	r.folder = strings.TrimSuffix(filepath.Base(out), filepath.Ext(out))
	charts := r.allCharts()
	if err := draw(ctx, filepath.Join(filepath.Dir(out), r.folder), charts); err != nil {
		fmt.Fprintln(os.Stderr, "no charts: "+err.Error())
	} else {
		r.charts = charts
	}
	return os.WriteFile(out, []byte(r.markdown()+kept), 0o644)
}

// keptOf reads what is to stay of a page that is there.
func keptOf(page string) (string, error) {
	b, err := os.ReadFile(page)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if _, kept, found := strings.Cut(string(b), "\n"+byHand); found {
		return "\n" + byHand + kept, err
	}
	return "", err
}

// chart has a row for each scenario, with a mark for each side, on a scale of
// powers of ten. bench/peers/charts draws it.
type chart struct {
	File   string    `json:"file"`
	Title  string    `json:"title"`
	Scale  string    `json:"scale"` // what it shows, with its unit
	One    bool      `json:"one"`   // it shows ratios: left of 1 Sluice is ahead
	Rows   []string  `json:"rows"`
	Series []*series `json:"series"`
}

// series are a side's marks. The first one of a chart without ratios is Sluice.
type series struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"` // a row each; nil: none
}

const ratioScale = "← Sluice needs less · CPU, Sluice : other · Sluice needs more →"

func (r *report) allCharts() (charts []*chart) {
	all := []*chart{
		{File: "proxies.svg", Title: "Proxies: CPU that Sluice needs, as a multiple of the other's", Scale: ratioScale, One: true},
		{File: "fanout.svg", Title: "Fan-out: CPU that Sluice needs, as a multiple of the other's", Scale: ratioScale, One: true},
		{File: "memory.svg", Title: "Memory of an idle connection", Scale: "KiB a connection"},
	}
	for _, t := range r.tables {
		switch {
		case t.short == "":
		case t.remembers():
			all[2].add(t, t.Sides, func(side string) (float64, bool) { return t.median(side, 0) })
		default:
			c := all[0]
			if t.group == "fanout" {
				c = all[1]
			}
			cpu := slices.IndexFunc(t.metrics, func(m metric) bool { return strings.HasPrefix(m.name, "CPU") })
			c.add(t, t.Sides[1:], func(side string) (float64, bool) { s, ok := t.ratio(side, cpu); return s.mid, ok })
		}
	}
	for _, c := range all {
		if len(c.Series) > 0 {
			charts = append(charts, c)
		}
	}
	return charts
}

// add adds a row. Values of 0 or less, as noise gives them, have no place on the
// scale.
func (c *chart) add(t *table, sides []string, value func(string) (float64, bool)) {
	c.Rows = append(c.Rows, t.short)
	for _, side := range sides {
		v, ok := value(side)
		i := slices.IndexFunc(c.Series, func(s *series) bool { return s.Name == side })
		if i < 0 {
			i = len(c.Series)
			c.Series = append(c.Series, &series{Name: side})
		}
		s := c.Series[i]
		for len(s.Values) < len(c.Rows) {
			s.Values = append(s.Values, nil)
		}
		if ok && v > 0 {
			s.Values[len(c.Rows)-1] = &v
		}
	}
}

// draw makes the files, in a folder.
func draw(ctx context.Context, folder string, charts []*chart) error {
	root, err := repository(ctx)
	if err != nil {
		return err
	}
	folder, err = filepath.Abs(folder)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	b, err := json.Marshal(charts)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "-C", filepath.Join(root, peersModule), "./charts", folder)
	cmd.Stdin = bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
