package server

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// admission counts sessions and keeps them under their caps.
type admission struct {
	// Set once, then read-only.
	files   int64 // descriptors that sessions may have
	countIP bool  // sessions are counted by address; for good, so that each is counted out that was counted in

	most, mostPerIP atomic.Int64 // sessions; 0: no bound but files
	sessions        atomic.Int64
	used            atomic.Int64   // descriptors
	wg              sync.WaitGroup // the sessions

	mu    sync.Mutex // guards perIP
	perIP map[netip.Addr]int
}

// admit counts a session of so many descriptors in, or tells why it can't be.
func (a *admission) admit(client netip.Addr, files int64) *handshake.Refusal {
	n, used := a.sessions.Add(1), a.used.Add(files)
	if most := a.most.Load(); most > 0 && n > most || used > a.files {
		a.sessions.Add(-1)
		a.used.Add(-files)
		return &handshake.Refusal{Status: 503, What: "too many sessions", Header: upstream.ComeAgain(3, 8)}
	}
	if a.countIP && client.IsValid() {
		most := int(a.mostPerIP.Load())
		a.mu.Lock()
		ok := most == 0 || a.perIP[client] < most
		if ok {
			a.perIP[client]++
		}
		a.mu.Unlock()
		if !ok {
			a.sessions.Add(-1)
			a.used.Add(-files)
			return &handshake.Refusal{Status: 429, What: "too many sessions from this address", Header: upstream.ComeAgain(3, 8)}
		}
	}
	a.wg.Add(1)
	return nil
}

// leave counts a session out.
func (a *admission) leave(client netip.Addr, files int64) {
	a.sessions.Add(-1)
	a.used.Add(-files)
	if a.countIP && client.IsValid() {
		a.mu.Lock()
		if a.perIP[client]--; a.perIP[client] <= 0 {
			delete(a.perIP, client)
		}
		a.mu.Unlock()
	}
	a.wg.Done()
}

// crowded tells whether one more connection could leave a session without
// descriptors.
func (s *Server) crowded() bool {
	return s.gate.held.Load()+s.admission.used.Load() >= s.admission.files
}

// turnAway refuses a connection before its request is read.
func (s *Server) turnAway(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(time.Millisecond)) // the socket's buffer is empty: it takes all or the peer is gone
	_, _ = c.Write((&handshake.Refusal{Status: 503, What: "too many connections", Header: upstream.ComeAgain(3, 8)}).Append(nil))
	c.Close()
	s.cfg.Observe.Handshake("", "crowded", 0)
}
