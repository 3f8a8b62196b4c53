package config

import (
	"strings"
	"testing"
)

func TestTemplatesGiveJSON(t *testing.T) {
	tm, err := ParseTemplate(`{"from": {{json .Client}}, "text": {{json .Message}}}`)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := tm.Execute(&b, ForwardFields{Message: "<a href=\"x\">\n&", Client: "::1"}); err != nil {
		t.Fatal(err)
	}
	if want := `{"from": "::1", "text": "<a href=\"x\">\n&"}`; b.String() != want {
		t.Errorf("it gives %s, want %s", b.String(), want)
	}
}

func TestTemplatesAreTriedBothWays(t *testing.T) {
	for text, want := range map[string]string{
		`{{if gt .Lost 100}}many{{else}}{{.Lost}}{{end}}`:      "",
		`{{if gt .Lost 100}}{{.Many}}{{else}}few{{end}}`:       "can't evaluate field Many",
		`{{if gt .Lost 100}}many{{else}}{{.Few}}{{end}}`:       "can't evaluate field Few",
		`{{with .Reason}}{{.}}{{end}}`:                         "",
		`{{with .Reason}}{{.Lost}}{{end}}`:                     "can't evaluate field Lost",
		`{{$n := .Lost}}{{$n}}`:                                "",
		`{{.Lost.Value}}`:                                      "can't evaluate field Value",
		"line\n{{if}}":                                         "line 2: missing value for if",
		"{{":                                                   "unclosed action",
		"{{define \"a\"}}{{.Lots}}{{end}}{{template \"a\" .}}": `executing "a" at <.Lots>: can't evaluate field Lots`,
		"": "it gives no text",
	} {
		err := tryTemplate(text, noticeSamples)
		if want == "" && err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "; the fields are {{.Lost}}, {{.Reason}}, {{.Offset}}")) {
			t.Errorf("%s: %v, want %s and the fields", text, err, want)
		}
	}
}
