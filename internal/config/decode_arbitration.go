package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var parseArbitration = word("standby", "merge", "first")

const (
	leastWindow = 10 * time.Millisecond
	mostWindow  = time.Hour
	leastDedupe = 64 << 10
	mostDedupe  = 1 << 30
)

// sourcePlace is where a source stands, and where its name does, if it has one.
type sourcePlace struct{ at, name place }

var sourceNameForm = regexp.MustCompile(`^[!#-\[\]-~]{1,256}$`)

// parseSourceName accepts what may be a label in metrics and stand in messages.
func parseSourceName(s string) (string, error) {
	if !sourceNameForm.MatchString(s) {
		return "", fmt.Errorf("%q is not a name for a source; it is up to 256 visible characters of ASCII, without quotes and backslashes, as nasdaq-a", s)
	}
	return s, nil
}

func (v value) dedupe(d *Dedupe) {
	v.object(
		key("key", text(&d.Key)),
		key("window", parsed(&d.Window, parseWindow)),
		key("bytes", parsed(&d.Bytes, parseDedupe)),
	)
}

func parseWindow(s string) (time.Duration, error) {
	d, err := someDuration(s)
	if err == nil && (d < leastWindow || d > mostWindow) {
		err = fmt.Errorf("%q is out of range; it is %v to 1h", s, leastWindow)
	}
	return d, err
}

func parseDedupe(s string) (int64, error) {
	n, err := parseSize(s)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, fmt.Errorf("can't be off: it bounds memory; the least is %s", formatSize(leastDedupe))
	case n < leastDedupe || n > mostDedupe:
		return 0, fmt.Errorf("%q is out of range; it is %s to %s", s, formatSize(leastDedupe), formatSize(mostDedupe))
	}
	return n, nil
}

// arbitrate judges what several sources are to each other, and names them.
func (f *Fanout) arbitrate(keys keys, sources []sourcePlace) {
	policy := f.Arbitration
	if policy != "merge" && keys.has("wrap") {
		keys["wrap"].errorf("is for arbitration merge alone; this arbitration is %s", policy)
	} else if f.Wrap != "" && !strings.Contains(f.Wrap, ".Message") {
		keys["wrap"].errorf("leaves the messages out; write '{\"source\":{{json .Source}},\"data\":{{.Message}}}'")
	}
	if policy != "first" && keys.has("dedupe") {
		keys["dedupe"].errorf("is for arbitration first alone; this arbitration is %s", policy)
	}
	if policy == "standby" {
		for _, p := range sources {
			if p.name.src != nil {
				p.name.errorf("is for arbitration merge and first, where all sources are connected; this arbitration is standby")
			}
		}
		return
	}
	if len(f.Source) < 2 {
		keys["arbitration"].errorf("%s is for two sources or more, and there is one; add another to source, or write standby", policy)
		return
	}
	if policy == "first" && f.Greeting > 0 {
		keys["greeting"].errorf("can't go with arbitration first: what redundant sources begin with comes once, as any other message; leave it out, or keep the past with backlog")
	}
	f.name(sources)
}

// name gives each source that has no name its host's, or host and path where
// several have that.
func (f *Fanout) name(places []sourcePlace) {
	hosts, seen := map[string]int{}, map[string]place{}
	for _, u := range f.Source {
		hosts[u.URL.Host]++
	}
	for i, u := range f.Source {
		at := places[i].at
		if u.Name != "" {
			at = places[i].name
		} else if u.Name = u.URL.Host; hosts[u.Name] > 1 || u.Name == "" {
			u.Name += u.URL.EscapedPath()
		}
		first, twice := seen[u.Name]
		switch {
		case twice:
			at.errorf("is called %s, and so is another (%v); write {url: …, name: NAME}", u.Name, first)
		case !sourceNameForm.MatchString(u.Name):
			at.errorf("has no name, and its URL gives none that could be used; write {url: …, name: NAME}")
		}
		seen[u.Name] = at
	}
}
