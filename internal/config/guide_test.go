package config

import (
	"os"
	"regexp"
	"testing"
)

// The configurations that guides show are ones that work.
func TestGuidesAreValid(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for _, page := range []string{"scatter.md"} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := block.FindAllSubmatch(text, -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no configuration", page)
		}
		for _, b := range blocks {
			if _, err := Parse(page, b[1], os.LookupEnv); err != nil {
				t.Errorf("%v\n%s", err, b[1])
			}
		}
	}
}
