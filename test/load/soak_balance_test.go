package load_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// TestSoakBalance opens and closes tens of thousands of sessions, which end in
// every way that there is, and wants everything to be where it was.
func TestSoakBalance(t *testing.T) {
	for tr, part := range map[testkit.Transport]int{testkit.Raw: 1, testkit.Stream: 16} {
		t.Run(string(tr), func(t *testing.T) {
			level := testkit.Now()
			in := serve(t, instanceOf)
			s := startSoak(t, tr, "  - name: r\n    timeouts: {"+soakTimeouts+"}\n"+
				"    balance: {upstreams: "+in.urls()+", health: {probe: none}, failover: {spread: 0s}, sticky: {cookie: at}}\n")
			soaked(t, s, *soakOf/part, balanced)
			s.stop(t)
			in.close()
			level.WantBack(t, "and nothing is left of the Sluice")
		})
	}
}

// balancedEnds are the ways in which a session ends, with their share of a
// thousand. An instance is told by the path; the client knows.
var balancedEnds = []struct {
	path  string
	share int
	play  play
}{
	{"client", 350, clientCloses},
	{"instance", 150, func(_ *soak, w *wire, _ int) error { return endedBy(w, 4000) }},
	{"restart", 50, func(_ *soak, w *wire, _ int) error { return endedBy(w, ws.CodeRestart) }},
	{"reset", 50, func(_ *soak, w *wire, _ int) error { return endedBy(w, ws.CodeRestart) }},
	{"hangup", 50, func(_ *soak, w *wire, _ int) error { return endedBy(w, ws.CodeRestart) }},
	{"clientreset", 100, func(*soak, *wire, int) error { return nil }},
	{"clientgone", 50, func(_ *soak, w *wire, _ int) error { return w.conn.Close() }},
	{"half", 98, halfClosed},
	{"mute", 1, func(_ *soak, w *wire, _ int) error { w.mute = true; return w.wantEnd() }},
	{"deaf", 1, func(_ *soak, w *wire, _ int) error { return w.wantClose(ws.CodeRestart, true) }},
	{"refused", 30, nil},
	{"wrong", 30, nil},
	{"left", 40, nil},
}

// balanced is a client of a balanced route.
func balanced(s *soak, w *wire, n int) error {
	k := n * 7919 % 1000 // in an order that mixes them
	for _, e := range balancedEnds {
		if k -= e.share; k >= 0 {
			continue
		}
		err := balancedBy(s, w, n, e.path, e.play)
		if err != nil {
			err = fmt.Errorf("%s: %w", e.path, err)
		}
		return err
	}
	return fmt.Errorf("the shares are not a thousand")
}

func balancedBy(s *soak, w *wire, n int, path string, p play) error {
	request := testkit.Upgrade("/" + path)
	if path == "wrong" {
		request = strings.Replace(request, "Version: 13", "Version: 12", 1)
	}
	if _, err := w.conn.Write([]byte(request)); err != nil {
		return err
	}
	switch path {
	case "left":
		return nil // before there can be an answer
	case "wrong":
		s.refused.Add(1)
		return refusedWith(w, "426")
	case "refused":
		s.refused.Add(1)
		return refusedWith(w, "403")
	}
	if err := w.wantHead("101"); err != nil {
		return err
	}
	s.opened.Add(1)
	text := "hello"
	if n%64 == 0 {
		text = strings.Repeat("0123456789", 2_000) // which a socket takes whole: what a loop keeps of buffers for more varies
	}
	if err := w.send(ws.Text, text); err != nil {
		return err
	}
	if err := w.want(ws.Text, text); err != nil {
		return err
	}
	return p(s, w, n)
}

func refusedWith(w *wire, status string) error {
	if err := w.wantHead(status); err != nil {
		return err
	}
	return w.wantEnd()
}

func clientCloses(_ *soak, w *wire, _ int) error {
	if err := w.send(ws.CloseFrame, "\x03\xe8bye"); err != nil {
		return err
	}
	return w.wantClose(ws.CodeNormal, false)
}

// endedBy has the instance end the session; the client is told code.
func endedBy(w *wire, code uint16) error {
	if err := w.send(ws.Text, "end"); err != nil {
		return err
	}
	return w.wantClose(code, true)
}

// halfClosed sends FIN without a close; the instance has yet to speak.
func halfClosed(_ *soak, w *wire, _ int) error {
	w.mute = true // nothing may follow
	if err := w.conn.CloseWrite(); err != nil {
		return err
	}
	if err := w.want(ws.Text, "last"); err != nil {
		return err
	}
	return w.wantClose(ws.CodeNormal, false)
}

// instanceOf is an instance: an echo until the end that the path names.
func instanceOf(w *wire) {
	head, err := w.upTo("\r\n\r\n")
	if err != nil {
		return
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(head, "GET /"), " ")
	switch path {
	case "left":
		_ = w.wantEnd()
		return
	case "refused":
		_, _ = w.conn.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n"))
		return
	case "deaf":
		w.mute = true
	}
	if _, err := w.conn.Write([]byte(answer(head))); err != nil {
		return
	}
	for {
		op, p, err := w.next()
		switch {
		case err != nil:
			if path == "half" {
				_ = w.send(ws.Text, "last")
				_ = w.send(ws.CloseFrame, "\x03\xe8")
			}
			return
		case op == ws.CloseFrame:
			_ = w.send(op, string(p))
			return
		case op == ws.Text && string(p) == "end":
			instanceEnds(w, path)
			return
		case op == ws.Text:
			if w.send(op, string(p)) != nil {
				return
			}
		}
	}
}

// instanceEnds ends the session as the path says.
func instanceEnds(w *wire, path string) {
	switch path {
	case "reset":
		w.reset()
	case "instance":
		_ = w.send(ws.CloseFrame, "\x0f\xa0done") // 4000
		_ = w.wantEnd()
	case "restart":
		_ = w.send(ws.CloseFrame, "\x03\xf4") // 1012
		_ = w.wantEnd()
	}
}
