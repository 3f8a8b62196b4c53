package fanout

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

const (
	worthTrying = 48          // bytes of a payload below which it is not compressed
	encodeMost  = 256         // messages of a form between two looks at the others
	retireAfter = time.Minute // a form that nobody reads is given up, at the latest
)

// derived is a form of a stream's messages and its log.
type derived struct {
	log    *log
	ready  chan struct{} // closed when the past is in the log
	from   cursor        // of the plain log: what is next; the encoder's own
	behind atomic.Uint64 // bytes of the plain log yet to be encoded
	refs   int           // who reads it; guarded by the stream's mu
	idle   bool          // nobody did at the encoder's last round; guarded by mu
	whole  bool          // its readers were told that the stream has ended; the encoder's
}

var errOver = errors.New("the stream is no more")

// read gives the log of a form, with a reader counted in. It waits until the
// past is in it.
func (s *Stream) read(ctx context.Context, f form) (*log, error) {
	if f == plain {
		return s.plain, nil
	}
	s.mu.Lock()
	d := s.derived[f]
	if d == nil {
		d = s.derive(f)
	}
	d.refs++
	s.mu.Unlock()
	s.wakeEncoder()
	ctx, cancel := context.WithTimeout(ctx, s.route().Timeouts.Handshake)
	defer cancel()
	select {
	case <-d.ready:
		return d.log, nil
	case <-s.route().fanout.going:
	case <-ctx.Done():
	}
	s.unread(f)
	return nil, errOver
}

// derive begins a form. The caller holds s.mu.
func (s *Stream) derive(f form) *derived {
	r := s.route()
	d := &derived{ready: make(chan struct{})}
	keep := r.limits()
	if f == deflated { // its past goes out plain
		keep = limits{}
		d.from = s.plain.live()
	} else {
		d.from = s.plain.start()
	}
	d.log = newLog(d.from.number(), keep, r.lag(), r.keyed())
	s.derived[f] = d
	if !s.encoding.Load() {
		s.encoding.Store(true)
		r.fanout.wg.Add(1)
		go s.encode()
	}
	return d
}

// unread counts a reader of a form out.
func (s *Stream) unread(f form) {
	if f == plain {
		return
	}
	s.mu.Lock()
	if d := s.derived[f]; d != nil {
		d.refs--
	}
	s.mu.Unlock()
}

// encoder writes the derived logs of a stream. It is one goroutine's, which
// runs while there are any.
type encoder struct {
	stream  *Stream
	deflate *ws.Deflater // lent while there is something to compress
	b       []byte
}

// encode is the encoder's life.
func (s *Stream) encode() {
	defer s.route().fanout.wg.Done()
	e := &encoder{stream: s}
	t := time.NewTicker(retireAfter / 2)
	defer t.Stop()
	for {
		more := e.round()
		s.relieve()
		if s.refs.Load() >= 0 && more {
			continue
		}
		if s.refs.Load() >= 0 {
			select {
			case <-s.kick:
				continue
			case <-t.C:
			}
		}
		if e.retire() {
			return
		}
	}
}

// round encodes some of what has come in each form, and tells whether there is
// more.
func (e *encoder) round() (more bool) {
	s := e.stream
	s.mu.Lock()
	all, over := s.derived, s.over
	s.mu.Unlock()
	for f, d := range all {
		if d == nil {
			continue
		}
		n := e.some(form(f), d)
		if n == encodeMost {
			more = true
		} else if !closed(d.ready) {
			close(d.ready)
		}
		if n > 0 {
			d.log.trim(s.route().fanout.clock())
			now := s.route().fanout.now()
			for i := range s.route().fanout.crews {
				s.audiences[i*int(forms)+f].wake(now)
			}
		}
		if over != nil && n < encodeMost && !d.whole {
			d.whole = true
			s.tellOver(form(f))
		}
	}
	if !more && e.deflate != nil {
		s.route().fanout.deflaters.Put(e.deflate)
		e.deflate = nil
	}
	return more
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// some encodes up to encodeMost messages in a form, and tells how many.
func (e *encoder) some(f form, d *derived) (n int) {
	g := e.stream.plain
	for n < encodeMost {
		if p, _ := d.from.chunk(); p == nil {
			break
		}
		frame, at := d.from.message()
		var key uint64
		if g.latest != nil {
			key = d.from.seg.keys[d.from.idx]
		}
		d.log.append(at, key, nil, e.render(f, d, frame))
		d.from.step()
		n++
	}
	d.behind.Store(g.live().bytes() - d.from.bytes())
	if cap(e.b) > 1<<20 {
		e.b = nil
	}
	return n
}

// render gives a message, which the plain log has as frame, in a form.
func (e *encoder) render(f form, d *derived, frame []byte) []byte {
	op, payload := splitFrame(frame)
	if f == deflated {
		return e.compressed(d, op, frame, payload)
	}
	epoch, n := e.stream.epochs.name(d.from.number())
	if f == events {
		e.b = appendEvent(e.b[:0], epoch, n, epoch != "", op == ws.Binary, payload)
	} else {
		e.b = appendLine(e.b[:0], epoch, n, epoch != "", op == ws.Binary, payload)
	}
	return e.b
}

// compressed gives a frame, compressed if that pays. A message that comes while
// the encoder is far behind is not tried.
func (e *encoder) compressed(d *derived, op ws.Opcode, frame, payload []byte) []byte {
	s := e.stream
	late := s.plain.live().bytes()-d.from.bytes() > uint64(s.route().lag())/4
	if len(payload) < worthTrying || late {
		return frame
	}
	if e.deflate == nil {
		e.deflate = s.route().fanout.deflaters.Get().(*ws.Deflater)
	}
	const room = ws.MaxHeader
	var pad [room]byte
	e.b = e.deflate.Append(append(e.b[:0], pad[:]...), payload)
	small := e.b[room:]
	if len(small) >= len(payload)-len(payload)/16 {
		return frame
	}
	head := ws.AppendHeader(pad[:0], ws.Header{Fin: true, Opcode: op, RSV: ws.RSV1, Length: uint64(len(small))})
	copy(e.b[room-len(head):], head)
	return e.b[room-len(head):]
}

// retire gives up the forms that nobody has read for a while, and tells whether
// none is left.
func (e *encoder) retire() bool {
	s := e.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	left := false
	for f, d := range s.derived {
		switch {
		case d == nil:
		case s.refs.Load() < 0:
			if s.derived[f] = nil; !closed(d.ready) {
				close(d.ready) // nobody is there to read it
			}
		case d.refs > 0:
			left, d.idle = true, false
			d.log.trim(s.route().fanout.clock())
		case d.idle:
			s.derived[f] = nil
		default:
			left, d.idle = true, true
		}
	}
	if !left {
		s.encoding.Store(false)
	}
	return !left
}

// encoderBehind is how many bytes the encoder has yet to encode. Any goroutine
// may ask.
func (s *Stream) encoderBehind() (most uint64) {
	if !s.encoding.Load() {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.derived {
		if d != nil {
			most = max(most, d.behind.Load())
		}
	}
	return most
}
