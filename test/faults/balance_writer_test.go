package faults_test

import "github.com/sluice-proxy/sluice/internal/ws"

// write says what there is to say, and makes the end.
func (a *actor) write() {
	for _, f := range a.talk.says[a.side][a.said:] {
		if !a.ready(f.after) || !a.put(ws.Header{Opcode: f.op, Fin: f.fin, RSV: f.rsv}, f.payload) {
			a.answer()
			return
		}
		a.said++
	}
	if end := a.talk.end; end.by == a.side {
		after := 0
		if end.waits {
			after = len(a.talk.says[1-a.side])
		}
		if a.ready(after) {
			a.finish(end)
		}
	}
	a.answer()
}

// ready waits until so many frames were heard, and answers pings meanwhile. It
// is false when nothing more is to be said.
func (a *actor) ready(after int) bool {
	for !a.closing {
		select {
		case r, more := <-a.replies:
			if !more || !a.reply(r) {
				return false
			}
			continue
		default:
		}
		if a.heard.Load() >= int64(after) {
			return true
		}
		select {
		case r, more := <-a.replies:
			if !more || !a.reply(r) {
				return false
			}
		case <-a.more:
		}
	}
	return false
}

// answer goes on answering to the end.
func (a *actor) answer() {
	for r := range a.replies {
		a.reply(r)
	}
}

// reply answers a ping or a close. It is false when that was the last word.
func (a *actor) reply(r reply) bool {
	if !a.closing {
		a.put(ws.Header{Opcode: r.op, Fin: true}, r.payload)
	}
	if r.op != ws.CloseFrame {
		return true
	}
	if !a.closing {
		a.closing, a.sentClose = true, string(r.payload)
	}
	if a.side == instance { // a server hangs up first (RFC 6455, section 7.1.1)
		_ = a.conn.CloseWrite()
	}
	return false
}

// finish ends the session from this side.
func (a *actor) finish(end ending) {
	a.acted = true
	if end.inFrame() {
		b := ws.AppendFrame(nil, a.masked(ws.Header{Opcode: half.op, Fin: true}), half.payload)
		_, _ = a.conn.Write(b[:1+a.r.IntN(len(b)-1)])
	}
	switch end.how {
	case byClose:
		a.put(ws.Header{Opcode: ws.CloseFrame, Fin: true}, []byte(end.close))
		a.closing, a.sentClose = true, end.close
	case byFIN, byFINInFrame:
		_ = a.conn.CloseWrite()
		a.closing = true
	default:
		_ = a.conn.SetLinger(0)
		a.conn.Close()
	}
}

func (a *actor) masked(h ws.Header) ws.Header {
	if a.side == client {
		h.Masked, h.Key = true, [4]byte{byte(a.r.Uint32()), byte(a.r.Uint32()), byte(a.r.Uint32()), byte(a.r.Uint32())}
	}
	return h
}

// put writes a frame.
func (a *actor) put(h ws.Header, payload []byte) bool {
	_, err := a.conn.Write(ws.AppendFrame(nil, a.masked(h), payload))
	return err == nil
}
