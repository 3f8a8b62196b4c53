package faults_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// ownCode is with what an instance ends a session for good.
const ownCode = 4000

// keptSide is one end of a kept session's connection. One goroutine reads,
// another writes.
type keptSide struct {
	*actor
	words
	talk *keptTalk
	leg  *keptLeg // nil: the client

	// Owned by the reader until it has ended.
	parts []frame // of the message under way
	seen  int     // messages

	acked atomic.Int64 // the client's: the latest of its messages that was answered
	asked chan int     // an instance's: what is to be answered; -1: its end is due

	// Owned by the writer until it has ended.
	pinged int
}

// newKeptSide makes one; r is its writer's.
func newKeptSide(side int, t *keptTalk, a *actor, r *rand.Rand, leg *keptLeg) *keptSide {
	k := &keptSide{actor: a, talk: t, leg: leg, asked: make(chan int, 4096)}
	k.words = words{r: r, scroll: t.run.scroll, buffer: t.run.rules.buffer}
	if leg != nil {
		k.words.leg = leg.n
	}
	return k
}

// whole reads a frame.
func (a *actor) whole() (h ws.Header, payload []byte, err error) {
	for {
		piece, err := a.in.Next(a.buf)
		if err != nil {
			return h, nil, err
		}
		if piece.N == 0 {
			if err := a.fill(); err != nil {
				return h, nil, err
			}
			continue
		}
		part := a.buf[piece.Head:piece.N]
		if h = a.in.Header; piece.Kind == ws.Data {
			a.in.Unmask(part)
		} else if h.Masked {
			ws.Mask(part, h.Key, 0)
		}
		payload = append(payload, part...)
		a.buf = a.buf[piece.N:]
		if piece.End || piece.Kind == ws.Control {
			return h, payload, nil
		}
	}
}

// hear reads all there is.
func (k *keptSide) hear() {
	defer close(k.replies)
	for k.wrong == nil {
		h, p, err := k.whole()
		if err != nil {
			k.how = err
			k.heardViolation(err)
			return
		}
		switch {
		case k.closed:
			k.complain("%v %.40q follows the close", h, p)
		case h.Opcode == ws.Ping:
			k.replies <- reply{ws.Pong, p}
		case h.Opcode == ws.Pong:
			k.pong(string(p))
		case h.Opcode == ws.CloseFrame:
			k.closed, k.gotClose, k.within = true, string(p), len(k.parts) > 0
			k.replies <- reply{ws.CloseFrame, p}
		default:
			if k.parts = append(k.parts, frame{op: h.Opcode, fin: h.Fin, payload: p}); h.Fin {
				k.message(k.parts)
				k.parts = nil
				k.count()
			}
		}
	}
}

func (k *keptSide) heardViolation(err error) {
	if v, is := err.(*ws.Violation); is {
		k.complain("%v", v)
	}
}

// message judges a whole one.
func (k *keptSide) message(m []frame) {
	n, leg, ack := identify(m)
	k.seen++
	if k.leg != nil {
		k.talk.readBy(k, n, m)
		if k.leg.end.how != legLasts && k.seen == k.leg.end.after+1 {
			n = -n
		}
		k.asked <- n
		return
	}
	k.talk.shown(k, leg, n, m)
	k.acked.Store(max(k.acked.Load(), int64(ack)))
}

// pong judges one that the client gets: for a ping of its own, and no older
// than the last.
func (k *keptSide) pong(p string) {
	if k.leg != nil {
		return // a client's may come when another leg has asked
	}
	var n int
	if _, err := fmt.Sscanf(p, "ping %d", &n); err != nil || n < k.pongs {
		k.complain("a pong %q behind that to ping %d", p, k.pongs)
	}
	k.pongs = n
}

// replied answers what waits to be. It is false when nothing more is to be said.
func (k *keptSide) replied() bool {
	for {
		select {
		case r, more := <-k.replies:
			if !more || !k.reply(r) {
				return false
			}
		default:
			return !k.closing
		}
	}
}

// rest waits so long, or until ok, and answers meanwhile.
func (k *keptSide) rest(long time.Duration, ok func() bool) bool {
	timer := time.NewTimer(long)
	defer timer.Stop()
	for !ok() {
		select {
		case r, more := <-k.replies:
			if !more || !k.reply(r) {
				return false
			}
		case <-k.more:
		case <-timer.C:
			return true
		}
	}
	return true
}

// say sends a message, and maybe pings between its frames.
func (k *keptSide) say(m []frame) bool {
	for _, f := range m {
		if !k.replied() || !k.put(ws.Header{Opcode: f.op, Fin: f.fin}, f.payload) {
			return false
		}
		if k.r().IntN(12) == 0 {
			k.pinged++
			k.put(ws.Header{Opcode: ws.Ping, Fin: true}, fmt.Appendf(nil, "ping %d", k.pinged))
		}
	}
	return true
}

func (k *keptSide) r() *rand.Rand { return k.words.r }

// ask plays the client: its messages, then its end.
func (k *keptSide) ask() {
	defer k.answer()
	t := k.talk
	for n := 1; n <= t.messages; n++ {
		if !k.rest(lull(k.r()), never) {
			return
		}
		if t.end != endCloses && n == t.leaves {
			k.leave()
			return
		}
		m := k.words.message(n, 0)
		t.mu.Lock()
		t.said = append(t.said, m)
		t.mu.Unlock()
		if !k.say(m) {
			return
		}
		if t.waits && !k.rest(time.Second, func() bool { return k.acked.Load() >= int64(n) }) {
			return
		}
	}
	if !k.rest(8*time.Second, func() bool { return k.acked.Load() >= int64(t.messages) }) {
		return
	}
	k.put(ws.Header{Opcode: ws.CloseFrame, Fin: true}, []byte("\x03\xe8bye"))
	k.closing, k.acted, k.sentClose = true, true, "\x03\xe8bye"
}

func never() bool { return false }

// leave ends the client's connection without a word.
func (k *keptSide) leave() {
	k.acted, k.closing = true, true
	if k.talk.end == endResets {
		_ = k.conn.SetLinger(0)
		k.conn.Close()
		return
	}
	_ = k.conn.CloseWrite()
}

// serve plays an instance: each message is answered, and now and then it says
// more.
func (k *keptSide) serve() {
	defer k.answer()
	greeting := k.talk.run.rules.greeting
	if greeting > 0 && !k.tell(0) {
		return
	}
	for !k.closing {
		select {
		case n := <-k.asked:
			if n < 0 {
				k.acted = true
				k.finishLeg()
				return
			}
			if !k.tell(n) {
				return
			}
			for more := k.r().IntN(12) - 8; more > 0 && n > k.talk.run.rules.opening; more-- {
				if !k.tell(0) {
					return
				}
			}
		case r, more := <-k.replies:
			if !more || !k.answered(r) {
				return
			}
		}
	}
}

// answered replies; a close comes behind the answers to all that was before it.
func (k *keptSide) answered(r reply) bool {
	for r.op == ws.CloseFrame && len(k.asked) > 0 {
		if n := <-k.asked; n > 0 && !k.tell(n) {
			return false
		}
	}
	return k.reply(r)
}

// tell says one message of the leg's.
func (k *keptSide) tell(ack int) bool {
	g := k.leg
	k.talk.mu.Lock()
	m := k.words.message(len(g.said), ack)
	g.said = append(g.said, m)
	k.talk.mu.Unlock()
	for _, f := range m { // no pings in between: those of clients' are enough
		if !k.put(ws.Header{Opcode: f.op, Fin: f.fin}, f.payload) {
			return false
		}
	}
	return true
}

// finishLeg ends a leg from the instance.
func (k *keptSide) finishLeg() {
	switch k.leg.end.how {
	case legGoesAway:
		k.finish(ending{by: instance, how: byClose, close: "\x03\xe9deploy"})
	case legRestarts:
		k.finish(ending{by: instance, how: byClose, close: "\x03\xf4"})
	case legOwnCode:
		k.finish(ending{by: instance, how: byClose, close: "\x0f\xa0done"})
	case legResets:
		k.finish(ending{by: instance, how: byRST})
	case legHangsUp:
		k.finish(ending{by: instance, how: byFIN})
	default:
		k.finish(ending{by: instance, how: byFINInFrame})
	}
}

// play lives on a connection that is upgraded.
func (k *keptSide) play() {
	var written sync.WaitGroup
	if k.leg == nil {
		written.Go(k.ask)
	} else {
		written.Go(k.serve)
	}
	k.hear()
	k.conn.Close()
	written.Wait()
}
