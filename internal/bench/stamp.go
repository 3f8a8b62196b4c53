package bench

import (
	"bytes"
	"encoding/binary"
)

// A stamp is a message's number and the time that it was sent, in nanoseconds
// since 1970. A binary message begins with both, eight bytes big-endian each.
// Text has them as JSON, 16 hexadecimal digits each, and may have something
// else in front: what a server wraps around a message of its source.
//
//	{"n":"00000000000003e8","t":"18a1b2c3d4e5f607", …}
const (
	stampSize  = 16
	textNumber = `"n":"`
	textTime   = `","t":"`
	textSize   = len(textNumber) + 16 + len(textTime) + 16
	textWithin = 200 // bytes in which a message's stamp begins
)

// putStamp writes the binary form.
func putStamp(p []byte, n uint64, t int64) {
	binary.BigEndian.PutUint64(p, n)
	binary.BigEndian.PutUint64(p[8:], uint64(t))
}

// putTextStamp writes the form that text has.
func putTextStamp(p []byte, n uint64, t int64) {
	p = p[copy(p, textNumber):]
	putHex(p, n)
	p = p[16:]
	p = p[copy(p, textTime):]
	putHex(p, uint64(t))
}

// stampIn finds the stamp of a message. at is where in text one was found last;
// it is looked for there first.
//
// Fast path.
func stampIn(p []byte, at *int) (n uint64, t int64, ok bool) {
	if len(p) >= stampSize && p[0] == 0 { // no number of ours takes all eight bytes, and no text begins so
		return binary.BigEndian.Uint64(p), int64(binary.BigEndian.Uint64(p[8:])), true
	}
	i := *at
	if len(p) < i+textSize || string(p[i:i+len(textNumber)]) != textNumber {
		if i = bytes.Index(p[:min(len(p), textWithin)], []byte(textNumber)); i < 0 || len(p) < i+textSize {
			return 0, 0, false
		}
		*at = i
	}
	p = p[i+len(textNumber):]
	n, isNumber := hexIn(p)
	sent, isTime := hexIn(p[16+len(textTime):])
	return n, int64(sent), isNumber && isTime && string(p[16:16+len(textTime)]) == textTime
}

const hexDigits = "0123456789abcdef"

func putHex(p []byte, v uint64) {
	for i := range 16 {
		p[i] = hexDigits[v>>(60-4*i)&0xF]
	}
}

// hexIn reads 16 digits.
func hexIn(p []byte) (v uint64, ok bool) {
	var bad byte
	for _, c := range p[:16] {
		d := hexValue[c]
		bad |= d
		v = v<<4 | uint64(d&0xF)
	}
	return v, bad < 0x10
}

var hexValue = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xFF
	}
	for i := range hexDigits {
		table[hexDigits[i]] = byte(i)
	}
	return table
}()
