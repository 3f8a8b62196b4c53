package bench

import (
	"bytes"
	"hash/maphash"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// inflater inflates messages for all clients of a loop. A server that
// compresses a message once for many sends all of them the same bytes: they
// are inflated once, too, or the load would cost more than the server.
type inflater struct {
	w      ws.Inflater
	seed   maphash.Seed
	latest [64]inflated // by the hash of what came
}

type inflated struct{ packed, plain []byte }

// inflate gives the message, valid until the next call.
func (f *inflater) inflate(packed []byte) ([]byte, error) {
	if f.seed == (maphash.Seed{}) {
		f.seed = maphash.MakeSeed()
	}
	m := &f.latest[maphash.Bytes(f.seed, packed)%uint64(len(f.latest))]
	if bytes.Equal(m.packed, packed) {
		return m.plain, nil
	}
	m.packed, m.plain = m.packed[:0], m.plain[:0] // of no bytes, no message
	plain, err := f.w.Append(m.plain, packed, joinedMost)
	if err != nil {
		return nil, err
	}
	m.plain, m.packed = plain, append(m.packed, packed...)
	return plain, nil
}
