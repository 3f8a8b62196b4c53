package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// asker is a client that has so many requests to ask, and comes again until each
// is answered.
type asker struct {
	run      *scattered
	n        int
	requests int
	r        *rand.Rand
	todo     []int // to be asked again, in their order
	next     int   // to be asked for the first time
}

// scatterSession is one of a client's.
type scatterSession struct {
	// Set once, then read-only.
	asker *asker
	id    int
	path  *pass
	lost  int64 // when it began, as the watch has it

	mu     sync.Mutex // guards what follows
	turn   sync.Cond  // of the writer
	open   map[string]int
	latest map[string]int // of each key, the request that was answered last
	pongs  []string
	over   bool // nothing more is asked
	left   bool // the client has closed
	closed bool // a close was heard
	ended  bool
	legs   []*pass
	end    string // if it is not the client's
	wrong  []string
}

func (b *scattered) newAsker(n, requests int) *asker {
	return &asker{run: b, n: n, requests: requests, r: rand.New(rand.NewPCG(b.seed, uint64(n)|1<<41))}
}

// request gives request q: the id, as it stands there, and all of it. Ids are
// numbers and strings of the same digits by turns.
func (a *asker) request(q int) (id, text string) {
	r := rand.New(rand.NewPCG(a.run.seed, uint64(a.n)<<32|uint64(q)))
	id = strconv.Itoa(q / 2)
	if q%2 == 1 {
		id = strconv.Quote(id)
	} else if q%6 == 0 {
		id += ".50"
	}
	key := strconv.Itoa(r.IntN(20))
	if r.IntN(2) == 0 {
		key = strconv.Quote(key)
	}
	pad := r.IntN(100)
	switch r.IntN(100) {
	case 0:
		pad = r.IntN(20 << 10)
	case 1, 2, 3, 4:
		pad = r.IntN(2000)
	}
	text = fmt.Sprintf(`{"id":%s,"key": %s,"c":%d,"q":%d,"pad":"%s"}`, id, key, a.n, q, strings.Repeat("x", pad))
	if r.IntN(2) == 0 {
		text = fmt.Sprintf(`{"c":%d, "q":%d, "key":%s, "id": %s}`, a.n, q, key, id)
	}
	return id, text
}

// ask lives sessions until all is answered.
func (a *asker) ask() {
	for pause := 1; a.next < a.requests || len(a.todo) > 0; pause = min(2*pause, 64) {
		s := a.run.enter(a)
		before := a.next
		err := s.live()
		if err != nil {
			s.accuse("%v", err)
		}
		for _, q := range s.open {
			a.todo = append(a.todo, q)
		}
		slices.Sort(a.todo)
		a.run.leave(s)
		if len(s.wrong) > 0 {
			return
		}
		if a.next > before {
			pause = 1
		}
		lasts(nil, pause)
	}
}

// live opens a session, asks and listens to its end.
func (s *scatterSession) live() error {
	a := s.asker
	k := a.run.clients[0]
	if a.n%4 == 3 {
		k = a.run.clients[1]
	}
	conn, err := net.DialTimeout("tcp", k.addr().String(), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * lasting))
	if _, err := conn.Write([]byte(testkit.Upgrade("/s/" + strconv.Itoa(s.id)))); err != nil {
		return err
	}
	e := &ear{conn: conn}
	head, err := e.head()
	if err != nil {
		return fmt.Errorf("no answer to the handshake: %w", err)
	}
	status := strings.SplitN(head+"  ", " ", 3)[1]
	switch status {
	case "101":
	case "502", "503", "504":
		s.end = "status " + status
		return nil
	default:
		return fmt.Errorf("the handshake is answered %.40q", head)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write(conn)
	}()
	s.listen(e)
	conn.Close()
	<-written
	return nil
}

// what a writer does next.
type act uint8

const (
	waits act = iota
	asks
	pongs
	leaves
	goes
)

// decide tells what the writer does next; the caller holds s.mu.
func (s *scatterSession) decide() act {
	a := s.asker
	more := len(a.todo) > 0 || a.next < a.requests
	switch {
	case s.over:
		return goes
	case len(s.pongs) > 0:
		return pongs
	case more && len(s.open) < window:
		return asks
	case !more && len(s.open) == 0:
		return leaves
	}
	return waits
}

// write asks, and answers pings.
func (s *scatterSession) write(conn net.Conn) {
	w := &writer{conn: conn, r: s.asker.r, masked: true}
	for {
		s.mu.Lock()
		switch s.decide() {
		case waits:
			if len(w.held) > 0 {
				break
			}
			s.turn.Wait()
		case asks:
			text := s.choose()
			s.mu.Unlock()
			w.message([]byte(text))
			continue
		case pongs:
			pong := s.pongs[0]
			s.pongs = s.pongs[1:]
			s.mu.Unlock()
			w.hold(testkit.Pong(pong))
			w.write(nil)
			continue
		case leaves:
			s.over, s.left = true, true
			s.mu.Unlock()
			w.hold(testkit.Close(ws.CodeNormal, ""))
			w.write(nil)
			return
		case goes:
			s.mu.Unlock()
			w.hold(testkit.Close(ws.CodeRestart, ""))
			w.write(nil)
			return
		}
		s.mu.Unlock()
		w.write(nil)
	}
}

// choose takes the next request down as asked.
func (s *scatterSession) choose() (text string) {
	a := s.asker
	q := a.next
	if len(a.todo) > 0 {
		q, a.todo = a.todo[0], a.todo[1:]
	} else {
		a.next++
	}
	id, text := a.request(q)
	s.open[id] = q
	return text
}

// listen hears answers to the end, now and then after a pause.
func (s *scatterSession) listen(e *ear) {
	r := rand.New(rand.NewPCG(s.asker.run.seed, uint64(s.id)|1<<44))
	for n := 0; ; n++ {
		if s.asker.n%5 == 2 && r.IntN(50) == 0 {
			lasts(nil, r.IntN(40))
		}
		if n%64 == 0 {
			_ = e.conn.SetReadDeadline(time.Now().Add(lasting))
		}
		op, payload, err := e.next()
		s.mu.Lock()
		if err != nil {
			s.ends(err)
			s.mu.Unlock()
			return
		}
		s.hear(op, payload)
		s.turn.Signal()
		s.mu.Unlock()
	}
}
