package fanout

import (
	"hash/maphash"
	"math"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/sluice-proxy/sluice/internal/arbiter"
	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// joinIn is one of several sources that is connected. The log's epochs are its
// own: another begins where no source was there.
func (s *source) joinIn() {
	t := s.stream
	if at := t.plain.live().number(); t.isOpen() && !t.up.Load() {
		t.rename(newEpoch(), 0, at)
		t.route().Log.Warn("stream goes on in a new epoch: no source was connected", "route", t.route().Name,
			"stream", t.target.String(), "offset", t.epochs.offset(at))
	}
	s.line.connect(1)
	if t.judge != nil {
		t.judge.Back(s.line.place)
	}
	s.greeted = 0
	t.mu.Lock()
	t.greeting.messages = slices.DeleteFunc(slices.Clone(t.greeting.messages), func(m message) bool { return m.of == s })
	t.mu.Unlock()
}

// dropOut is a source whose connection has ended.
func (s *source) dropOut() {
	t := s.stream
	to := t.speaker()
	t.up.Store(to != nil)
	if s.line == nil {
		return
	}
	s.line.connect(-1)
	if t.judge != nil {
		t.pass(t.judge.Lost(s.line.place, t.loop.Now()))
	}
	if to != nil {
		t.unqueue(to)
		to.awaitRoom()
	}
}

// part leaves a source that the route does not name any more.
func (s *Stream) part(src *source) {
	r := s.route()
	if src.state == open {
		r.Complain.Warn("source lost", "route", r.Name, "stream", s.target.String(), "source", src.line.endpoint.Name(), "reason", "unlisted", "err", errUnlisted)
		r.Observe.SourceLost(r.Name, "unlisted")
	}
	src.leave(ws.CodeNormal)
	if s.judge != nil {
		s.pass(s.judge.Remove(src.line.place, s.loop.Now()))
		s.tell(src.line)
	}
	s.publish()
}

// contribute is a whole message of one of several sources.
func (s *source) contribute(op ws.Opcode, head, payload []byte) {
	t := s.stream
	if t.judge == nil {
		s.merge(op, head, payload)
		return
	}
	m, now := arbiter.Message{Op: op, Payload: payload}, t.loop.Now()
	if n, sum, numbered := t.identify(op, payload); numbered {
		t.pass(t.judge.Number(s.line.place, n, m, now))
	} else {
		t.pass(t.judge.Whole(s.line.place, sum, m, now))
	}
}

// merge has the message of one of several different sources follow what there
// is.
func (s *source) merge(op ws.Opcode, head, payload []byte) {
	t := s.stream
	if wrap := t.route().envelope; wrap != nil {
		payload = render(wrap, config.MergeFields{Source: s.line.name, Message: string(payload)})
		var room [ws.MaxHeader]byte
		head = ws.AppendHeader(room[:0], ws.Header{Fin: true, Opcode: op, Length: uint64(len(payload))})
	}
	s.greet(op, payload)
	t.append(head, payload)
	t.latest.Store(int64(t.route().fanout.now()))
	s.line.count(won, 1)
}

// identify tells what a message of a redundant source is known by: its number,
// or a hash of its key, or of the whole of it.
func (s *Stream) identify(op ws.Opcode, payload []byte) (n int64, sum arbiter.Sum, numbered bool) {
	if key := s.route().Fanout.Dedupe.Key; key != "" && op == ws.Text {
		if v := gjson.GetBytes(payload, key); v.Exists() && v.Type != gjson.Null {
			if n, err := strconv.ParseInt(v.Raw, 10, 64); err == nil && v.Type == gjson.Number && n < math.MaxInt64 {
				return n, sum, true
			}
			sum = s.sum([]byte(v.Raw))
			sum[0]++ // not that of a message which is just this
			return 0, sum, false
		}
	}
	sum = s.sum(payload)
	sum[0] ^= uint64(op) << 8
	return 0, sum, false
}

func (s *Stream) sum(b []byte) arbiter.Sum {
	return arbiter.Sum{maphash.Bytes(s.seeds[0], b), maphash.Bytes(s.seeds[1], b)}
}

// pass puts what arbitration has led to into the log, and has its clock run.
func (s *Stream) pass(out *arbiter.Out) {
	r := s.route()
	for _, g := range out.Gaps {
		s.home.gaps.Add(1)
		r.Observe.Lost(r.Name, lostMissing, g.Count)
		r.Complain.Warn("messages are missing that no source has delivered", "route", r.Name, "stream", s.target.String(), "from", g.First, "missing", g.Count)
	}
	if out.Anew {
		r.Complain.Warn("the sources count anew, and the stream goes on with their new numbers", "route", r.Name, "stream", s.target.String())
	}
	for _, m := range out.Messages {
		var room [ws.MaxHeader]byte
		s.append(ws.AppendHeader(room[:0], ws.Header{Fin: true, Opcode: m.Op, Length: uint64(len(m.Payload))}), m.Payload)
	}
	if len(out.Messages) > 0 {
		s.latest.Store(int64(r.fanout.now()))
	}
	if at := s.judge.Deadline(); at > 0 && !s.ended {
		s.loop.Arm(&s.clock, (*ticking)(s), at)
	}
}
