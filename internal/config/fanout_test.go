package config

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fanned parses a fan-out from the source ws://a with more beside it.
func fanned(t *testing.T, more string) *Route {
	t.Helper()
	return parse(t, "routes:\n  fanout:\n    source: ws://a\n"+more).Routes[0]
}

func TestMessagesAreTakenAsTheyStand(t *testing.T) {
	f := fanned(t, `
    subscribe:
      - |
        {
        	"op": "subscribe",
          "args": ["a"]
        }
      - |-
        no end of line
      - >-
        one
        line
      - "CONNECT\r\n\n\0"
      - '{"protocol":"json","version":1}'
      - " \u001e "
      - ${TWO_LINES}
      - true
      - true
`).Fanout
	want := []string{
		"{\n\t\"op\": \"subscribe\",\n  \"args\": [\"a\"]\n}\n",
		"no end of line",
		"one line",
		"CONNECT\r\n\n\x00",
		`{"protocol":"json","version":1}`,
		" \x1e ",
		"a\nb",
		"true",
		"true",
	}
	if !reflect.DeepEqual(f.Subscribe, want) {
		t.Errorf("the messages are\n%q, want\n%q", f.Subscribe, want)
	}
}

func TestLinesOfAMessageEndAlikeInAnyFile(t *testing.T) {
	c := parse(t, "routes:\r\n  fanout:\r\n    source: ws://a\r\n    subscribe: |-\r\n      a\r\n      b\r\n")
	if got := c.Routes[0].Fanout.Subscribe; !reflect.DeepEqual(got, []string{"a\nb"}) {
		t.Errorf("the message is %q", got)
	}
}

func TestMessagesSurvivePrinting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([ -~]|[\x00-\x1f]|\t|\r?\n|\$|\{|\}|[^\x00-\x1f]){1,20}`).Draw(t, "text")
		c, err := Parse("sluice.yaml", []byte("routes: {fanout: {source: ws://a, subscribe: ["+quote(text)+"]}}"), environment)
		if err != nil {
			t.Fatalf("%q printed as %s is refused: %v", text, quote(text), err)
		}
		if got := c.Routes[0].Fanout.Subscribe[0]; got != text {
			t.Fatalf("%q printed as %s is read as %q", text, quote(text), got)
		}
	})
}

func TestAFanoutWithoutOriginsTakesItsOwnPages(t *testing.T) {
	for more, want := range map[string][]string{
		"":                          {"self"},
		"  origins: []\n":           {"self"},
		"  origins: https://a.io\n": {"https://a.io"},
		"  origins: '*'\n":          {"*"},
	} {
		if got := fanned(t, more).Origins; !reflect.DeepEqual(got, want) {
			t.Errorf("with %q the origins are %q, want %q", more, got, want)
		}
	}
}

func TestNoticeNoneIsNoNotice(t *testing.T) {
	for _, more := range []string{
		"    slow: {policy: close, notice: none}",
		"    slow: {policy: skip, notice: none}",
		"    stale_after: {after: 1s, notice: none}",
		"    stale_after: {after: 1s}",
	} {
		if f := fanned(t, more).Fanout; f.Slow.Notice != "" || f.StaleNotice != "" {
			t.Errorf("%s: the notices are %q and %q", more, f.Slow.Notice, f.StaleNotice)
		}
	}
}

func TestSourcesMayHaveAQuery(t *testing.T) {
	for s, want := range map[string]string{
		"wss://Feed/ws?streams=a,b@c/d": "wss://feed/ws?streams=a,b@c/d",
		"ws://a:080?x":                  "ws://a:80?x",
		"ws://a/?":                      "ws://a/",
		"ws://a/b%3Fc?d=%2F?e":          "ws://a/b%3Fc?d=%2F?e",
		"unix:/run/a?b":                 "unix:/run/a?b",
	} {
		u, err := parseSource(s)
		if err != nil || formatUpstream(u) != want {
			t.Errorf("%s is read as %v, %v, want %s", s, u, err, want)
		}
	}
}

// A source that is one of several has a name, which no secret is in.
func TestSourcesAreNamedByTheirHosts(t *testing.T) {
	c := parse(t, `routes: {fanout: {arbitration: merge, source: ["wss://A/x?key=1", "wss://b:1/", "ws://b:2/y?k", "ws://b:2/z", {url: "ws://c", name: d}, "unix:/run/e.sock"]}}`)
	var names []string
	for _, u := range c.Routes[0].Fanout.Source {
		names = append(names, u.Name)
	}
	if want := []string{"a", "b:1", "b:2/y", "b:2/z", "d", "/run/e.sock"}; !reflect.DeepEqual(names, want) {
		t.Errorf("the names are %q, want %q", names, want)
	}
	for _, u := range fanned(t, "").Fanout.Source {
		if u.Name != "" {
			t.Errorf("a source that is alone is called %q", u.Name)
		}
	}
}

func TestSecretsOfSourcesAreNotRepeated(t *testing.T) {
	for _, source := range []string{
		`"http://a?secret"`, `"a?secret"`, `"ws://user:secret@a"`, `"ws://a?secret#x"`, `"ws://a?secret y"`, `"ws://a?secret=%"`,
		`["ws://a?secret", "ws://a?secret"]`, `{url: "ws://a?secret", tls: {insecure: true}}`,
	} {
		_, err := Parse("sluice.yaml", []byte("routes: {fanout: {source: "+source+", stream_by: {query: token}}}"), environment)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", source, err)
		}
	}
	_, err := Parse("sluice.yaml", []byte(`routes: {fanout: {source: "ws://a?token=secret", stream_by: {query: token}}}`), environment)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a parameter that is there already: %v", err)
	}
}
