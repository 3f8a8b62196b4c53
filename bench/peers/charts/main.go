// Command charts draws what bench/compare measured: each chart a row for each
// scenario and a mark for each server, on a logarithmic scale. It reads a JSON
// array of charts from standard input and writes SVG files into a folder.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
)

// chart is as bench/compare writes it.
type chart struct {
	File   string   `json:"file"`
	Title  string   `json:"title"`
	Scale  string   `json:"scale"`
	One    bool     `json:"one"` // ratios: 1 is where both need the same
	Rows   []string `json:"rows"`
	Series []series `json:"series"`
}

type series struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"` // a row each; nil, or missing at the end: none
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: charts FOLDER <charts.json")
	}
	var charts []chart
	if err := json.NewDecoder(os.Stdin).Decode(&charts); err != nil {
		log.Fatal(err)
	}
	for i := range charts {
		if err := charts[i].draw(filepath.Join(os.Args[1], charts[i].File)); err != nil {
			log.Fatal(err)
		}
	}
}
