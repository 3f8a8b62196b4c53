package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// FuzzParse holds two promises: whatever a file holds it is accepted or refused
// with places, never a panic; and what is accepted prints as a file that is the
// same configuration. Run it with -fuzzminimizetime 20x: to shorten each find
// takes longer than to find it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(reference))
	files, _ := filepath.Glob("testdata/good/*.yaml")
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	data, err := os.ReadFile("testdata/bad.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range strings.Split(string(data), "\n## ")[1:] {
		_, text, _ := badCase(c)
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("fuzz.yaml", text, environment)
		if err == nil {
			wantRoundTrip(t, c)
			return
		}
		for _, e := range err.(Errors) {
			if e.Line < 1 || e.Column < 1 || e.Msg == "" || strings.ContainsAny(e.Error(), "\n\r") {
				t.Errorf("an error without its place, or of more than a line: %#v", e)
			}
		}
	})
}

func TestTextsSurvivePrinting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.StringMatching(`([ -~]|\t|\$|\{|\}|[^\x00-\x1f\x7f-\x9f]){0,20}`).Draw(t, "text")
		c, err := Parse("sluice.yaml", []byte("admin: {token: "+quote(token)+"}\nroutes: {balance: {upstreams: ws://a}}"), environment)
		if err != nil {
			t.Fatalf("%q printed as %s is refused: %v", token, quote(token), err)
		}
		if c.Admin.Token != token {
			t.Fatalf("%q printed as %s is read as %q", token, quote(token), c.Admin.Token)
		}
	})
}

func TestSizesAndDurationsSurvivePrinting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, maxSize).Draw(t, "size") &^ (1<<rapid.IntRange(0, 40).Draw(t, "zeros") - 1)
		if again, err := parseSize(formatSize(n)); again != n || err != nil {
			t.Fatalf("%d printed as %s is read as %d, %v", n, formatSize(n), again, err)
		}
		d := time.Duration(rapid.Int64Range(int64(minDuration), int64(maxDuration)).Draw(t, "duration"))
		if again, err := offDuration(d.String()); again != d || err != nil {
			t.Fatalf("%v is read as %v, %v", d, again, err)
		}
	})
}
