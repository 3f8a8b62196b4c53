//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// record is what one run of this program found: all that a page needs.
type record struct {
	Command     string            `json:"command"`
	Began       time.Time         `json:"began"`
	Took        time.Duration     `json:"took_ns"`
	Environment []string          `json:"environment"` // machine, commit and versions, a line each
	Skipped     []string          `json:"skipped"`
	TLS         map[string]string `json:"tls"` // what each server agreed on, by name
	Tables      []*table          `json:"scenarios"`
}

func (l *lab) newRecord() *record {
	return &record{Command: command(), Began: time.Now(), Environment: l.environment(), Skipped: l.skipped, TLS: l.tlsSeen}
}

// command is the command line, less what says where results go.
func command() string {
	line := "go run ./bench/compare"
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "o" && f.Name != "save" {
			line += " -" + f.Name + " " + f.Value.String()
		}
	})
	return line
}

func (r *record) save(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// loadRecords reads what save wrote.
func loadRecords(files []string) (records []*record, err error) {
	known := map[string]*scenario{}
	for _, s := range scenarios() {
		known[s.name] = s
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		r := &record{}
		if err := json.Unmarshal(b, r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, t := range r.Tables {
			if t.scenario = known[t.Name]; t.scenario == nil || !slices.Equal(t.Columns, t.columns()) {
				return nil, fmt.Errorf("%s: scenario %s is not, or no longer, what this program measures", file, t.Name)
			}
		}
		records = append(records, r)
	}
	return records, nil
}

// merged gives the tables in the order of the page. Of a scenario in several
// records the last counts.
func merged(records []*record) (tables []*table) {
	for _, s := range scenarios() {
		var last *table
		for _, r := range records {
			for _, t := range r.Tables {
				if t.Name == s.name {
					last = t
				}
			}
		}
		if last != nil {
			tables = append(tables, last)
		}
	}
	return tables
}

// union gives the lines of all records, each once.
func union(records []*record, of func(*record) []string) (lines []string) {
	for _, r := range records {
		for _, line := range of(r) {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
