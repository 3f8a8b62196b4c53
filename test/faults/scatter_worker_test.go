package faults_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// question is a request as a worker reads it, and with N and Seq its answer.
type question struct {
	ID     json.RawMessage `json:"id"`
	Key    json.RawMessage `json:"key"`
	Client int             `json:"c"`
	Q      int             `json:"q"`

	ping []byte // it is none, but a ping
}

// worker serves one leg: it answers in its order what is about one thing, and the
// rest nearly so.
type worker struct {
	life    *era
	conn    *net.TCPConn
	ear     ear
	out     writer
	in      chan question // what it is asked; closed at the leg's end
	quit    chan struct{} // closed when nothing is answered any more
	seq     int
	waiting []question
}

// atOnce is how many questions a worker looks at.
const atOnce = 16

func (y *era) serve(c *net.TCPConn, seed uint64) {
	defer c.Close()
	y.link.from(c.RemoteAddr()) // nobody asks whose it is
	r := rand.New(rand.NewPCG(seed, uint64(y.instance.n)))
	w := &worker{life: y, conn: c, out: writer{conn: c, r: r}, in: make(chan question, atOnce), quit: make(chan struct{})}
	w.ear.conn, w.ear.in.Masked = c, true
	head, err := w.ear.head()
	if err != nil {
		return
	}
	_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	_, _ = io.WriteString(c, testkit.AnswerTo(key))
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		w.hear()
	}()
	w.work()
	close(w.quit)
	<-heard
}

// hear takes questions until the leg ends.
func (w *worker) hear() {
	defer close(w.in)
	for {
		op, payload, err := w.ear.next()
		var q question
		switch {
		case err != nil:
			w.life.instance.run.broke(err)
			return
		case op == ws.Ping:
			q.ping = slices.Clone(payload)
		case op == ws.CloseFrame:
			return
		case op != ws.Text:
			continue
		default:
			if err := json.Unmarshal(payload, &q); err != nil {
				w.life.instance.run.t.Errorf("an instance is asked %.100q: %v", payload, err)
				return
			}
		}
		select {
		case w.in <- q:
		case <-w.quit:
		}
	}
}

// work answers until there is nobody to answer, or its instance dies.
func (w *worker) work() {
	for {
		if !w.fetch() {
			return
		}
		pick := 0
		for k := range w.waiting {
			if w.out.r.IntN(3) == 0 && w.mayOvertake(k) {
				pick = k
				break
			}
		}
		if !w.pause() {
			return
		}
		w.answer(w.waiting[pick])
		w.waiting = slices.Delete(w.waiting, pick, pick+1)
	}
}

// mayOvertake tells whether none of those before question k is about the same.
func (w *worker) mayOvertake(k int) bool {
	same := func(q question) bool { return keyIn(q.Key) == keyIn(w.waiting[k].Key) }
	return !slices.ContainsFunc(w.waiting[:k], same)
}

// keyIn gives a key, which is a number or the string of it.
func keyIn(raw json.RawMessage) string { return strings.Trim(string(raw), `"`) }

// fetch has at least one question wait; false when there are no more.
func (w *worker) fetch() bool {
	for {
		if len(w.waiting) == 0 {
			w.out.write(nil)
			select {
			case q, more := <-w.in:
				if !more {
					return false
				}
				w.take(q)
			case <-w.life.dying:
				w.die()
				return false
			}
			continue
		}
		if len(w.waiting) >= atOnce {
			return true
		}
		select {
		case q, more := <-w.in:
			if !more {
				return false
			}
			w.take(q)
		default:
			return true
		}
	}
}

func (w *worker) take(q question) {
	if q.ping != nil {
		w.out.write(testkit.Pong(string(q.ping)).Plain())
		return
	}
	w.waiting = append(w.waiting, q)
}

// pause is the time that an answer takes; false when the instance dies in it.
func (w *worker) pause() bool {
	long := time.Duration(0)
	switch r := w.out.r; r.IntN(100) {
	case 0:
		long = time.Duration(r.IntN(20)) * time.Millisecond
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12:
		long = time.Duration(r.IntN(2000)) * time.Microsecond
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.life.dying:
		w.die()
		return false
	}
}

// answer says what the question was, who answers and how many it has answered.
func (w *worker) answer(q question) {
	w.seq++
	text := fmt.Sprintf(`"key":%s,"c":%d,"q":%d,"n":%d,"seq":%d`, q.Key, q.Client, q.Q, w.life.instance.n, w.seq)
	if w.out.r.IntN(2) == 0 {
		text = fmt.Sprintf(`{"id":%s,%s}`, q.ID, text)
	} else {
		text = fmt.Sprintf(`{%s, "id" : %s}`, text, q.ID)
	}
	w.out.message([]byte(text))
}

// die ends the leg as its instance does.
func (w *worker) die() {
	switch w.life.how {
	case deathMidFrame:
		half := testkit.Text(`{"id":1,"never":"whole"}`).Plain()
		w.out.write(half[:1+w.out.r.IntN(len(half)-1)])
		if w.out.r.IntN(2) == 0 {
			_ = w.conn.SetLinger(0)
			w.conn.Close()
			return
		}
		_ = w.conn.CloseWrite()
	case deathFIN:
		w.out.write(nil)
		_ = w.conn.CloseWrite()
	case deathGoingAway:
		w.out.write(testkit.Close(ws.CodeGoingAway, "").Plain())
	case deathRestart:
		w.out.write(testkit.Close(ws.CodeRestart, "").Plain())
	}
}
