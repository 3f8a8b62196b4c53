package conformance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const subscription = `{"op":"sub"}`

// One connection to each library's broadcaster, and every kind of client on
// it: each gets every message whole and in order.
func TestFanout(t *testing.T) {
	if !proxied {
		t.Skip("no proxy in between")
	}
	t.Parallel()
	for _, w := range ways(raw, stream) {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			newFan(t, w).run(t)
		})
	}
}

// A fan is a proxy with a route for each source, by its name.
type fan struct {
	page    string // where browsers are
	ca      string
	tls     bool
	address string
	sources map[string]broadcaster
	wires   map[string]*wire // between the proxy and the sources
	troupes map[string]*troupe
	clients map[string][]listener
}

func newFan(t *testing.T, w way) *fan {
	f := &fan{page: servePage(t), tls: w.tls, sources: map[string]broadcaster{}, wires: map[string]*wire{},
		troupes: map[string]*troupe{}, clients: map[string][]listener{}}
	var routes strings.Builder
	for _, s := range everySource() {
		if !have(t, s.name+" as source", s.tools) {
			continue
		}
		subscribe := ""
		if s.tools != nil {
			subscribe = subscription
		}
		b := s.start(t, subscribe)
		wire := lay(t, strings.TrimPrefix(b.url(), "ws://"))
		f.sources[s.name], f.wires[s.name] = b, wire
		fmt.Fprintf(&routes, `
  - match: {path: /%s}
    name: %[1]s
    origins: ["%s"]
    fanout: {source: "ws://%s"`, s.name, f.page, wire.address())
		if subscribe != "" {
			fmt.Fprintf(&routes, `, subscribe: ['%s']`, subscribe)
		}
		routes.WriteString("}\n")
	}
	f.address, _ = runConfig(t, w, routes.String())
	if w.tls {
		f.ca = certificate(t).cert
	}
	return f
}

// have tells whether the tools are there. Those that aren't are named by a
// test that skips, or fails where CI=true.
func have(t *testing.T, what string, tools []*tool) bool {
	for _, tool := range tools {
		if _, lack := tool.find(); lack != "" {
			t.Run(what, func(t *testing.T) { need(t, tool) })
			return false
		}
	}
	return true
}

// runConfig starts a proxy with these routes.
func runConfig(t *testing.T, w way, routes string, keys ...string) (string, *process) {
	t.Helper()
	listen := `"127.0.0.1:0"`
	if w.tls {
		pair := certificate(t)
		listen = fmt.Sprintf(`[{address: "127.0.0.1:0", tls: {cert: %q, key: %q}}]`, pair.cert, pair.key)
	}
	text := fmt.Sprintf("version: 1\nlisten: %s\nadmin: off\n%sroutes:%s", listen, strings.Join(keys, ""), routes)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return launch(t, "run", "-c", file, "--transport", w.transport)
}

// servePage serves the page that browsers listen from, on an origin that is
// not the proxy's.
func servePage(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>conformance</title>")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (f *fan) run(t *testing.T) {
	all := repertoire(t)
	for _, k := range everyKind() {
		if !have(t, k.name+" as client", k.tools) {
			continue
		}
		for name := range f.sources {
			for _, l := range k.clients(f.address+"/"+name, f.tls) {
				l.Name = strings.TrimSpace(name + " " + l.Name)
				l.CA, l.Count = f.ca, len(all)
				f.clients[k.name] = append(f.clients[k.name], l)
			}
		}
		f.troupes[k.name] = k.start(t, f.page, f.clients[k.name])
	}
	for name, tr := range f.troupes {
		tr.awaitOpen(t, f.clients[name], 1)
	}
	for _, b := range f.sources {
		if err := b.send(all, 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, tr := range f.troupes {
		tr.awaitEnd(t, f.clients[name])
		for _, l := range f.clients[name] {
			t.Run(l.Name+"→"+name, func(t *testing.T) { judge(t, tr, l, all) })
		}
	}
	for name, b := range f.sources {
		t.Run(name, func(t *testing.T) { f.judgeSource(t, b, f.wires[name]) })
	}
}

func (f *fan) judgeSource(t *testing.T, b broadcaster, w *wire) {
	told := b.told()
	if w.made() != 1 || len(told.extensions) != 1 {
		t.Errorf("the source saw %d connections and %d handshakes, want one each", w.made(), len(told.extensions))
	}
	for _, e := range told.extensions {
		if !strings.HasPrefix(e, "permessage-deflate") {
			t.Errorf("the source's connection has the extensions %q, want permessage-deflate", e)
		}
	}
	if _, ok := b.(*child); ok && !slices.Equal(told.said, []string{subscription}) {
		t.Errorf("the source was told %q first, want its subscription", told.said)
	}
}

// judge holds what a client got against what was sent.
func judge(t *testing.T, tr *troupe, l listener, sent []payload) {
	t.Helper()
	h, ended := tr.came[l.Name]
	if !ended {
		t.Fatal("it never ended")
	}
	if h.Error != "" {
		t.Errorf("it stopped after %d messages: %s", len(h.Received), h.Error)
	}
	if strings.HasPrefix(l.URL, "ws") && !strings.HasPrefix(h.Extensions, "permessage-deflate") {
		t.Errorf("its extensions are %q, want permessage-deflate", h.Extensions)
	}
	for i, m := range sent {
		want := m.Seen
		if l.Events {
			want = asEvent(t, m)
		}
		if i >= len(h.Received) {
			t.Fatalf("it got %d messages, want %d", len(h.Received), len(sent))
		}
		if h.Received[i] != want {
			t.Fatalf("message %d is %v, want %v (%s)", i, h.Received[i], want, filepath.Base(m.File))
		}
	}
}

// asEvent is what an event stream can carry of a message: all but the
// difference between the ends of lines.
func asEvent(t *testing.T, m payload) seen {
	t.Helper()
	if !m.Text {
		return m.Seen
	}
	data, err := os.ReadFile(m.File)
	if err != nil {
		t.Fatal(err)
	}
	return describe([]byte(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))), true)
}

// repertoire is one message of each sort, each with a number behind it.
func repertoire(t *testing.T) []payload {
	t.Helper()
	sorts := []payload{
		literal(t, ""),
		content(t, false, 0),
		literal(t, "Grüße, Καλημέρα, здравствуйте, 水門, 🚪"),
		literal(t, "three\nlines\nof text"),
		literal(t, "\n\nempty lines around\n\n"),
		literal(t, "other\r\nends\rof lines\r\n"),
		literal(t, " a space first, and data: id: 7 event: x"),
		literal(t, ":\ndata: not a field\nid: 1\nretry: 1"),
		literal(t, "quotes \" and \\ and \t and \x01\x1f and \u2028 and \ufeff and </script>"),
		content(t, true, 125), content(t, true, 126), content(t, true, 65535), content(t, true, 65536),
		content(t, false, 1), content(t, false, 65536),
		content(t, true, mib), content(t, false, mib),
		literal(t, strings.Repeat("a line with ümlaut, 水門\n", mib/27)),
	}
	var all []payload
	for i, m := range sorts {
		all = append(all, m, numbered(t, i))
	}
	return all
}

func numbered(t *testing.T, n int) payload {
	t.Helper()
	return literal(t, fmt.Sprintf(`{"n":%d,"text":"ünumbered"}`, n))
}
