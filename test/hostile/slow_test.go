package hostile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// drip writes a byte at a time, for as long as the other end takes them: never
// silent, never done.
func drip(p *testkit.Peer, b []byte) (dripped chan struct{}) {
	dripped = make(chan struct{})
	go func() {
		defer close(dripped)
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for i := range b {
			if p.TrySend(b[i:i+1]) != nil {
				return
			}
			<-pace.C
		}
	}()
	return dripped
}

// A frame that drips in is bounded by timeouts.frame, whatever its pace below
// 512 bytes a second; each byte more does not begin the time anew.
func TestSlowFrames(t *testing.T) {
	everywhere(t, settings{timeouts: "frame: 200ms"}, func(t *testing.T, s *stage) {
		for _, r := range roles(s.mode) {
			t.Run(r.String(), func(t *testing.T) {
				client, leg := s.enter(t, s.path())
				hostile, _ := hostileOf(r, client, leg)
				frame := hostile.Bytes(testkit.Text(fmt.Sprintf("%4000d", 1)))
				dripped := drip(hostile, frame)
				switch r {
				case clients:
					client.WantClose("a slow client is told", 1008)
					leg.WantReset("its instance, inside a frame, is cut off")
				case instances:
					if came := client.Last("the client, inside a frame, gets no more"); !strings.HasPrefix(string(frame), came) {
						t.Errorf("than what came of it: got %q", came)
					}
					client.WantEOF("and no reset that would overtake it")
					leg.WantGone("a slow instance is left")
				case subscribers:
					client.WantClose("a slow client is told", 1008)
				case askers:
					client.WantClose("a slow client is told", 1008)
					leg.WantClose("its instance, which saw nothing of it, too", 1001)
				case workers:
					leg.WantGone("a slow instance is left")
					client.Send(testkit.Close(1000, ""))
					client.WantClose("its client stays, and gets nothing of it", 1000)
				case sources:
					leg.WantGone("a slow source is left")
					client.Send(testkit.Close(1000, ""))
					client.WantClose("its client stays, and gets nothing of it", 1000)
				}
				client.Close()
				leg.Close()
				<-dripped
			})
		}
	})
}

// A head that drips in is bounded by timeouts.handshake, interim answers or
// not.
func TestSlowAnswers(t *testing.T) {
	everywhere(t, settings{timeouts: "handshake: 700ms"}, func(t *testing.T, s *stage) {
		for _, slow := range []string{lie("X-Endless: " + fmt.Sprintf("%4000d", 1)), "HTTP/1.1 103 Early Hints\r\nLink: </" + fmt.Sprintf("%4000d", 1)} {
			path := s.path()
			client := s.Dial(t)
			client.SendString(testkit.Upgrade(path))
			leg, _ := s.in.Asked(t, "the request reaches the other side", path)
			dripped := drip(leg, []byte(slow))
			client.WantRefusal("the client is told that it is late", 504)
			client.Close()
			leg.WantGone("and the other side left")
			<-dripped
		}
	})
}

// Heads of clients that drip in hold no place at the gate, so that others come
// through, and are cut after ten seconds.
func TestSlowHeads(t *testing.T) {
	for _, m := range modes {
		for _, tr := range transports {
			t.Run(string(tr)+" "+string(m), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, tr, m, settings{top: "limits: {handshakes_pending: 4}"})
				var slow []*testkit.Peer
				var dripped []chan struct{}
				for range 16 {
					p := s.Dial(t)
					slow = append(slow, p)
					dripped = append(dripped, drip(p, []byte(plus("X-Endless: "+fmt.Sprintf("%4000d", 1)))))
				}
				client, leg := s.enter(t, s.path())
				s.end(client, leg)
				for k, p := range slow {
					p.WantEnd("a slow head is cut, without an answer")
					<-dripped[k]
				}
				s.in.WantUnvisited(t, "nothing of them goes further")
				s.wantAlone(t)
			})
		}
	}
}
