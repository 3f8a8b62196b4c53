package loop

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Task is work for a loop, posted from anywhere. One that panics is told by
// Panicked, if it has that method.
type Task interface {
	Run(l *Loop)
}

// Options adjust a Group.
type Options struct {
	Loops  int  // 0: one per usable core
	Stream bool // use the stream transport everywhere
	// Panicked is told of a panic in a handler or a task, after which the
	// connection concerned is closed. It is called on the loop. Nil: the
	// panic goes on.
	Panicked func(v any, stack []byte)
}

// Group is a set of loops that share the work. Its methods may be called by
// any goroutine.
type Group struct {
	loops  []*Loop
	stream bool
	wg     sync.WaitGroup // the loops' and the streams' goroutines
}

// usable is how many cores there are for loops. It is read once, because Start
// changes it.
var usable = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

var procs sync.Mutex // guards GOMAXPROCS while a Group looks at it

// Start makes and runs the loops. It makes sure that GOMAXPROCS is more than
// their number, so that a handshake finds a processor while all are busy.
func Start(o Options) (*Group, error) {
	if o.Loops <= 0 {
		o.Loops = usable()
	}
	if procs.Lock(); runtime.GOMAXPROCS(0) <= o.Loops {
		runtime.GOMAXPROCS(o.Loops + 1)
	}
	procs.Unlock()
	g := &Group{stream: o.Stream || !rawAvailable}
	for i := range o.Loops {
		l, err := newLoop(g, i, o)
		if err != nil {
			g.Stop()
			return nil, fmt.Errorf("event loop: %w", err)
		}
		g.loops = append(g.loops, l)
		g.wg.Add(1)
		go l.run()
	}
	return g, nil
}

// Loops gives the loops, in order of their Index. The slice is read-only.
func (g *Group) Loops() []*Loop { return g.loops }

// Pick gives the loop for a new session: the less busy of two.
func (g *Group) Pick() *Loop {
	n := len(g.loops)
	a := g.loops[rand.IntN(n)]
	if n == 1 {
		return a
	}
	b := g.loops[(a.Index+1+rand.IntN(n-1))%n]
	if b.conns.Load() < a.conns.Load() {
		return b
	}
	return a
}

// Stop ends the loops and waits for their goroutines. Connections still open
// are closed without a word, but for what they have been given to send: a stream's
// writer has lastWords for that, a raw connection's went to the kernel at once or
// is lost.
func (g *Group) Stop() {
	for _, l := range g.loops {
		l.Post(stopTask{})
	}
	g.wg.Wait()
}

// lastWords is how long a loop goes on, as it always does, for the writers of its
// streams.
const lastWords = 500 * time.Millisecond

type stopTask struct{}

func (t stopTask) Run(l *Loop) {
	l.stopping, l.stopBy = true, l.now+lastWords
	l.Arm(&l.stopTimer, t, l.stopBy)
}

// Expire is there to wake the loop.
func (stopTask) Expire(time.Duration) time.Duration { return 0 }

// Loop is one event loop. Only Post and Index may be used by other
// goroutines.
type Loop struct {
	Index int // its place in the group

	group    *Group
	panicked func(any, []byte)
	base     time.Time
	conns    atomic.Int64 // connections it has

	mu     sync.Mutex // guards queue
	queue  []Task
	asleep atomic.Bool // the loop waits, or is about to

	// Owned by the loop.
	now                 time.Duration // since base, read once a round
	poll                poller
	wheel               wheel
	naps                []nap
	in                  []byte          // every raw read lands here, or what TLS makes of it
	cipherIn, cipherOut []byte          // ciphertext on its way, where there is TLS
	failing             map[*Conn]error // what flagFailing is about
	lent                buffers
	scratch             [256]byte
	tasks               []Task  // the queue's other half
	ready               []*Conn // connections with something to tell that no event tells
	readyTwo            []*Conn
	streams             map[*stream]struct{}
	rng                 *rand.ChaCha8
	stopping            bool
	stopBy              time.Duration // when it ends at the latest, once it is stopping
	stopTimer           Timer
}

func newLoop(g *Group, index int, o Options) (*Loop, error) {
	var seed [32]byte
	crand.Read(seed[:])
	l := &Loop{
		Index: index, group: g, panicked: o.Panicked, base: time.Now(),
		in: make([]byte, inSize), streams: map[*stream]struct{}{}, failing: map[*Conn]error{}, rng: rand.NewChaCha8(seed),
	}
	if o.Panicked != nil {
		l.wheel.expire = l.expire
	}
	return l, l.poll.open()
}

// Post has t run on the loop, soon and in order. It may be called by any
// goroutine and never blocks; the order of one caller's posts is kept.
func (l *Loop) Post(t Task) {
	l.mu.Lock()
	l.queue = append(l.queue, t)
	l.mu.Unlock()
	if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) {
		l.poll.wake()
	}
}

// Now is the loop's time, read once a round: a duration since it was made.
func (l *Loop) Now() time.Duration { return l.now }

// Arm has owner told through t no later than when.
func (l *Loop) Arm(t *Timer, owner Expirer, when time.Duration) { l.wheel.arm(t, owner, when) }

// Disarm takes t off the wheel.
func (l *Loop) Disarm(t *Timer) { l.wheel.stop(t) }

// nap is a task for a moment that the wheel's ticks are too coarse for.
type nap struct {
	task Task
	at   time.Duration
}

// Nap has t run at a time that is close, to some ten microseconds. There are few
// of them, and they can't be taken back. It belongs to the loop.
func (l *Loop) Nap(t Task, at time.Duration) { l.naps = append(l.naps, nap{t, at}) }

// runNaps runs the naps that are over.
func (l *Loop) runNaps() {
	for i := 0; i < len(l.naps); i++ {
		if n := l.naps[i]; n.at <= l.now {
			last := len(l.naps) - 1
			l.naps[i], l.naps[last] = l.naps[last], nap{}
			l.naps = l.naps[:last]
			i--
			l.runTask(n.task)
		}
	}
}

// sleep tells how long the loop may sleep from now, and false for ever.
func (l *Loop) sleep(now time.Duration) (time.Duration, bool) {
	wait, ok := l.wheel.until(now)
	for _, n := range l.naps {
		if left := max(n.at-now, 0); !ok || left < wait {
			wait, ok = left, true
		}
	}
	return wait, ok
}

// MaskKey gives four unpredictable bytes (RFC 6455, section 10.3).
func (l *Loop) MaskKey() (key [4]byte) {
	binary.LittleEndian.PutUint32(key[:], uint32(l.rng.Uint64()))
	return key
}

// Nonce gives sixteen unpredictable bytes, for a Sec-WebSocket-Key.
func (l *Loop) Nonce() (n [16]byte) {
	binary.LittleEndian.PutUint64(n[:8], l.rng.Uint64())
	binary.LittleEndian.PutUint64(n[8:], l.rng.Uint64())
	return n
}

// Random gives 64 unpredictable bits.
func (l *Loop) Random() uint64 { return l.rng.Uint64() }

// Scratch gives an empty slice with room for a control frame. It is the same for
// all: use it and have done.
func (l *Loop) Scratch() []byte { return l.scratch[:0] }

// run is the whole life of a loop.
func (l *Loop) run() {
	defer l.group.wg.Done()
	for !l.over() {
		l.now = time.Since(l.base)
		l.runTasks()
		l.runReady()
		if len(l.naps) > 0 {
			l.runNaps()
		}
		l.wheel.advance(l.now)
		l.poll.events(l, l.idle())
	}
	l.poll.close(l)
	for s := range l.streams {
		s.hangUp()
	}
}

// over tells whether the loop is to end now.
func (l *Loop) over() bool {
	if !l.stopping {
		return false
	}
	for s := range l.streams {
		if s.busy && l.now < l.stopBy {
			return false
		}
	}
	return true
}

// idle tells whether the loop has nothing to do until an event or a post, and
// has said so to Post.
func (l *Loop) idle() bool {
	if len(l.ready) > 0 || l.over() {
		return false
	}
	l.asleep.Store(true)
	l.mu.Lock()
	none := len(l.queue) == 0
	l.mu.Unlock()
	if !none {
		l.asleep.Store(false)
	}
	return none
}

func (l *Loop) runTasks() {
	l.mu.Lock()
	l.tasks, l.queue = l.queue, l.tasks[:0]
	l.mu.Unlock()
	for i, t := range l.tasks {
		l.tasks[i] = nil
		l.runTask(t)
	}
}

func (l *Loop) runTask(t Task) {
	if l.panicked != nil {
		defer l.recovered(t)
	}
	t.Run(l)
}

// expire calls a timer's owner. A panic there ends what it owns alone.
func (l *Loop) expire(owner Expirer, now time.Duration) time.Duration {
	defer l.recovered(owner)
	return owner.Expire(now)
}

// runReady tells what was put off so that callbacks do not nest.
func (l *Loop) runReady() {
	l.ready, l.readyTwo = l.readyTwo[:0], l.ready
	for i, c := range l.readyTwo {
		l.readyTwo[i] = nil
		c.flags &^= flagReady
		l.serve(c, evReady)
	}
}

// later puts c among those that are served next round.
func (l *Loop) later(c *Conn) {
	if c.flags&flagReady == 0 {
		c.flags |= flagReady
		l.ready = append(l.ready, c)
	}
}

// serve hands events to a connection. A panic in its handler ends it alone.
func (l *Loop) serve(c *Conn, ev uint8) {
	if l.panicked != nil {
		defer l.recovered(c)
	}
	c.served(ev)
}

// recovered reports a panic and lets what it happened in end itself.
func (l *Loop) recovered(in any) {
	v := recover()
	if v == nil {
		return
	}
	l.panicked(v, debug.Stack())
	defer func() { _ = recover() }() // it is broken; the loop goes on
	switch in := in.(type) {
	case *Conn:
		in.fail(errPanic)
	case interface{ Panicked() }:
		in.Panicked()
	}
}
