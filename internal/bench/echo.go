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
	Keys     int // the messages are JSON with an id and a key of so many values; 0: they are not
}

// A message of JSON, and where its number and its key stand.
const (
	jsonStart  = `{"id":"00000000","key":"k000","text":"`
	jsonEnd    = `"}`
	jsonNumber = len(`{"id":"`)
	jsonKey    = len(`{"id":"00000000","key":"k`)
	mostKeys   = 1000
)

// echoJob sends stamped messages and wants them back in order. What belongs to
// a loop is in cells.
type echoJob struct {
	crowd   *crowd
	opt     EchoOptions
	payload []byte // read-only
	number  int    // where in it the number stands
	cells   []echoCell
	stop    atomic.Bool
	count   atomic.Bool // the warm-up is over
}

// echoer is one connection.
type echoer struct {
	client
	j         *echoJob
	sent      []time.Duration // when each message under way was sent, oldest first
	next      uint64          // sequence number to send
	expected  uint64          // sequence number to come
	greetings int             // messages that came before the first echo
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
	if least := len(jsonStart + jsonEnd); o.Keys < 0 || o.Keys > mostKeys || o.Keys > 0 && o.Size < least {
		return nil, fmt.Errorf("messages with keys: 1 to %d keys, and %d bytes at least", mostKeys, least)
	}
	o.Text = o.Text || o.Keys > 0
	c, err := newCrowd(ctx, &o.Options)
	if err != nil {
		return nil, err
	}
	defer c.group.Stop()
	j := &echoJob{crowd: c, opt: o, payload: make([]byte, o.Size), cells: make([]echoCell, len(c.group.Loops()))}
	for i := range j.payload {
		j.payload[i] = 'a' + byte(i%26)
	}
	if o.Keys > 0 {
		copy(j.payload, jsonStart)
		copy(j.payload[o.Size-len(jsonEnd):], jsonEnd)
		j.number = jsonNumber
	}
	for i := range j.cells {
		j.cells[i].h = newHistogram()
	}
	clients, err := c.start(ctx, o.Connections, o.OpenTimeout, j.echoer)
	if err != nil {
		return nil, err
	}
	for _, cl := range clients {
		cl.conn.Loop().Post((*echoStart)(cl.job.(*echoer)))
	}
	return j.measure(ctx, clients)
}

func (j *echoJob) measure(ctx context.Context, clients []*client) (*Result, error) {
	elapsed, cpu, err := timed(ctx, &j.opt.Options, j.opt.Warmup, &j.count, j.progress())
	if err != nil {
		return nil, err
	}
	j.stop.Store(true)
	j.drain(5 * time.Second)
	j.crowd.finish(clients, 5*time.Second)
	return j.result(elapsed, cpu), nil
}

func (j *echoJob) progress() func() string {
	last := uint64(0)
	return func() string {
		now := total(j.cells, func(c *echoCell) *atomic.Uint64 { return &c.measured })
		s := fmt.Sprintf("%d connections, %d messages a second", j.crowd.live.Load(), now-last)
		last = now
		return s
	}
}

// drain waits until every message has come back.
func (j *echoJob) drain(wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if total(j.cells, func(c *echoCell) *atomic.Uint64 { return &c.received }) >= total(j.cells, func(c *echoCell) *atomic.Uint64 { return &c.sent }) {
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
		Count:    total(j.cells, func(c *echoCell) *atomic.Uint64 { return &c.measured }),
		Expected: total(j.cells, func(c *echoCell) *atomic.Uint64 { return &c.sent }),
		Received: total(j.cells, func(c *echoCell) *atomic.Uint64 { return &c.received }),
		Wrong:    total(j.cells, func(c *echoCell) *atomic.Uint64 { return &c.wrong }),
	}
	r.rate(cpu)
	j.crowd.fill(r)
	return r
}

// timed has a load count while it is measured, and tells how long that was and
// what the processes in question took.
func timed(ctx context.Context, o *Options, warmup time.Duration, count *atomic.Bool, progress func() string) (elapsed, cpu time.Duration, err error) {
	pause(ctx, warmup)
	m, err := newMeter(o.PIDs)
	if err != nil {
		return 0, 0, err
	}
	count.Store(true)
	defer count.Store(false)
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go watch(wctx, o.Progress, progress)
	pause(ctx, o.Duration)
	return m.read()
}

// total sums up a count of all loops' cells.
func total[C any](cells []C, of func(*C) *atomic.Uint64) (n uint64) {
	for i := range cells {
		n += of(&cells[i]).Load()
	}
	return n
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (j *echoJob) echoer() *client {
	e := &echoer{j: j}
	e.job = e
	return &e.client
}

type echoStart echoer

// Run sends the first messages of a connection.
func (t *echoStart) Run(*loop.Loop) {
	e := (*echoer)(t)
	for range max(e.j.opt.Inflight, 1) {
		e.send()
	}
}

func (e *echoer) send() {
	if !e.conn.Live() {
		return
	}
	j := e.j
	l := e.conn.Loop()
	cell := &j.cells[l.Index]
	h := ws.Header{Fin: true, Opcode: ws.Binary, Masked: true, Key: l.MaskKey(), Length: uint64(len(j.payload))}
	if j.opt.Text {
		h.Opcode = ws.Text
	}
	b := ws.AppendHeader(cell.scratch[:0], h)
	at := len(b)
	b = append(b, j.payload...)
	if j.opt.Text { // ASCII digits keep it text
		for i := range 8 {
			b[at+j.number+i] = '0' + byte(e.next>>(4*(7-i))&0xF)
		}
	} else {
		binary.BigEndian.PutUint64(b[at:], e.next)
	}
	if j.opt.Keys > 0 {
		k := e.next % uint64(j.opt.Keys)
		copy(b[at+jsonKey:], []byte{'0' + byte(k/100), '0' + byte(k/10%10), '0' + byte(k%10)})
	}
	ws.Mask(b[at:], h.Key, 0)
	cell.scratch = b
	e.next++
	e.sent = append(e.sent, time.Duration(nanotime()))
	cell.sent.Add(1)
	e.conn.Write(b)
}

var base = time.Now()

func nanotime() int64 { return int64(time.Since(base)) }

// maxGreetings is how many messages a server may send unasked before its first
// echo.
const maxGreetings = 8

func (e *echoer) opened(*client) { e.j.crowd.joined() }

func (e *echoer) message(_ *client, p []byte, size int, _ int64) {
	j := e.j
	cell := &j.cells[e.conn.Loop().Index]
	ours := size == len(j.payload) && echoNumber(p[min(j.number, len(p)):], j.opt.Text) == j.carried(e.expected)
	if !ours && e.expected == 0 && e.greetings < maxGreetings {
		e.greetings++
		return
	}
	cell.received.Add(1)
	if !ours {
		cell.wrong.Add(1)
	}
	e.expected++
	if len(e.sent) > 0 {
		if j.count.Load() {
			cell.measured.Add(1)
			_ = cell.h.RecordValue(max(nanotime()-int64(e.sent[0]), 1)) // over a minute is not counted
		}
		e.sent = e.sent[:copy(e.sent, e.sent[1:])]
	}
	if !j.stop.Load() {
		e.send()
	}
}

// carried is the number as its message can carry it.
func (j *echoJob) carried(n uint64) uint64 {
	if j.opt.Text {
		return n & 0xFFFFFFFF
	}
	return n
}

func echoNumber(p []byte, text bool) (n uint64) {
	if len(p) < 8 {
		return ^uint64(0)
	}
	if !text {
		return binary.BigEndian.Uint64(p)
	}
	for _, c := range p[:8] {
		n = n<<4 | uint64(c-'0')
	}
	return n
}

func (e *echoer) ended(c *client, err error) { e.j.crowd.gone(c, err) }
