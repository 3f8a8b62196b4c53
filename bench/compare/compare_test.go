//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// told makes a table of echo-100 in which Sluice and another took so much CPU,
// a round each.
func told(ours, theirs []float64) *table {
	for _, s := range scenarios() {
		if s.name != "echo-100" {
			continue
		}
		t := &table{scenario: s, Name: s.name, Columns: s.columns(), Sides: []string{"Sluice", "Other"}, Rounds: len(ours)}
		for round := range ours {
			for side, cpu := range map[string]float64{"Sluice": ours[round], "Other": theirs[round]} {
				t.Readings = append(t.Readings, &reading{Side: side, Round: round, Values: []float64{cpu, 1, 1, 1, 1}, Expected: 10, Received: 10})
			}
		}
		return t
	}
	panic("no echo-100")
}

func TestRatiosArePairsOfARound(t *testing.T) {
	x := told([]float64{1, 2, 30}, []float64{2, 2, 20})
	if got, want := x.ratioText("Other", 0), "1.00 (0.50–1.50)"; got != want {
		t.Errorf("three rounds, the last one slow for both: got %s, want %s", got, want)
	}
	x = told([]float64{3}, []float64{2})
	if got, want := x.ratioText("Other", 0), "**1.50**"; got != want {
		t.Errorf("where Sluice is behind: got %s, want %s", got, want)
	}
	if got := x.came("Other"); got != "all 10" {
		t.Errorf("what came: got %s", got)
	}
	x.Readings[0].Received, x.Readings[0].Side = 9, "Other"
	x.Readings[1].Side = "Sluice"
	if got := x.came("Other"); got != "9 of 10" {
		t.Errorf("what came of a lossy one: got %s", got)
	}
}

func TestAPageIsMadeOfSeveralRuns(t *testing.T) {
	var files []string
	for i, ours := range []float64{1, 3} {
		file := filepath.Join(t.TempDir(), "run.json")
		r := &record{Command: "run", Environment: []string{"Machine: one"}, Tables: []*table{told([]float64{ours}, []float64{2})}}
		if err := r.save(file); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
		files = append(files, file)
	}
	records, err := loadRecords(files)
	if err != nil {
		t.Fatal(err)
	}
	page := (&report{records: records, tables: merged(records)}).markdown()
	if !strings.Contains(page, "**1.50**") || strings.Contains(page, "0.50") {
		t.Errorf("of a scenario in two files the last counts:\n%s", page)
	}
	if strings.Count(page, "Machine: one") != 1 {
		t.Errorf("what two runs have in common is there once:\n%s", page)
	}
}

func TestARunOfOtherColumnsIsRefused(t *testing.T) {
	x := told([]float64{1}, []float64{2})
	x.Columns = x.Columns[1:]
	file := filepath.Join(t.TempDir(), "run.json")
	if err := (&record{Tables: []*table{x}}).save(file); err != nil {
		t.Fatal(err)
	}
	if _, err := loadRecords([]string{file}); err == nil {
		t.Error("columns of another program were taken for this one's")
	}
}

func TestWhatPeopleWroteStays(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("old\n"+byHand+"\n\nmine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if kept, err := keptOf(page); err != nil || kept != "\n"+byHand+"\n\nmine\n" {
		t.Errorf("kept %q, %v", kept, err)
	}
	if kept, err := keptOf(page + "x"); err != nil || kept != "" {
		t.Errorf("of a page that is not there: %q, %v", kept, err)
	}
}
