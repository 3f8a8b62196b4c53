package ws

import (
	"bytes"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
)

// deflateLevel was measured on messages of 1 KiB, order books and tickers in
// JSON: time a message, and what is left of its bytes.
//
//	level 1: 5.7 us, 44.2 %   5.0 us, 33.9 %
//	level 3: 6.5 us, 41.3 %   5.7 us, 33.1 %
//	level 6: 8.9 us, 41.9 %   7.1 us, 31.9 %
//	level 9:  38 us, 40.2 %    21 us, 31.9 %
//
// A message is compressed once for all who read it, so level 3's microsecond is
// well spent; what comes above it buys little.
const deflateLevel = 3

const windowSize = 32 << 10 // how far back DEFLATE refers, bytes

// deflateTail is what a sender leaves out at the end of a message and a
// receiver puts back (RFC 7692, sections 7.2.1 and 7.2.2).
const deflateTail = "\x00\x00\xff\xff"

// inflateTail is deflateTail and an empty final block, which tells a message
// that ends there from one that is cut off.
const inflateTail = deflateTail + "\x01\x00\x00\xff\xff"

var (
	errDeflated = &Violation{Section: "RFC 7692 7.2.2", Code: CodeInvalidPayload, What: "compressed message that can't be inflated"}
	errInflated = &Violation{Section: "RFC 7692 7.2.2", Code: CodeTooBig, What: "message over the limit when inflated"}
)

// A Deflater compresses messages for permessage-deflate, each by itself
// (without context takeover), so that what it makes may go to any number of
// peers. The zero Deflater is ready. It takes 1.2 MiB at the first message:
// one for each loop is enough, however many streams there are.
type Deflater struct {
	w   *flate.Writer
	out sink
}

// Append appends the compressed payload of one message: what stands in a frame
// with RSV1 set. It may be longer than payload, which a sender that looks would
// then send as it is. b must not overlap payload.
func (d *Deflater) Append(b, payload []byte) []byte {
	if d.w == nil {
		d.w, _ = flate.NewWriter(nil, deflateLevel) // fails for levels that there are not
	}
	d.out.b = b
	d.w.Reset(&d.out)
	_, _ = d.w.Write(payload) // a sink takes all
	_ = d.w.Flush()
	b, d.out.b = d.out.b, nil
	return b[:len(b)-len(deflateTail)]
}

// sink appends what is written to it.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// An Inflater reads the messages that one peer compresses. The zero Inflater
// is ready. It holds some 40 KiB from the first message on, and 64 KiB more
// with Takeover.
type Inflater struct {
	// Takeover says that the peer refers to earlier messages: that it
	// compresses with context takeover, or is free to.
	Takeover bool

	r      io.Reader // a flate.Resetter; reads src
	src    bytes.Reader
	in     []byte  // the message under way with its tail; src reads it
	window []byte  // with Takeover, the latest bytes inflated: the last windowSize of them, and up to as many more
	probe  [1]byte // where a byte too many shows
}

// Append appends the inflated payload of one message, all its frames together,
// and needs no more room than for that. most bounds it, in bytes; no more than
// a window is inflated beyond it. An error is a *Violation, and final.
//
// A message ends with an empty block whose last four bytes are left out. One
// that ends with a final block and nothing behind it, and one of no bytes at
// all, are whole too: peers send them, and they can't mean anything else.
func (f *Inflater) Append(b, payload []byte, most int) ([]byte, error) {
	if len(payload) == 0 {
		return b, nil
	}
	f.in = append(append(f.in[:0], payload...), inflateTail...)
	f.src.Reset(f.in)
	out, dict := b, f.window[max(0, len(f.window)-windowSize):]
	for {
		var err error
		if out, err = f.stream(out, dict, max(0, most)-(len(out)-len(b))); err != nil {
			return b, err
		}
		rest := f.src.Len()
		if rest == 0 || rest == len(inflateTail) {
			break
		}
		if rest < len(inflateTail) {
			return b, errDeflated // what was left out would be part of a block
		}
		// A final block may stand anywhere, and others behind it from the
		// next byte on (section 7.2.1). For every compressor there is it
		// ends a stream, so those don't refer to what came before it; and
		// to bring the window back each time would make a message of
		// nothing but final blocks expensive. The blocks of a later
		// message may refer to all of this one.
		dict = nil
	}
	if f.Takeover {
		f.keep(out[len(b):])
	}
	if cap(f.in) > 2*windowSize {
		f.in = nil // a large message leaves nothing behind
	}
	return out, nil
}

// stream appends what src holds up to and with a final block, if that is not
// more than room bytes.
func (f *Inflater) stream(b, dict []byte, room int) ([]byte, error) {
	if f.r == nil {
		f.r = flate.NewReaderDict(&f.src, dict)
	} else {
		_ = f.r.(flate.Resetter).Reset(&f.src, dict) // never fails
	}
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(room, 1024))
		}
		space := b[len(b):][:min(cap(b)-len(b), room)]
		if room == 0 {
			space = f.probe[:]
		}
		n, err := f.r.Read(space)
		if n > room {
			return nil, errInflated
		}
		b, room = b[:len(b)+n], room-n
		switch err {
		case nil:
		case io.EOF:
			return b, nil
		default:
			return nil, errDeflated
		}
	}
}

// keep remembers what the next message may refer to.
func (f *Inflater) keep(p []byte) {
	p = p[max(0, len(p)-windowSize):]
	if f.window == nil {
		f.window = make([]byte, 0, 2*windowSize)
	}
	if len(f.window)+len(p) > cap(f.window) {
		f.window = f.window[:copy(f.window, f.window[len(f.window)-windowSize:])]
	}
	f.window = append(f.window, p...)
}
