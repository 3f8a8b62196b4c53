package bench

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// says runs a server that takes each client through a handshake, has talk write
// to it, and hangs up when the client says something.
func says(t *testing.T, talk func(client int, w net.Conn) error) string {
	t.Helper()
	return saysAnswering(t, &handshake.Answer{}, talk)
}

func saysAnswering(t *testing.T, a *handshake.Answer, talk func(client int, w net.Conn) error) string {
	t.Helper()
	var clients atomic.Int32
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		head := a.Append(nil, &handshake.Offer{Key: r.Header.Get("Sec-Websocket-Key")})
		if _, err = conn.Write(head); err == nil {
			err = talk(int(clients.Add(1))-1, conn)
		}
		if err == nil {
			_, _ = bufio.NewReader(rw).ReadByte()
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return "ws://" + l.Addr().String()
}

// listen measures for a moment.
func listen(t *testing.T, o FanoutOptions) *Result {
	t.Helper()
	o.Loops, o.Duration, o.Parallel = 1, max(o.Duration, 50*time.Millisecond), 8
	if o.Drain == 0 {
		o.Drain = 100 * time.Millisecond
	}
	r, err := Fanout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func frame(payload string) []byte {
	return ws.AppendFrame(nil, ws.Header{Fin: true, Opcode: ws.Text}, []byte(payload))
}

// stamped is message n in text, as sent now.
func stamped(n uint64) string { return stampedAt(n, time.Now()) }

func stampedAt(n uint64, at time.Time) string {
	p := make([]byte, textSize)
	putTextStamp(p, n, at.UnixNano())
	return "{" + string(p) + `"}`
}

func counts(r *Result) [7]uint64 {
	return [...]uint64{r.Expected, r.Received, r.Wrong, r.Gaps, r.Duplicates, r.Reordered, r.Errors}
}

func TestEachFaultOfAStreamHasItsCount(t *testing.T) {
	texts := func(numbers ...uint64) (all []string) {
		for _, n := range numbers {
			all = append(all, stamped(n))
		}
		return all
	}
	wrapped := `{"push":{"data":` + stamped(1) + `}}`
	for name, c := range map[string]struct {
		messages []string
		want     Result
	}{
		"all in order":               {texts(7, 8, 9, 10), Result{Expected: 4, Received: 4}},
		"a greeting first":           {append([]string{"hello"}, texts(1, 2)...), Result{Expected: 2, Received: 2}},
		"one left out":               {texts(7, 8, 10), Result{Expected: 4, Received: 3, Gaps: 1}},
		"one twice":                  {texts(7, 8, 8, 9), Result{Expected: 3, Received: 3, Duplicates: 1}},
		"one twice, later":           {texts(7, 8, 9, 7), Result{Expected: 3, Received: 3, Duplicates: 1}},
		"two swapped":                {texts(7, 9, 8, 10), Result{Expected: 4, Received: 4, Reordered: 1}},
		"a restart":                  {texts(1007, 1008, 0, 1), Result{Expected: 2, Received: 2, Reordered: 2}},
		"another size":               {append(texts(7, 8), stamped(9)+" "), Result{Expected: 3, Received: 3, Wrong: 1}},
		"from the future":            {append(texts(7), stampedAt(8, time.Now().Add(time.Minute))), Result{Expected: 1, Received: 1, Wrong: 1}},
		"a digit altered":            {append(texts(7, 8), strings.Replace(stamped(9), `"n":"0`, `"n":"x`, 1)), Result{Expected: 2, Received: 2, Wrong: 1}},
		"the name altered":           {append(texts(7, 8), strings.Replace(stamped(9), `"n"`, `"N"`, 1)), Result{Expected: 2, Received: 2, Wrong: 1}},
		"cut short":                  {append(texts(7), stamped(8)[:20]), Result{Expected: 1, Received: 1, Wrong: 1}},
		"lines of messages in one":   {[]string{stamped(7), stamped(8) + "\n" + stamped(9), stamped(10)}, Result{Expected: 4, Received: 4}},
		"wrapped by another server":  {[]string{wrapped}, Result{Expected: 1, Received: 1}},
		"nothing but what says none": {[]string{"hello"}, Result{Expected: 1, Received: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			url := says(t, func(_ int, w net.Conn) error {
				for _, m := range c.messages {
					if _, err := w.Write(frame(m)); err != nil {
						return err
					}
				}
				return nil
			})
			r := listen(t, FanoutOptions{Options: Options{URL: url, Connections: 1}})
			if got, want := counts(r), counts(&c.want); got != want {
				t.Errorf("expected, received, wrong, gaps, duplicates, reordered, errors: found %v, not %v", got, want)
			}
			var m *Mismatch
			bad := c.want.Expected != c.want.Received || c.want.Wrong+c.want.Gaps+c.want.Duplicates+c.want.Reordered > 0
			if errors.As(r.Err(), &m) != bad || bad && m.ExitCode() != 2 {
				t.Errorf("the verdict is %v", r.Err())
			}
		})
	}
}

func TestAClientThatIsLeftBehindIsMissingMessages(t *testing.T) {
	url := says(t, func(client int, w net.Conn) error {
		for n := range uint64(10 - 3*client) { // the second one gets three less, and the third none
			if client == 2 {
				return nil
			}
			if _, err := w.Write(frame(stamped(n))); err != nil {
				return err
			}
		}
		return nil
	})
	r := listen(t, FanoutOptions{Options: Options{URL: url, Connections: 3}})
	if r.Expected != 30 || r.Received != 17 || r.Err() == nil {
		t.Errorf("expected %d, received %d, verdict %v: not what was sent", r.Expected, r.Received, r.Err())
	}
}

// TestAnyCutGivesTheSameMessages: what comes in pieces is what was sent,
// fragments and control frames between them included.
func TestAnyCutGivesTheSameMessages(t *testing.T) {
	url := says(t, func(_ int, w net.Conn) error {
		var all []byte
		for n := range uint64(30) {
			m := []byte(stamped(n) + strings.Repeat(" ", 7_000))
			all = ws.AppendFrame(all, ws.Header{Opcode: ws.Text}, m[:11])
			all = ws.AppendFrame(all, ws.Header{Fin: true, Opcode: ws.Pong}, []byte("unasked"))
			all = ws.AppendFrame(all, ws.Header{Fin: true, Opcode: ws.Continuation}, m[11:])
		}
		for len(all) > 0 {
			n := min(1+rand.IntN(10_000), len(all))
			if _, err := w.Write(all[:n]); err != nil {
				return err
			}
			all = all[n:]
		}
		return nil
	})
	r := listen(t, FanoutOptions{Options: Options{URL: url, Connections: 1, Duration: time.Second}, Drain: 5 * time.Second})
	if got := counts(r); got != [7]uint64{30, 30} {
		t.Errorf("of 30 messages in pieces: expected, received, wrong, gaps, duplicates, reordered, errors: %v", got)
	}
}

func TestCompressedMessagesAreInflated(t *testing.T) {
	answer := &handshake.Answer{Extensions: "permessage-deflate; server_no_context_takeover"}
	url := saysAnswering(t, answer, func(_ int, w net.Conn) error {
		var d ws.Deflater
		for n := range uint64(100) {
			m := []byte(stamped(n) + strings.Repeat(" ", 900))
			b := frame(string(m))
			if n%3 != 0 { // some may go as they are
				m = d.Append(nil, m)
				b = ws.AppendFrame(nil, ws.Header{Opcode: ws.Text, RSV: ws.RSV1}, m[:n%10])
				b = ws.AppendFrame(b, ws.Header{Fin: true, Opcode: ws.Continuation}, m[n%10:])
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	r := listen(t, FanoutOptions{Options: Options{URL: url, Connections: 3, Duration: time.Second}, Compress: true, Drain: 5 * time.Second})
	if got := counts(r); got != [7]uint64{300, 300} || r.Err() != nil {
		t.Errorf("expected, received, wrong, gaps, duplicates, reordered, errors: %v; %s", got, r.FirstError)
	}
}

func TestAServerThatKeepsItsWindowIsRefused(t *testing.T) {
	url := saysAnswering(t, &handshake.Answer{Extensions: "permessage-deflate"}, func(int, net.Conn) error { return nil })
	_, err := Fanout(t.Context(), FanoutOptions{Options: Options{URL: url, Connections: 1, Loops: 1}, Compress: true})
	if !errors.Is(err, errTakeover) {
		t.Errorf("went on with %v", err)
	}
}

func TestSlowReadersCountForNothing(t *testing.T) {
	var cut atomic.Int32
	url := says(t, func(_ int, w net.Conn) error {
		fill := strings.Repeat(" ", 64<<10)
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for n := range uint64(300) { // 20 MB, more than both sockets hold
			<-pace.C
			_ = w.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := w.Write(frame(stamped(n) + fill)); err != nil {
				cut.Add(1)
				return err
			}
		}
		return nil
	})
	r := listen(t, FanoutOptions{Options: Options{URL: url, Connections: 4, Duration: 2 * time.Second}, SlowReaders: 0.5, Drain: 5 * time.Second})
	if got := counts(r); got != [7]uint64{600, 600} || r.Err() != nil {
		t.Errorf("expected, received, wrong, gaps, duplicates, reordered, errors: %v: not those of two readers alone", got)
	}
	if cut.Load() != 2 {
		t.Errorf("the server closed %d clients, not the two that do not read", cut.Load())
	}
}
