package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// EchoOptions are those of a closed loop: each connection has so many messages
// under way, and sends another when one comes back.
type EchoOptions struct {
	Options
	Inflight int
	Size     int           // bytes of a message; at least 8
	Warmup   time.Duration // not measured
	Text     bool
}

// echoJob sends stamped messages and wants them back in order. What belongs to
// a loop is in cells.
type echoJob struct {
	crowd   *crowd
	opt     EchoOptions
	payload []byte // read-only
	cells   []echoCell
	stop    atomic.Bool
	count   atomic.Bool // the warm-up is over
}

type echoCell struct {
	h              *hdrhistogram.Histogram
	sent, received atomic.Uint64 // all of them
	measured       atomic.Uint64
	wrong          atomic.Uint64
	scratch        []byte
	_              [64]byte
}

// Echo runs a closed loop against an echo server.
func Echo(ctx context.Context, o EchoOptions) (*Result, error) {
	if o.Size < 8 {
		return nil, fmt.Errorf("a size of %d: a message needs 8 bytes for its number", o.Size)
	}
	c, err := newCrowd(ctx, &o.Options)
	if err != nil {
		return nil, err
	}
	defer c.group.Stop()
	j := &echoJob{crowd: c, opt: o, payload: make([]byte, o.Size), cells: make([]echoCell, len(c.group.Loops()))}
	for i := range j.payload {
		j.payload[i] = 'a' + byte(i%26)
	}
	for i := range j.cells {
		j.cells[i].h = newHistogram()
	}
	clients, err := c.start(ctx, o.Connections, o.OpenTimeout, func() *client { return &client{job: j} })
	if err != nil {
		return nil, err
	}
	for _, cl := range clients {
		cl.conn.Loop().Post(&echoStart{j, cl})
	}
	return j.measure(ctx, clients)
}

func (j *echoJob) measure(ctx context.Context, clients []*client) (*Result, error) {
	pause(ctx, j.opt.Warmup)
	m, err := newMeter(j.opt.PIDs)
	if err != nil {
		return nil, err
	}
	j.count.Store(true)
	wctx, cancel := context.WithCancel(ctx)
	go watch(wctx, j.opt.Progress, j.progress())
	pause(ctx, j.opt.Duration)
	cancel()
	elapsed, cpu, err := m.read()
	if err != nil {
		return nil, err
	}
	j.count.Store(false)
	j.stop.Store(true)
	j.drain(5 * time.Second)
	j.crowd.finish(clients, 5*time.Second)
	return j.result(elapsed, cpu), nil
}

func (j *echoJob) sum(f func(*echoCell) *atomic.Uint64) (n uint64) {
	for i := range j.cells {
		n += f(&j.cells[i]).Load()
	}
	return n
}

func (j *echoJob) progress() func() string {
	last := uint64(0)
	return func() string {
		now := j.sum(func(c *echoCell) *atomic.Uint64 { return &c.measured })
		s := fmt.Sprintf("%d connections, %d messages a second", j.crowd.live.Load(), now-last)
		last = now
		return s
	}
}

// drain waits until every message has come back.
func (j *echoJob) drain(wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if j.sum(func(c *echoCell) *atomic.Uint64 { return &c.received }) >= j.sum(func(c *echoCell) *atomic.Uint64 { return &c.sent }) {
			return
		}
	}
}

func (j *echoJob) result(elapsed, cpu time.Duration) *Result {
	h := newHistogram()
	for i := range j.cells {
		h.Merge(j.cells[i].h)
	}
	r := &Result{
		Scenario:    fmt.Sprintf("echo of %d bytes, %d under way on each connection", j.opt.Size, j.opt.Inflight),
		Connections: j.opt.Connections, Elapsed: elapsed, Latency: latency(h),
		Count:    j.sum(func(c *echoCell) *atomic.Uint64 { return &c.measured }),
		Expected: j.sum(func(c *echoCell) *atomic.Uint64 { return &c.sent }),
		Received: j.sum(func(c *echoCell) *atomic.Uint64 { return &c.received }),
		Wrong:    j.sum(func(c *echoCell) *atomic.Uint64 { return &c.wrong }),
	}
	r.PerSecond = float64(r.Count) / elapsed.Seconds()
	if r.Count > 0 {
		r.CPU = float64(cpu.Nanoseconds()) / 1e3 / float64(r.Count)
	}
	j.crowd.fill(r)
	return r
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

type echoStart struct {
	j *echoJob
	c *client
}

// Run sends the first messages of a connection.
func (t *echoStart) Run(*loop.Loop) {
	for range max(t.j.opt.Inflight, 1) {
		t.j.send(t.c)
	}
}

func (j *echoJob) send(c *client) {
	if !c.conn.Live() {
		return
	}
	l := c.conn.Loop()
	cell := &j.cells[l.Index]
	h := ws.Header{Fin: true, Opcode: ws.Binary, Masked: true, Key: l.MaskKey(), Length: uint64(len(j.payload))}
	if j.opt.Text {
		h.Opcode = ws.Text
	}
	b := ws.AppendHeader(cell.scratch[:0], h)
	at := len(b)
	b = append(b, j.payload...)
	binary.BigEndian.PutUint64(b[at:], c.next)
	if j.opt.Text { // ASCII digits keep it text
		for i := range 8 {
			b[at+i] = '0' + byte(c.next>>(4*(7-i))&0xF)
		}
	}
	ws.Mask(b[at:], h.Key, 0)
	cell.scratch = b
	c.next++
	c.sent = append(c.sent, time.Duration(nanotime()))
	cell.sent.Add(1)
	c.conn.Write(b)
}

var base = time.Now()

func nanotime() int64 { return int64(time.Since(base)) }

// maxGreetings is how many messages a server may send unasked before its first
// echo.
const maxGreetings = 8

func (j *echoJob) opened(*client) { j.crowd.joined() }

func (j *echoJob) message(c *client, head []byte, size int) {
	cell := &j.cells[c.conn.Loop().Index]
	ours := size == len(j.payload) && stamp(head, j.opt.Text) == j.stampOf(c.expected)
	if !ours && c.expected == 0 && c.greetings < maxGreetings {
		c.greetings++
		return
	}
	cell.received.Add(1)
	if !ours {
		cell.wrong.Add(1)
	}
	c.expected++
	if len(c.sent) > 0 {
		if j.count.Load() {
			cell.measured.Add(1)
			_ = cell.h.RecordValue(max(nanotime()-int64(c.sent[0]), 1)) // over a minute is not counted
		}
		c.sent = c.sent[:copy(c.sent, c.sent[1:])]
	}
	if !j.stop.Load() {
		j.send(c)
	}
}

// stampOf is the number as its message can carry it.
func (j *echoJob) stampOf(n uint64) uint64 {
	if j.opt.Text {
		return n & 0xFFFFFFFF
	}
	return n
}

func stamp(head []byte, text bool) (n uint64) {
	if len(head) < 8 {
		return ^uint64(0)
	}
	if !text {
		return binary.BigEndian.Uint64(head)
	}
	for _, c := range head[:8] {
		n = n<<4 | uint64(c-'0')
	}
	return n
}

func (j *echoJob) ended(c *client, err error) { j.crowd.gone(c, err) }
