package faults_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// Kinds of listeners.
const (
	plainFrames = iota
	deflatedFrames
	sseEvents
	ndjsonLines
	kinds
)

var kindNames = [kinds]string{"plain", "deflate", "sse", "ndjson"}

// heard is one thing that a listener got.
type heard struct {
	c, n   int
	key    string
	offset string // of the message, where it is told; or of a notice
	lost   uint64 // a notice: so many messages
	notice bool
}

// life is what one connection of a listener heard.
type life struct {
	name   string
	kind   int
	asked  bool    // it came back, for what follows a message
	after  heard   // that one
	owed   uint64  // messages behind that, which it was told are lost
	near   bool    // the history must have had it all
	least  int     // it can't begin before so many messages of the stream
	offset string  // the one that comes first, as it was announced
	gap    *uint64 // as it was announced
	got    []heard
	code   int  // it was closed with; 0: it was not
	left   bool // by itself
}

// listener is a client that comes, listens and leaves, again and again.
type listener struct {
	name     string
	run      *run
	feed     *feed
	plan     plan
	r        *rand.Rand
	kind     int
	conn     net.Conn
	in       ws.Parser
	flate    ws.Inflater
	buf      []byte // read and not yet understood
	text     []byte // of the message under way
	zip      bool   // which is compressed
	most     int    // bytes of a read
	bytewise int    // reads until it goes on faster

	witness  bool // the feed waits for it
	restless bool // it leaves again at once
	stalls   bool // it does not read at first

	life *life
}

var (
	errNothing = errors.New("the stream is no more")
	errEnd     = errors.New("the end")
)

const patience = 30 * time.Second

// join connects and asks, for what is live or for what follows the last
// message of a former life.
func (l *listener) join(name string, before *life) error {
	l.life = &life{name: name, kind: l.kind, least: int(l.feed.witnessed.Load())}
	l.in, l.buf, l.text = ws.Parser{Deflate: l.kind == deflatedFrames}, nil, nil
	l.stalls = !l.witness && !l.restless && l.r.IntN(3) == 0
	addr, pass := l.run.way(l)
	conn, err := net.DialTimeout("tcp", addr.String(), patience)
	if err != nil {
		return err
	}
	l.conn, l.most, l.bytewise = conn, 64<<10, 0
	switch how := l.r.IntN(5); {
	case l.witness:
	case l.stalls:
		_ = conn.(*net.TCPConn).SetReadBuffer(48 << 10)
	case how == 1:
		l.most = 1 + l.r.IntN(2000)
	case how == 2:
		l.most, l.bytewise = 1, 2000
	}
	if _, err = conn.Write([]byte(l.request(before, pass))); err != nil {
		return errEnd
	}
	head, err := l.until("\r\n\r\n")
	if err != nil {
		return err
	}
	status, _ := strconv.Atoi(strings.SplitN(head, " ", 3)[1])
	if status >= 502 && status <= 504 {
		return errNothing
	}
	if status == 400 && l.run.struck(pass) { // half a head was there
		return errEnd
	}
	if status != 101 && status != 200 {
		return fmt.Errorf("%.300q", head)
	}
	if l.life.asked {
		l.life.near = l.isNear()
	}
	_, offset, _ := strings.Cut(head, "Sluice-Offset: ")
	l.life.offset, _, _ = strings.Cut(offset, "\r\n")
	if l.kind == deflatedFrames != strings.Contains(head, "permessage-deflate") {
		return fmt.Errorf("%.300q", head)
	}
	if before != nil && l.kind <= deflatedFrames {
		return l.announced()
	}
	return nil
}

// request asks for the stream. Who comes back with an offset asks to be told
// where it goes on. pass names its script to the link.
func (l *listener) request(before *life, pass int) string {
	target, extra := fmt.Sprintf("/?pass=%d", pass), ""
	if before != nil {
		l.life.asked = true
		for k := len(before.got) - 1; k >= 0; k-- { // notices don't count as places
			if l.life.after = before.got[k]; !l.life.after.notice {
				break
			}
			l.life.owed += before.got[k].lost
		}
		switch l.kind {
		case sseEvents:
			extra, l.life.owed = "Last-Event-ID: "+l.life.after.offset+"\r\n", 0
		case ndjsonLines:
			target, l.life.owed = target+"&sluice_from="+next(l.life.after.offset, 1), 0
		default:
			target += "&sluice_announce=1&sluice_from=" + next(before.offset, before.counted())
		}
	}
	if l.kind <= deflatedFrames {
		if l.kind == deflatedFrames {
			extra += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
		}
		return strings.TrimSuffix(testkit.Upgrade(target), "\r\n") + extra + "\r\n"
	}
	accept := map[int]string{sseEvents: "text/event-stream", ndjsonLines: "application/x-ndjson"}[l.kind]
	return "GET " + target + " HTTP/1.1\r\nHost: sluice.test\r\nAccept: " + accept + "\r\n" + extra + "\r\n"
}

// isNear tells whether what is asked for must be in the history.
func (l *listener) isNear() bool {
	messages, size := l.feed.since(l.life.after.c, l.life.after.n)
	if l.kind > deflatedFrames { // as they are written there, each quote with a backslash
		size = 2*size + 100*messages
	}
	return messages <= l.plan.messages && size <= l.plan.bytes
}

// counted is how many messages a client that counts has behind its offset.
func (f *life) counted() (n uint64) {
	for _, h := range f.got {
		if h.notice {
			n += h.lost
		} else {
			n++
		}
	}
	return n
}

// next adds to an offset.
func next(offset string, n uint64) string {
	epoch, number, _ := strings.Cut(offset, "-")
	k, _ := strconv.ParseUint(number, 10, 63)
	return epoch + "-" + strconv.FormatUint(k+n, 10)
}

// placed notes what the listener was told of where it goes on.
func (l *listener) placed(p []byte) error {
	var at struct {
		Offset string
		Gap    *uint64
	}
	if err := json.Unmarshal(p, &at); err != nil || at.Offset != l.life.offset {
		return fmt.Errorf("the answer says %s, the announcement %q", l.life.offset, p)
	}
	if l.life.gap = at.Gap; at.Gap == nil {
		return errors.New("the gap is not known")
	}
	return nil
}

func (l *listener) announced() error {
	for {
		p, err := l.frame()
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		var told struct{ Sluice json.RawMessage }
		if err := json.Unmarshal(p, &told); err != nil {
			return fmt.Errorf("the first message is no announcement: %.80q", p)
		}
		return l.placed(told.Sluice)
	}
}

// until reads up to some text, and gives what is before it.
func (l *listener) until(text string) (string, error) {
	for {
		if head, rest, ok := bytes.Cut(l.buf, []byte(text)); ok {
			s := string(head)
			l.buf = rest
			return s, nil
		}
		if err := l.fill(); err != nil {
			return "", err
		}
	}
}

func (l *listener) fill() error {
	if l.bytewise > 0 {
		if l.bytewise--; l.bytewise == 0 {
			l.most = 64 << 10
		}
	}
	b := make([]byte, l.most)
	_ = l.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := l.conn.Read(b)
	if l.buf = append(l.buf, b[:n]...); n > 0 {
		return nil
	}
	if err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return errEnd
	}
	return err
}

// hear reads one thing more.
func (l *listener) hear() error {
	switch l.kind {
	case sseEvents:
		block, err := l.until("\n\n")
		if err != nil {
			return l.half(err)
		}
		return l.event(block)
	case ndjsonLines:
		line, err := l.until("\n")
		if err != nil {
			return l.half(err)
		}
		return l.line(line)
	}
	p, err := l.frame()
	if err != nil || p == nil {
		return err
	}
	return l.message(p, "")
}

// half is an end behind which nothing may be left, unless it was too slow.
func (l *listener) half(err error) error {
	if err == errEnd && len(l.buf) > 0 && l.life.code != 0 {
		return fmt.Errorf("%.80q follows the close", l.buf)
	}
	return err
}

// frame reads frames up to the end of a message, and gives that; nil for a
// control frame.
func (l *listener) frame() ([]byte, error) {
	for {
		piece, err := l.in.Next(l.buf)
		if err != nil {
			return nil, err
		}
		p := l.buf[piece.Head:piece.N]
		l.buf = l.buf[piece.N:]
		switch piece.Kind {
		case ws.Control:
			return nil, l.control(p)
		case ws.Data:
			if piece.Start && l.in.Header.Opcode != ws.Continuation {
				l.zip = l.in.Header.RSV == ws.RSV1
			}
			l.text = append(l.text, p...)
			if piece.End && l.in.MessageEnd() {
				return l.whole()
			}
		}
		if piece.N == 0 {
			if err := l.fill(); err != nil {
				return nil, err
			}
		}
	}
}

func (l *listener) whole() ([]byte, error) {
	p := append([]byte{}, l.text...)
	l.text = l.text[:0]
	if l.life.code != 0 {
		return nil, fmt.Errorf("%.80q follows the close", p)
	}
	if !l.zip {
		return p, nil
	}
	return l.flate.Append(nil, p, 1<<20)
}

func (l *listener) control(p []byte) error {
	switch l.in.Header.Opcode {
	case ws.Ping:
		l.conn.Write(testkit.Pong(string(p)).Masked())
	case ws.CloseFrame:
		code, _, err := ws.ParseClose(p)
		l.life.code = int(code)
		l.conn.Write(testkit.Close(code, "").Masked())
		return err
	}
	return nil
}

func (l *listener) event(block string) error {
	var id, event string
	var data []string
	for line := range strings.SplitSeq(block, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			id = value
		case "event":
			event = value
		case "data":
			data = append(data, value)
		}
	}
	text := []byte(strings.Join(data, "\n"))
	switch {
	case event == "sluice":
		return l.placed(text)
	case event == "close":
		return l.closed(text)
	case data == nil: // retry, or a comment
		return nil
	}
	return l.message(text, id)
}

func (l *listener) line(line string) error {
	if line == "" {
		return nil
	}
	var m struct {
		Offset        string
		Data          *string
		Sluice, Close json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		return fmt.Errorf("%.80q: %w", line, err)
	}
	switch {
	case m.Sluice != nil:
		return l.placed(m.Sluice)
	case m.Close != nil:
		return l.closed(m.Close)
	case m.Data == nil:
		return fmt.Errorf("%.80q says nothing", line)
	}
	return l.message([]byte(*m.Data), m.Offset)
}

func (l *listener) closed(p []byte) error {
	var w struct{ Code int }
	err := json.Unmarshal(p, &w)
	l.life.code = w.Code
	return err
}

// message notes a message of the source's, or a notice.
func (l *listener) message(p []byte, offset string) error {
	var m struct {
		C, N   *int
		K      string
		X      string
		Notice *struct {
			Lost   uint64
			Offset string
		}
	}
	if err := json.Unmarshal(p, &m); err != nil {
		return fmt.Errorf("%.80q: %w", p, err)
	}
	switch {
	case m.Notice != nil:
		l.life.got = append(l.life.got, heard{notice: true, lost: m.Notice.Lost, offset: m.Notice.Offset})
	case m.N == nil || m.C == nil || strings.Trim(m.X, string(rune('a'+*m.N%26))) != "":
		return fmt.Errorf("not a message of the source's: %.80q", p)
	default:
		l.life.got = append(l.life.got, heard{c: *m.C, n: *m.N, key: m.K, offset: offset})
		if l.witness {
			l.feed.arrived(*m.C, len(p))
		}
	}
	return nil
}
