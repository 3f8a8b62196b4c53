package faults_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// keptServer is an instance of a run's own.
type keptServer struct {
	run     *keptRun
	l       net.Listener
	link    *link
	serving sync.WaitGroup
}

func (b *keptRun) newServer(narrow bool) *keptServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	s := &keptServer{run: b, l: l}
	s.link = (&link{target: l.Addr().String(), narrow: narrow, choose: b.legOf}).open(b.t)
	s.serving.Go(s.serve)
	b.instances = append(b.instances, s)
	return s
}

func (s *keptServer) serve() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.serving.Go(func() { s.session(c) })
	}
}

// session plays the instance of one try.
func (s *keptServer) session(c net.Conn) {
	defer c.Close()
	a := newActor(instance, &talk{}, c, s.run.seed)
	head, err := a.head()
	own, g := s.run.legBy(s.link.from(c.RemoteAddr()))
	if g == nil {
		return // nobody waits for it
	}
	defer close(g.served)
	if err != nil {
		return
	}
	switch g.status = 101; g.end.how {
	case legRefuses:
		g.status = 403
	case legIsBroken:
		g.status = 503
	}
	if g.status != 101 {
		fmt.Fprintf(c, "HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno", g.status)
		return
	}
	_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	k := newKeptSide(instance, own, a, rand.New(rand.NewPCG(s.run.seed, uint64(own.id)<<16|uint64(g.n)|1<<41)), g)
	own.mu.Lock()
	g.side = k
	own.mu.Unlock()
	_, _ = io.WriteString(c, testkit.AnswerTo(key))
	k.play()
}

// legBy finds the try that a link carries.
func (b *keptRun) legBy(p *pass) (*keptTalk, *keptLeg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		s.mu.Lock()
		for _, g := range s.legs {
			if g.path == p {
				s.mu.Unlock()
				return s, g
			}
		}
		s.mu.Unlock()
	}
	return nil, nil
}
