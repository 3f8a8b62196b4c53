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

// ChurnOptions are those of sessions that open, exchange a few messages one
// after the other, and close; where one was, the next one opens.
type ChurnOptions struct {
	Options
	Messages int           // of a session
	Size     int           // bytes of a message; at least 8
	Warmup   time.Duration // not measured
}

// churnJob keeps so many sessions under way. What belongs to a loop is in cells.
type churnJob struct {
	crowd   *crowd
	opt     ChurnOptions
	payload []byte // read-only
	cells   []churnCell
	count   atomic.Bool   // the warm-up is over
	stop    atomic.Bool   // none is opened any more
	over    chan struct{} // a value for each connection that is not opened again
}

// churnCell is a loop's part. Histograms are the loop's until all
// sessions have ended.
type churnCell struct {
	handshakes, echoes    *hdrhistogram.Histogram
	sent, received, wrong atomic.Uint64 // messages, all of them
	sessions              atomic.Uint64 // that ended in good order while it was measured
	scratch               []byte
	_                     [64]byte
}

// churner is one session.
type churner struct {
	client
	j         *churnJob
	sent      time.Duration // when the message under way was sent
	number    uint64        // of that message, from 1
	greetings int           // messages that came before the first echo
}

// Churn runs sessions against an echo server. A session counts when it has
// closed; messages are reconciled.
func Churn(ctx context.Context, o ChurnOptions) (*Result, error) {
	if o.Size < 8 || o.Messages < 1 {
		return nil, fmt.Errorf("%d messages of %d bytes: at least one, which needs 8 bytes for its number", o.Messages, o.Size)
	}
	o.Parallel = o.Connections
	c, err := newCrowd(ctx, &o.Options)
	if err != nil {
		return nil, err
	}
	defer c.group.Stop()
	j := &churnJob{crowd: c, opt: o, payload: make([]byte, o.Size), over: make(chan struct{}, o.Connections)}
	j.cells = make([]churnCell, len(c.group.Loops()))
	for i := range j.cells {
		j.cells[i].handshakes, j.cells[i].echoes = newHistogram(), newHistogram()
	}
	for i := range o.Connections {
		j.begin(c.group.Loops()[i%len(j.cells)])
	}
	return j.measure(ctx)
}

// begin opens a session. There is a ticket for each connection, so it does not
// wait.
func (j *churnJob) begin(l *loop.Loop) {
	j.crowd.tickets <- struct{}{}
	c := &churner{j: j}
	c.job, c.target = c, j.crowd.target
	l.Post(&c.client)
}

func (j *churnJob) measure(ctx context.Context) (*Result, error) {
	elapsed, cpu, err := timed(ctx, &j.opt.Options, j.opt.Warmup, &j.count, j.progress())
	if err != nil {
		return nil, err
	}
	j.stop.Store(true)
	missing := j.rest(5 * time.Second)
	r := j.result(elapsed, cpu)
	if missing == 0 { // nobody writes there any more
		r.Latency, r.Handshake = j.latencies()
		return r, nil
	}
	r.Errors += uint64(missing)
	if r.FirstError == "" {
		r.FirstError = fmt.Sprintf("%d sessions did not end", missing)
	}
	return r, nil
}

func (j *churnJob) latencies() (echo, handshake *Latency) {
	echoes, handshakes := newHistogram(), newHistogram()
	for i := range j.cells {
		echoes.Merge(j.cells[i].echoes)
		handshakes.Merge(j.cells[i].handshakes)
	}
	return latency(echoes), latency(handshakes)
}

// rest waits until all sessions under way have ended, and tells how many have
// not.
func (j *churnJob) rest(wait time.Duration) int {
	deadline := time.After(wait)
	for n := range j.opt.Connections {
		select {
		case <-j.over:
		case <-deadline:
			return j.opt.Connections - n
		}
	}
	return 0
}

func (j *churnJob) progress() func() string {
	last := uint64(0)
	return func() string {
		now := total(j.cells, func(c *churnCell) *atomic.Uint64 { return &c.sessions })
		s := fmt.Sprintf("%d sessions a second", now-last)
		last = now
		return s
	}
}

func (j *churnJob) result(elapsed, cpu time.Duration) *Result {
	r := &Result{
		Scenario:    fmt.Sprintf("sessions of %d echoes of %d bytes", j.opt.Messages, j.opt.Size),
		Connections: j.opt.Connections, Elapsed: elapsed,
		Count:    total(j.cells, func(c *churnCell) *atomic.Uint64 { return &c.sessions }),
		Expected: total(j.cells, func(c *churnCell) *atomic.Uint64 { return &c.sent }),
		Received: total(j.cells, func(c *churnCell) *atomic.Uint64 { return &c.received }),
		Wrong:    total(j.cells, func(c *churnCell) *atomic.Uint64 { return &c.wrong }),
	}
	r.rate(cpu)
	j.crowd.fill(r)
	return r
}

func (c *churner) cell() *churnCell { return &c.j.cells[c.conn.Loop().Index] }

func (c *churner) opened(*client) {
	c.j.crowd.joined()
	if c.j.count.Load() {
		_ = c.cell().handshakes.RecordValue(max(int64(c.conn.Loop().Now()-c.began), 1)) // over a minute is not counted
	}
	c.send()
}

// send sends the session's next message.
func (c *churner) send() {
	cell := c.cell()
	c.number++
	h := ws.Header{Fin: true, Opcode: ws.Binary, Masked: true, Key: c.conn.Loop().MaskKey(), Length: uint64(len(c.j.payload))}
	b := ws.AppendHeader(cell.scratch[:0], h)
	at := len(b)
	b = append(b, c.j.payload...)
	binary.BigEndian.PutUint64(b[at:], c.number)
	ws.Mask(b[at:], h.Key, 0)
	cell.scratch = b
	c.sent = time.Duration(nanotime())
	cell.sent.Add(1)
	c.conn.Write(b)
}

func (c *churner) message(_ *client, p []byte, size int, _ int64) {
	ours := size == len(c.j.payload) && echoNumber(p, false) == c.number
	if !ours && c.number == 1 && c.greetings < maxGreetings {
		c.greetings++
		return
	}
	cell := c.cell()
	cell.received.Add(1)
	if !ours {
		cell.wrong.Add(1)
	}
	if c.j.count.Load() {
		_ = cell.echoes.RecordValue(max(nanotime()-int64(c.sent), 1)) // over a minute is not counted
	}
	if c.number < uint64(c.j.opt.Messages) {
		c.send()
		return
	}
	c.close()
}

// ended opens the next session, unless it is over or this one failed: what
// fails once may fail for ever, as fast as it can.
func (c *churner) ended(_ *client, err error) {
	j := c.j
	l := c.conn.Loop()
	j.crowd.gone(&c.client, err)
	<-j.crowd.done
	if err == nil && j.count.Load() {
		j.cells[l.Index].sessions.Add(1)
	}
	if err != nil || j.stop.Load() {
		j.over <- struct{}{}
		return
	}
	j.begin(l)
}
