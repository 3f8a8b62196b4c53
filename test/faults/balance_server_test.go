package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// server is an instance of the run's own.
type server struct {
	run     *balanced
	l       net.Listener
	link    *link
	serving sync.WaitGroup
}

func (b *balanced) newServer(narrow bool) *server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	s := &server{run: b, l: l}
	s.link = (&link{target: l.Addr().String(), narrow: narrow, choose: b.legOf}).open(b.t)
	s.serving.Go(s.serve)
	b.instances = append(b.instances, s)
	return s
}

func (s *server) serve() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.serving.Go(func() { s.session(c) })
	}
}

// session plays the instance of one try.
func (s *server) session(c net.Conn) {
	defer c.Close()
	a := newActor(instance, &talk{}, c, s.run.seed)
	head, err := a.head()
	path := s.link.from(c.RemoteAddr())
	own, try, g := s.run.legBy(path)
	if g == nil {
		return // nobody waits for it
	}
	defer close(g.served)
	if err != nil {
		return
	}
	if own.refusal != 0 {
		fmt.Fprintf(c, "HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno", own.refusal)
		return
	}
	a.talk, a.r = own.talk, rand.New(rand.NewPCG(s.run.seed, uint64(own.id)))
	own.mu.Lock()
	g.actor = a
	own.mu.Unlock()
	defer own.path.release()
	_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	extra := []string{fmt.Sprintf("X-Try: %d", try)}
	if own.deflate {
		a.in.Deflate = true
		extra = append(extra, "Sec-WebSocket-Extensions: permessage-deflate")
	}
	answer := []byte(testkit.AnswerTo(key, extra...))
	if f := a.first(); own.prompt && f != nil {
		answer = ws.AppendFrame(answer, ws.Header{Opcode: f.op, Fin: f.fin, RSV: f.rsv}, f.payload)
		a.said = 1
	}
	_, _ = c.Write(answer)
	a.play()
}

// legBy finds the try that a link carries.
func (b *balanced) legBy(p *pass) (*session, int, *leg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		s.mu.Lock()
		for n, g := range s.legs {
			if g.path == p {
				s.mu.Unlock()
				return s, n, g
			}
		}
		s.mu.Unlock()
	}
	return nil, 0, nil
}

// first is the frame that a side can begin with, if it waits for none.
func (a *actor) first() *frame {
	if all := a.talk.says[a.side]; len(all) > 0 && all[0].after == 0 {
		return &all[0]
	}
	return nil
}
