package wire_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// An instance gets so many handshakes at a time: the others wait, and an
// ordinary request does not.
func TestMaxHandshakes(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := startBusy(t, tr, 1)
		var clients []*testkit.Peer
		for range 6 {
			client := b.Dial(t)
			client.SendString(good + "\r\n")
			clients = append(clients, client)
		}
		for k := range clients {
			leg := b.in.Accept(t, "one reaches the instance")
			head := leg.Head("with its request")
			b.in.WantUnvisited(t, "and no other before it is answered")
			if k == 0 {
				plain := b.Dial(t)
				plain.SendString(getLine + host + "\r\n")
				other := b.in.Accept(t, "an ordinary request is no handshake")
				other.Head("it is asked")
				other.SendString("HTTP/1.1 204 No Content\r\n\r\n")
				plain.WantAnswer("and is answered", 204)
				other.Close()
			}
			if k%2 == 0 {
				leg.SendString(testkit.Answer(head))
			} else {
				leg.SendString("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
			}
			defer leg.Close()
		}
		answers := map[int]int{}
		for _, client := range clients {
			answers[client.Head("each is answered").Status()]++
		}
		if answers[101] != 3 || answers[403] != 3 {
			t.Errorf("as the instance has answered: got %v", answers)
		}
	})
}

// Who waits too long for a busy instance is told so.
func TestBusyInstance(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := startBusy(t, tr, 1)
		first, leg, head := b.ask(t, good+"\r\n")
		b.wantRefused(t, 503)
		leaver := b.Dial(t)
		leaver.SendString(testkit.Upgrade("/leaver"))
		leaver.Reset()
		leg.SendString(testkit.Answer(head))
		first.WantUpgraded("the one that was first is upgraded")
		next := b.Dial(t)
		next.SendString(testkit.Upgrade("/next"))
		leg, head = b.in.Asked(t, "there is room again", "/next")
		leg.SendString(testkit.Answer(head))
		next.WantUpgraded("and the next is upgraded")
	})
}

// A Sluice that ends tells those who wait for an instance.
func TestEndWhileBusy(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := startBusy(t, tr, 1)
		_, leg, _ := b.ask(t, good+"\r\n")
		client := b.Dial(t)
		client.SendString(good + "\r\n")
		b.WantUnderWay(t, "another waits", 2)
		b.Cancel()
		client.WantRefusal("the client is told", 503)
		leg.WantEnd("the instance is left")
	})
}

// startBusy starts a Sluice whose instance takes so many handshakes at a time.
func startBusy(t *testing.T, tr testkit.Transport, most int) *bench {
	t.Helper()
	in := testkit.Listen(t)
	c := testkit.Config{Upstreams: []string{`{url: "` + in.URL() + `", max_handshakes: ` + strconv.Itoa(most) + `}`}}
	return &bench{testkit.Start(t, tr, c.String()), in}
}

// So many handshakes a second get in: the next waits, those behind it are told
// when to come again, and ordinary requests are not held up.
func TestHandshakesPerSecond(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		a := testkit.Start(t, tr, testkit.Config{Top: "limits: {handshakes_per_second: 1, handshakes_pending: 1}", Upstreams: []string{answering(t)}}.String())
		first := a.Dial(t)
		first.SendString(good + "\r\n")
		first.WantUpgraded("the first gets in")
		var crowd []*testkit.Peer
		for range 4 {
			client := a.Dial(t)
			client.SendString(good + "\r\n")
			crowd = append(crowd, client)
		}
		plain := a.Dial(t)
		plain.SendString(getLine + host + "\r\n")
		plain.WantAnswer("the ordinary request is answered", 204)
		answers := map[int]int{}
		for _, client := range crowd {
			h := client.Head("each is answered")
			answers[h.Status()]++
			if after, err := strconv.Atoi(h.Get("Retry-After")); h.Status() == 503 && (err != nil || after < 2 || after > 10) {
				t.Errorf("and told when to come again: got %q", h.Raw)
			}
		}
		if answers[101] == 0 || answers[503] == 0 || answers[101]+answers[503] != 4 {
			t.Errorf("one waits for its turn, and others are sent away: got %v", answers)
		}
	})
}

// answering runs an instance that lets everybody in, and has nothing to say to
// ordinary requests, until the test ends.
func answering(t *testing.T) string {
	t.Helper()
	return instanceThat(t, func(p *testkit.Peer) {
		var head []byte
		for room := make([]byte, 4096); !bytes.Contains(head, []byte("\r\n\r\n")); {
			n, err := p.Conn().Read(room)
			if head = append(head, room[:n]...); err != nil {
				return
			}
		}
		_, key, upgrade := strings.Cut(string(head), "Sec-WebSocket-Key: ")
		key, _, _ = strings.Cut(key, "\r\n")
		answer := testkit.AnswerTo(key)
		if !upgrade {
			answer = "HTTP/1.1 204 No Content\r\n\r\n"
		}
		_ = p.TrySend([]byte(answer))
	})
}

// A Sluice that ends tells those who wait for their turn, and does not wait for
// it.
func TestEndWhileInTurn(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		b := start(t, tr, testkit.Config{Top: "limits: {handshakes_per_second: 1}\ndrain: 0s"})
		b.ask(t, good+"\r\n")
		client := b.Dial(t)
		client.SendString(good + "\r\n")
		other := b.Dial(t)
		other.SendString(good + "\r\n")
		other.Head("when one of two is sent away, the other waits or was sent away too")
		b.Stop()
		client.Last("it is over")
	})
}

// Subscriptions take their turn too, in every form.
func TestFanoutHandshakesPerSecond(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		f := startFeed(t, tr, testkit.Feed{Top: "limits: {handshakes_per_second: 1}"})
		f.open(t)
		var crowd []*testkit.Peer
		for k := range 6 {
			client := f.Dial(t)
			if k%2 == 0 {
				client.SendString(testkit.Upgrade("/"))
			} else {
				client.SendString(get("/", "text/event-stream"))
			}
			crowd = append(crowd, client)
		}
		in, away := 0, 0
		for _, client := range crowd {
			h := client.Head("each is answered")
			switch h.Status() {
			case 101, 200:
				in++
			case 503:
				away++
				if h.Get("Retry-After") == "" {
					t.Errorf("who is sent away is told when to come again: got %q", h.Raw)
				}
			}
		}
		if in == 0 || away == 0 || in+away != len(crowd) {
			t.Errorf("one waits for its turn, and others are sent away: %d are in, %d away", in, away)
		}
	})
}
