package conformance

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// A pair is a client that reaches a server one way.
type pair struct {
	client client
	server endpoint
	base   string // the URL in front of the path
	ca     string
	quick  bool // small messages, and each thing once
}

const (
	limit = 16 << 20 // the default of limits.message_size.client
	mib   = 1 << 20
)

var connection atomic.Int64

// script gives a script for that path. Its id is for server.closes.
func (p pair) script(path string, query ...string) (s script, id string) {
	id = fmt.Sprint(connection.Add(1))
	values := url.Values{"id": {id}}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return script{URL: p.base + path + "?" + values.Encode(), CA: p.ca, Timeout: 120}, id
}

// deflate sets whether the connection is to be compressed: by the client's
// word, or by the server's where the client always offers it.
func (p pair) deflate(s *script, on bool) {
	s.Deflate = on
	if !on && !p.client.can.deflateOff {
		s.URL += "&deflate=0"
	}
}

func (p pair) play(t *testing.T, s script) outcome {
	t.Helper()
	o := p.client.play(t, s)
	if o.Error != "" {
		t.Fatalf("%s: %s, close %v, received %v", s.URL, o.Error, o.Close, o.Received)
	}
	if o.Status >= 200 && !strings.Contains(s.URL, "/refuse") {
		t.Fatalf("%s was refused: %d %v %s", s.URL, o.Status, o.Headers, o.Body)
	}
	return o
}

func (p pair) run(t *testing.T) {
	for _, deflated := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "deflate"}[deflated]
		for _, text := range []bool{false, true} {
			kind := map[bool]string{false: "binary", true: "text"}[text]
			t.Run("echo/"+name+"/"+kind, func(t *testing.T) { p.echo(t, text, deflated) })
		}
		t.Run("fragments/server/"+name, func(t *testing.T) { p.serverFragments(t, deflated) })
		if p.client.can.fragment {
			t.Run("fragments/client/"+name, func(t *testing.T) { p.clientFragments(t, deflated) })
		}
	}
	t.Run("ping/server", p.serverPing)
	if p.client.can.ping {
		t.Run("ping/client", p.clientPing)
	}
	t.Run("subprotocol", p.subprotocol)
	t.Run("close/server", p.serverCloses)
	t.Run("close/client", p.clientCloses)
	t.Run("refusal", p.refusal)
	if direct := p.base == p.server.url; !p.quick && !direct {
		t.Run("limit", p.limits)
	}
}

// echoes plays the script with messages that must come back as they are.
func (p pair) echoes(t *testing.T, s script, sent []payload, fragments int, ping string) outcome {
	t.Helper()
	var want []seen
	for _, m := range sent {
		s.Send = append(s.Send, message{File: m.File, Text: m.Text, Fragments: fragments, Ping: ping})
		want = append(want, m.Seen)
	}
	s.Close = &closing{1000, "done"}
	o := p.play(t, s)
	if !slices.Equal(o.Received, want) {
		t.Errorf("of %d messages came back %d, or others:\n got %v\nwant %v\nclose %v", len(want), len(o.Received), o.Received, want, o.Close)
	}
	if o.Close.Code != 1000 {
		t.Errorf("the client sees the close %v, want 1000", o.Close)
	}
	return o
}

func (p pair) echo(t *testing.T, text, deflated bool) {
	sizes := []int{0, 1, 125, 126, 65535, 65536, mib, 2, 0}
	switch {
	case p.quick:
	case deflated && !text:
		// What doesn't shrink grows by some bytes a block, and the proxy
		// counts what it sees: the compressed message.
		sizes = append(sizes, limit-64<<10)
	default:
		sizes = append(sizes, limit)
	}
	var sent []payload
	for _, size := range sizes {
		sent = append(sent, content(t, text, size))
	}
	s, _ := p.script("/echo")
	p.deflate(&s, deflated)
	o := p.echoes(t, s, sent, 0, "")
	if got := strings.Contains(o.Extensions, "permessage-deflate"); got != deflated {
		t.Errorf("permessage-deflate negotiated: %v (%q), want %v", got, o.Extensions, deflated)
	}
}

func (p pair) serverFragments(t *testing.T, deflated bool) {
	s, _ := p.script("/fragments", "n", "7")
	p.deflate(&s, deflated)
	p.echoes(t, s, []payload{content(t, true, 1000), content(t, false, 100_000), content(t, true, 100_000), content(t, true, 0)}, 0, "")
}

func (p pair) clientFragments(t *testing.T, deflated bool) {
	sent := []payload{content(t, true, 1000), content(t, false, 100_000), content(t, true, 100_000)}
	s, _ := p.script("/echo")
	p.deflate(&s, deflated)
	p.echoes(t, s, sent, 7, "")
	s, _ = p.script("/echo")
	p.deflate(&s, deflated)
	p.echoes(t, s, sent[1:], 7, "in between") // 14 pings, the proxy takes 20 a second
}

func (p pair) serverPing(t *testing.T) {
	s, _ := p.script("/ping", "payload", "are you there?")
	any := content(t, true, 2)
	s.Send = []message{{File: any.File, Text: true}, {File: any.File, Text: true}}
	s.Close = &closing{1000, ""}
	o := p.play(t, s)
	want := literal(t, "pong are you there?").Seen
	if !slices.Equal(o.Received, []seen{want, want}) {
		t.Errorf("after the server's pings came %v, want twice the text \"pong are you there?\"", o.Received)
	}
}

func (p pair) clientPing(t *testing.T) {
	payloads := []string{"hello", strings.Repeat("x", 125)}
	if !p.client.can.choosePing {
		payloads = payloads[:1]
	}
	for _, payload := range payloads {
		s, _ := p.script("/echo")
		s.Ping = payload
		s.Close = &closing{1000, ""}
		if o := p.play(t, s); o.Pong != payload {
			t.Errorf("the ping %q came back as %q", payload, o.Pong)
		}
	}
}

func (p pair) subprotocol(t *testing.T) {
	s, _ := p.script("/echo")
	s.Subprotocols = []string{"chat.v9", "chat.v1"}
	s.Close = &closing{1000, ""}
	if o := p.play(t, s); o.Subprotocol != "chat.v1" {
		t.Errorf("the subprotocol is %q, want %q", o.Subprotocol, "chat.v1")
	}
	s, _ = p.script("/echo")
	s.Close = &closing{1000, ""}
	if o := p.play(t, s); o.Subprotocol != "" {
		t.Errorf("the subprotocol is %q, but none was offered", o.Subprotocol)
	}
}

func (p pair) serverCloses(t *testing.T) {
	for _, want := range []closing{{4001, "bye"}, {1000, "all done"}, {1008, "not you, ünbekannt"}, {1011, ""}, {3000, strings.Repeat("r", 123)}} {
		s, _ := p.script("/close", "code", fmt.Sprint(want.Code), "reason", want.Reason)
		if o := p.play(t, s); o.Close != want {
			t.Errorf("the server closed with %v, the client sees %v", want, o.Close)
		}
	}
}

func (p pair) clientCloses(t *testing.T) {
	for _, want := range []closing{{1000, "done"}, {4002, "client says bye"}, {1000, ""}} {
		s, id := p.script("/echo")
		s.Close = &want
		if o := p.play(t, s); o.Close.Code != want.Code {
			t.Errorf("the client closed with %v and sees the answer %v", want, o.Close)
		}
		if got := p.server.closes.await(t, id); got != want {
			t.Errorf("the client closed with %v, the server sees %v", want, got)
		}
	}
}

func (p pair) refusal(t *testing.T) {
	s, _ := p.script("/refuse")
	o := p.play(t, s)
	if !p.client.can.showsRefusal {
		if o.Status != 0 || o.Close.Code != 1006 {
			t.Errorf("the client of a refused handshake sees status %d and close %v, want 0 and 1006", o.Status, o.Close)
		}
		return
	}
	if o.Status != 401 {
		t.Errorf("status %d, want 401", o.Status)
	}
	if o.Body != refusalBody {
		t.Errorf("body %q, want %q", o.Body, refusalBody)
	}
	for name, want := range map[string]string{"WWW-Authenticate": `Bearer realm="conformance"`, "X-Refused-By": "the server"} {
		if got := o.header(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// limits: one byte more than may be is told to the client in a close of its
// own, not by a cut.
func (p pair) limits(t *testing.T) {
	big := content(t, false, limit+1)
	s, _ := p.script("/echo")
	p.deflate(&s, false)
	s.Send = []message{{File: big.File}}
	if o := p.client.play(t, s); o.Close.Code != 1009 {
		t.Errorf("a message of %d bytes ended in %v %s, want 1009", limit+1, o.Close, o.Error)
	}
}
