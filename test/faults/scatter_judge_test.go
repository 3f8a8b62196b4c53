package faults_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// given is what an answer may say.
type given struct {
	question
	N       *int              `json:"n"`
	Seq     *int              `json:"seq"`
	Error   *string           `json:"error"`
	Replies []json.RawMessage `json:"replies"`
	Missing []string          `json:"missing"`
}

func (s *scatterSession) accuse(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	s.over = true
}

// hear judges what comes; the caller holds s.mu.
func (s *scatterSession) hear(op ws.Opcode, payload []byte) {
	switch {
	case s.closed:
		s.accuse("behind the close comes %.200q", payload)
	case op == ws.Ping:
		s.pongs = append(s.pongs, string(payload))
	case op == ws.CloseFrame:
		s.isClosed(payload)
	case op == ws.Text:
		s.answered(payload)
	case op != ws.Pong:
		s.accuse("there comes opcode %x, %.200q", op, payload)
	}
}

// answered wants each request answered once, and for what it was.
func (s *scatterSession) answered(text []byte) {
	var x given
	if err := json.Unmarshal(text, &x); err != nil {
		s.accuse("the answer %.200q: %v", text, err)
		return
	}
	q, asked := s.open[string(x.ID)]
	if !asked {
		s.accuse("an answer to what is not asked, or has its answer: %.200q", text)
		return
	}
	delete(s.open, string(x.ID))
	b := s.asker.run
	b.mu.Lock()
	b.sums.answers++
	b.sums.missing += len(x.Missing)
	if x.Error != nil {
		b.sums.errors[*x.Error]++
	}
	b.mu.Unlock()
	switch {
	case b.how.collects:
		s.collected(q, text, &x)
	case x.Error != nil:
		if x.N != nil || *x.Error == "" {
			s.accuse("an error that is none: %.200q", text)
		}
	default:
		s.one(q, text, &x)
	}
}

// one wants an instance's answer to request q.
func (s *scatterSession) one(q int, text []byte, x *given) {
	id, _ := s.asker.request(q)
	if x.N == nil || x.Q != q || x.Client != s.asker.n || string(x.ID) != id {
		s.accuse("client %d's request %d, id %s, is answered %.200q", s.asker.n, q, id, text)
		return
	}
	if !s.asker.run.how.ordered {
		return
	}
	key := keyIn(x.Key)
	if before, ok := s.latest[key]; ok && before > q {
		s.accuse("request %d about %s is answered behind %d: %.200q", q, key, before, text)
	}
	s.latest[key] = q
}

// collected wants a word of each instance, in the order of the pool, or its name
// among those who are missing.
func (s *scatterSession) collected(q int, text []byte, x *given) {
	var seen []string
	before := -1
	for _, raw := range x.Replies {
		var reply given
		if err := json.Unmarshal(raw, &reply); err != nil {
			s.accuse("the reply %.200q: %v", raw, err)
			return
		}
		s.one(q, raw, &reply)
		if reply.N == nil || *reply.N <= before {
			s.accuse("replies out of order: %.500q", text)
			return
		}
		before = *reply.N
		seen = append(seen, s.asker.run.fleet[before].url())
	}
	seen = append(seen, x.Missing...)
	slices.Sort(seen)
	if all := s.asker.run.urls(); !slices.Equal(seen, all) {
		s.accuse("what is collected wants a word of each of %q: %.800q", all, text)
	}
}

// urls are all instances', sorted.
func (b *scattered) urls() (urls []string) {
	for _, m := range b.fleet {
		urls = append(urls, m.url())
	}
	slices.Sort(urls)
	return urls
}

// heardOf is how long the end of a session may be on its way.
const heardOf = time.Second

// isClosed judges the proxy's close: it answers the client's, or says that there
// was nobody left.
func (s *scatterSession) isClosed(payload []byte) {
	s.closed, s.over = true, true
	code, reason, err := ws.ParseClose(payload)
	b := s.asker.run
	switch {
	case len(s.wrong) > 0: // it answers what the client said to that
	case err != nil:
		s.accuse("a close %q: %v", payload, err)
	case s.left && code == ws.CodeNormal:
	case code == ws.CodeRestart:
		s.end = fmt.Sprintf("1012 %q", reason)
		if at := time.Now().Add(-b.size.slack(heardOf)); !b.darkSince(at) && !s.struckSince(at) && !b.watch.late(s.lost) {
			s.accuse("the client is told 1012 %q, and instances were there", reason)
		}
	default:
		s.accuse("the client is told %d %q", code, reason)
	}
}

// struckSince tells whether since then a leg was asked for on which a blow fell: to
// the proxy its instance could not be reached. The caller holds s.mu.
func (s *scatterSession) struckSince(at time.Time) bool {
	return slices.ContainsFunc(s.legs, func(p *pass) bool { return p.began.After(at) && p.struck() })
}

// ends judges the end of the connection.
func (s *scatterSession) ends(err error) {
	s.over = true
	s.turn.Signal()
	if s.closed && err == io.EOF {
		return
	}
	var missed []int
	for _, q := range s.open {
		missed = append(missed, q)
	}
	slices.Sort(missed)
	s.accuse("it ends with %v, closed: %v; requests %v have no answer", err, s.closed, missed)
}
